//! Layers made into something that a process can live in.
//!
//! A [`Rootfs`] is a list of directories with unpacked layers, and the directories that an overlay over them needs. It
//! serves one run. What the run wrote can be published as the directory of the next layer; all else goes away with the
//! Rootfs.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    exec::{Engine, Error, RunSpec},
    layer,
    tree::Tree,
};

/// A root file system for one run. What it holds on disk is removed when it is dropped.
#[derive(Debug)]
pub struct Rootfs {
    engine: Engine,
    directory: PathBuf,
    lowers: Vec<PathBuf>,
}

impl Rootfs {
    /// A root made of unpacked layers, the topmost first, which together are `tree`. Its own directories are made in
    /// `tmp`: on the file system that the engine was probed with, and that the layers lie on.
    pub fn new(engine: &Engine, tmp: &Path, lowers: Vec<PathBuf>, tree: &Tree) -> Result<Self, Error> {
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
        for path in [rootfs.work(), rootfs.spare()] {
            fs::create_dir(&path).map_err(|source| failed("make", &path, source))?;
        }
        // The root directory of an overlay is that of its upper layer.
        engine.with_ids(|| layer::make_upper(&rootfs.upper(), tree))?;
        Ok(rootfs)
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
