//! Layers made into something that a process can live in.
//!
//! A [`Rootfs`] is what the engine makes a root of: a list of directories with unpacked layers, and the directories that
//! an overlay over them needs; or one directory with links to the files of all. It serves one run, and knows what that has
//! written. That can be published as the next layer on disk; all else goes away with the Rootfs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use crate::{
    exec::{Engine, Error, RunSpec, Stack, farm::Farm},
    layer::{self, LayerIndex},
    tree::{Change, Tree},
};

/// A root file system for one run. What it holds on disk is removed when it is dropped.
#[derive(Debug)]
pub struct Rootfs {
    engine: Engine,
    directory: PathBuf,
    /// What the layers below are together.
    tree: Tree,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// Directories of unpacked layers, the topmost first.
    Overlay(Vec<PathBuf>),
    /// One directory.
    Farm(Arc<Farm>),
}

impl Rootfs {
    /// A root made of layers. Its own directories are made in `tmp`: on the file system that the engine was probed with,
    /// and that the layers lie on.
    pub fn new(engine: &Engine, tmp: &Path, layers: Stack) -> Result<Self, Error> {
        let make = || {
            let directory = tempfile::Builder::new()
                .prefix("rootfs-")
                .tempdir_in(fs::canonicalize(tmp)?);
            let lowers = layers
                .lowers
                .iter()
                .map(fs::canonicalize)
                .collect::<io::Result<_>>()?;
            Ok(Self {
                engine: engine.clone(),
                directory: directory.map(TempDir::keep)?,
                tree: layers.tree,
                form: Form::Overlay(lowers),
            })
        };
        let mut rootfs = make().map_err(|source| failed("make a directory in", tmp, source))?;
        if !engine.mounts() {
            let farm = Farm::make(&rootfs.directory, &rootfs.tree, &layers.contents);
            let farm = farm.map_err(|source| failed("make a root in", &rootfs.directory, source))?;
            rootfs.form = Form::Farm(Arc::new(farm));
            return Ok(rootfs);
        }
        for path in [rootfs.work(), rootfs.spare()] {
            fs::create_dir(&path).map_err(|source| failed("make", &path, source))?;
        }
        // The root directory of an overlay is that of its upper layer.
        engine.with_ids(|| layer::make_upper(&rootfs.upper(), &rootfs.tree))?;
        Ok(rootfs)
    }

    /// Whether it was made by this engine, or for one that makes the same.
    pub fn is_of(&self, engine: &Engine) -> bool {
        self.engine.format() == engine.format()
    }

    /// What the run writes, in the form that overlayfs gives it.
    fn upper(&self) -> PathBuf {
        self.directory.join("upper")
    }

    fn work(&self) -> PathBuf {
        self.directory.join("work")
    }

    fn spare(&self) -> PathBuf {
        self.directory.join("spare")
    }

    /// A run in this root, by root and with nothing else said yet.
    pub fn run_spec(&self) -> RunSpec {
        let (lowers, farm) = match &self.form {
            Form::Overlay(lowers) => (lowers.clone(), None),
            Form::Farm(farm) => (Vec::new(), Some(farm.clone())),
        };
        RunSpec {
            lowers,
            farm,
            upper: self.upper(),
            work: self.work(),
            spare: self.spare(),
            argv: Vec::new(),
            env: Vec::new(),
            cwd: "/".into(),
            user: crate::exec::User::default(),
            mounts: Vec::new(),
            network: crate::exec::Network::default(),
            hostname: "localhost".to_owned(),
        }
    }

    /// What the run has changed. To be called once, with the ids of the engine: see [`Engine::with_ids`].
    pub fn changes(&self) -> Result<Vec<Change>, layer::Error> {
        match &self.form {
            Form::Overlay(_) => layer::scan_upper(&self.upper(), self.engine.whiteouts(), &self.tree),
            Form::Farm(farm) => farm.changes(&self.tree),
        }
    }

    /// Prepares what the run wrote to be published as a layer of these changes; with the ids of the engine.
    pub fn settle(&self, changes: &[Change]) -> Result<(), layer::Error> {
        match &self.form {
            Form::Overlay(_) => layer::settle_upper(&self.upper(), self.engine.whiteouts(), changes),
            Form::Farm(_) => Ok(()),
        }
    }

    /// Makes what the run wrote the directory `to` of a layer, as if it was unpacked from that. If there is more than an
    /// empty directory already, that stays.
    ///
    /// The contents may not have reached the disk yet.
    pub fn publish(&self, to: &Path, index: &LayerIndex) -> Result<(), Error> {
        match &self.form {
            Form::Overlay(_) => self.publish_upper(to),
            Form::Farm(farm) => self.engine.with_ids(|| farm.share(&index.changes, to)),
        }
    }

    /// The root for the next run, on top of the layer that was made of this one, if it can be had for less than a new
    /// one. `directory` is where the layer is on the disk now.
    pub fn advance(mut self, index: &LayerIndex, directory: &Path) -> Result<Option<Self>, Error> {
        let Form::Farm(farm) = &self.form else {
            return Ok(None);
        };
        self.tree
            .apply(&index.changes)
            .map_err(|error| Error::WithIds(error.to_string()))?;
        let contents = [(index.diff_id, directory.to_owned())].into();
        self.engine.with_ids(|| farm.advance(&self.tree, &contents))?;
        Ok(Some(self))
    }

    fn publish_upper(&self, to: &Path) -> Result<(), Error> {
        let upper = self.upper();
        self.engine.with_ids(|| match fs::rename(&upper, to) {
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(format!(
                "cannot move {} to {}: {error}",
                upper.display(),
                to.display()
            )),
            _ => Ok(()),
        })
    }
}

impl Drop for Rootfs {
    fn drop(&mut self) {
        // What cannot be removed now is swept with the store's other leftovers.
        let _ = self.engine.remove_tree(&self.directory);
    }
}

fn failed(what: &str, path: &Path, source: io::Error) -> Error {
    Error::Setup {
        what: format!("{what} {}", path.display()),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::{
        exec::{
            Cancel, Mount, MountKind, Outcome,
            tests::{Bench, on_each_bench},
        },
        layer::{Ids, unpack},
        tree::{Change, Kind, Metadata, Node, What},
    };

    /// A tree of nothing but its root directory.
    fn bare(mode: u32, owner: u32) -> Tree {
        let metadata = Metadata {
            mode,
            uid: owner,
            gid: owner,
            mtime: 1000,
            ..Metadata::default()
        };
        let node = Node {
            metadata,
            kind: Kind::Directory,
        };
        let mut tree = Tree::new();
        tree.apply(&[Change {
            path: "".into(),
            what: What::Node(node),
        }])
        .unwrap();
        tree
    }

    fn stack(lowers: Vec<PathBuf>, tree: Tree) -> Stack {
        Stack {
            lowers,
            tree,
            ..Stack::default()
        }
    }

    /// Upper directories need none.
    fn no_index() -> LayerIndex {
        layer::index(&[0; 1024][..], None).unwrap()
    }

    fn run(bench: &Bench, rootfs: &Rootfs, script: &str) -> String {
        let kind = MountKind::Bind {
            source: bench.base().join("bin/busybox"),
            read_only: true,
        };
        let spec = RunSpec {
            argv: ["/bin/busybox", "sh", "-c", script].map(Into::into).into(),
            mounts: vec![Mount {
                target: "/bin/busybox".into(),
                kind,
            }],
            ..rootfs.run_spec()
        };
        let mut said = Vec::new();
        let cancel = Cancel::new().unwrap();
        let outcome = bench
            .engine
            .run(&spec, &cancel, &mut |_, bytes| said.extend_from_slice(bytes));
        let said = String::from_utf8(said).unwrap();
        assert_eq!(outcome.unwrap(), Outcome::Exited(0), "{said}");
        said
    }

    #[test]
    fn what_a_run_wrote_is_the_next_layer() {
        on_each_bench(|bench| {
            let (first, second) = (bench.room.join("first"), bench.room.join("second"));
            let rootfs = Rootfs::new(&bench.engine, &bench.room, stack(vec![], bare(0o750, 7))).unwrap();
            let script =
                "busybox stat -c '%a %u' /; busybox mkdir /d /gone; echo 1 > /d/f; busybox chown 9 / /d";
            assert_eq!(
                run(bench, &rootfs, &format!("alias busybox=/bin/busybox; {script}")),
                "750 7\n"
            );
            rootfs.publish(&first, &no_index()).unwrap();
            drop(rootfs);
            let rootfs = Rootfs::new(
                &bench.engine,
                &bench.room,
                stack(vec![first.clone()], bare(0o750, 9)),
            )
            .unwrap();
            let script = "/bin/busybox cat /d/f; /bin/busybox stat -c %u / /d; /bin/busybox rmdir /gone";
            assert_eq!(run(bench, &rootfs, script), "1\n9\n9\n");
            rootfs.publish(&second, &no_index()).unwrap();
            drop(rootfs);
            let lowers = vec![second.clone(), first.clone()];
            let rootfs = Rootfs::new(&bench.engine, &bench.room, stack(lowers, bare(0o750, 9))).unwrap();
            assert_eq!(run(bench, &rootfs, "cd /; echo *"), "bin d dev etc proc sys\n");
            // Who comes second keeps what is there.
            rootfs.publish(&second, &no_index()).unwrap();
            drop(rootfs);
            bench
                .engine
                .with_ids(|| fs::symlink_metadata(second.join("gone")).map(|_| ()))
                .unwrap();
            for layer in [first, second] {
                bench.engine.remove_tree(&layer).unwrap();
            }
            assert_nothing_left(bench);
        });
    }

    #[test]
    fn what_is_not_published_goes_away() {
        on_each_bench(|bench| {
            let rootfs = Rootfs::new(&bench.engine, &bench.room, stack(vec![], bare(0o755, 0))).unwrap();
            run(
                bench,
                &rootfs,
                "cd /; /bin/busybox mkdir d; echo > d/f; /bin/busybox chown -R 5 d; /bin/busybox chmod 0 d",
            );
            drop(rootfs);
            assert_nothing_left(bench);
            let missing = vec![bench.room.join("nothing")];
            assert!(Rootfs::new(&bench.engine, &bench.room, stack(missing, bare(0o755, 0))).is_err());
            assert_nothing_left(bench);
        });
    }

    #[test]
    fn unpacked_layers_and_runs_agree_on_owners() {
        on_each_bench(|bench| {
            let layer = bench.room.join("layer");
            fs::create_dir(&layer).unwrap();
            let mut tar = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_uid(33);
            header.set_gid(44);
            header.set_mode(0o4750);
            header.set_size(0);
            tar.append_data(&mut header, "file", io::empty()).unwrap();
            let tar = tar.into_inner().unwrap();
            let format = bench.engine.whiteouts();
            bench
                .engine
                .with_ids(|| unpack(&tar[..], &layer, format, Ids::Set))
                .unwrap();
            let rootfs = Rootfs::new(
                &bench.engine,
                &bench.room,
                stack(vec![layer.clone()], bare(0o755, 0)),
            )
            .unwrap();
            assert_eq!(
                run(bench, &rootfs, "/bin/busybox stat -c '%a %u %g' /file"),
                "4750 33 44\n"
            );
            assert_eq!(fs::metadata(rootfs.upper()).unwrap().mode() & 0o7777, 0o755);
            drop(rootfs);
            bench.engine.remove_tree(&layer).unwrap();
        });
    }

    fn assert_nothing_left(bench: &Bench) {
        let mut names: Vec<_> = fs::read_dir(&bench.room)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["base", "runs"]);
    }
}
