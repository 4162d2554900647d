//! What the rest of the crate holds.

use std::{
    fmt::Display,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Cancel, Error, Missing, Outcome, RunSpec};
use crate::event::Stream;

/// What [`Engine::probe`] needs to know.
#[derive(Clone, Debug)]
pub struct ProbeConfig {
    /// A directory on the file system that will hold root file systems; left as it was.
    pub scratch: PathBuf,
}

/// A way to run processes on this machine. Clones share it; several threads may run at once.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner;

/// How overlayfs finds whiteouts and opaque directories in a layer on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// `trusted.overlay.*` attributes: for real root.
    Trusted,
    /// `user.overlay.*` attributes: in a user namespace.
    User,
}

impl Engine {
    /// Tries what this machine allows, the fastest first.
    pub fn probe(config: &ProbeConfig) -> Result<Self, Error> {
        let _ = (&config.scratch, Inner);
        Err(Error::Unavailable(Missing::IdMapProgram("newuidmap")))
    }

    /// How layers on disk must be written for this engine.
    pub fn whiteouts(&self) -> Whiteouts {
        Whiteouts::Trusted
    }

    /// A directory name for layers on disk that this engine can use: they differ in owners and in whiteouts.
    pub fn format(&self) -> &str {
        "root"
    }

    /// Does some work with the ids that a run has: as its root, able to give files to any of its users.
    ///
    /// For real root that is here and now. Otherwise the work is done in a forked child, so it sees a copy of this
    /// process's memory, and nothing that it changes there comes back; only files and pipes do. The child has one
    /// thread: the work must not wait for locks or threads of this process.
    pub fn with_ids<E: Display>(&self, work: impl FnOnce() -> Result<(), E>) -> Result<(), Error> {
        work().map_err(|error| Error::WithIds(error.to_string()))
    }

    /// Like [`with_ids`](Self::with_ids), with a pipe from the work to `consume`, which is called in this process.
    pub fn produce<T, E: Display>(
        &self,
        produce: impl FnOnce(&mut dyn Write) -> Result<(), E> + Send,
        consume: impl FnOnce(&mut dyn Read) -> T,
    ) -> Result<T, Error> {
        produce(&mut Vec::new()).map_err(|error| Error::WithIds(error.to_string()))?;
        Ok(consume(&mut std::io::empty()))
    }

    /// Removes a directory that may hold files of any id of this engine. Fine if it is not there.
    pub fn remove_tree(&self, path: &Path) -> Result<(), Error> {
        self.with_ids(|| std::fs::remove_dir_all(path))
    }

    /// Runs a process to its end and gives its output to `output` as it comes.
    pub fn run(
        &self,
        spec: &RunSpec,
        cancel: &Cancel,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Outcome, Error> {
        let _ = (spec, cancel, output);
        Err(Error::Unavailable(Missing::IdMapProgram("newuidmap")))
    }
}
