//! Layers made into something that a process can live in.
//!
//! A [`Rootfs`] is a list of directories with unpacked layers, and the directories that an overlay over them needs. It
//! serves one run. What the run wrote can be published as the directory of the next layer; all else goes away with the
//! Rootfs.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::exec::{Engine, Error, RunSpec};

/// A root file system for one run. What it holds on disk is removed when it is dropped.
#[derive(Debug)]
pub struct Rootfs {
    engine: Engine,
    directory: PathBuf,
    lowers: Vec<PathBuf>,
}

impl Rootfs {
    /// A root made of unpacked layers, the topmost first, whose own directories are made in `tmp`: on the file system
    /// that the engine was probed with, and that the layers lie on.
    pub fn new(engine: &Engine, tmp: &Path, lowers: Vec<PathBuf>) -> Result<Self, Error> {
        let make = || {
            let directory = tempfile::Builder::new()
                .prefix("rootfs-")
                .tempdir_in(fs::canonicalize(tmp)?);
            let lowers = lowers.iter().map(fs::canonicalize).collect::<io::Result<_>>()?;
            Ok(Self {
                engine: engine.clone(),
                directory: directory.map(TempDir::keep)?,
                lowers,
            })
        };
        let rootfs = make().map_err(|source| failed("make a directory in", tmp, source))?;
        for path in [rootfs.upper(), rootfs.work(), rootfs.spare()] {
            fs::create_dir(&path).map_err(|source| failed("make", &path, source))?;
        }
        rootfs.adopt_root()?;
        Ok(rootfs)
    }

    /// The root directory of an overlay is that of its upper layer: it must look like the one below.
    fn adopt_root(&self) -> Result<(), Error> {
        let upper = self.upper();
        let Some(lower) = self.lowers.first() else {
            let mode = fs::Permissions::from_mode(0o755);
            return fs::set_permissions(&upper, mode)
                .map_err(|source| failed("set the mode of", &upper, source));
        };
        // Numbers of owners differ inside and outside of a user namespace, so both are asked for and set in the same.
        let copy = || -> io::Result<()> {
            let (theirs, ours) = (fs::metadata(lower)?, fs::metadata(&upper)?);
            if (theirs.uid(), theirs.gid()) != (ours.uid(), ours.gid()) {
                std::os::unix::fs::chown(&upper, Some(theirs.uid()), Some(theirs.gid()))?;
            }
            fs::set_permissions(&upper, theirs.permissions())?;
            fs::File::open(&upper)?.set_modified(theirs.modified()?)
        };
        let like = |error| {
            format!(
                "cannot make {} like {}: {error}",
                upper.display(),
                lower.display()
            )
        };
        copy().or_else(|_| self.engine.with_ids(|| copy().map_err(like)))
    }

    /// What the run writes, in the form that overlayfs gives it.
    pub fn upper(&self) -> PathBuf {
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
        RunSpec {
            lowers: self.lowers.clone(),
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

    /// Makes what the run wrote the directory of a layer, by a rename. If `to` is there already, that one stays.
    ///
    /// The contents may not have reached the disk yet.
    pub fn publish(self, to: &Path) -> Result<(), Error> {
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
