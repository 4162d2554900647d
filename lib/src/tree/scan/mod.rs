//! A directory of this machine as a Tree, with remembered digests.
//!
//! - `walk`: names and stats, on all cores
//! - `found`: what that came to: a stamp, which says whether it is what an earlier walk found, and a Tree
//! - `cache`: digests by what `stat` says, from one build to the next
//! - `hash`: digests of what the cache does not know, on all cores

mod cache;
mod found;
mod hash;
#[cfg(test)]
mod tests;
mod walk;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    thread,
};

pub use self::cache::StatCache;
use self::found::Scanned;
use super::Tree;
use crate::Digest;

/// What a scan leaves out. Paths are relative to the directory that is scanned.
pub trait Filter: Sync {
    /// Whether the path is left out.
    fn skips(&self, path: &Path) -> bool;
    /// Whether something below a directory that is left out may be taken in nevertheless. The directory is then there if
    /// anything in it is.
    fn may_descend(&self, directory: &Path) -> bool;
}

/// Leaves nothing out.
impl Filter for () {
    fn skips(&self, _: &Path) -> bool {
        false
    }

    fn may_descend(&self, _: &Path) -> bool {
        true
    }
}

/// Why a directory could not be scanned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The system said no.
    #[error("cannot read {path:?}")]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what it was when the directory was scanned, or changed while it was read.
    #[error("{0:?} changed while it was read")]
    Changed(PathBuf),
}

impl ScanError {
    fn io<E: Into<io::Error>>(path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        move |source| Self::Io {
            path: path.into(),
            source: source.into(),
        }
    }
}

/// A build context: a directory of this machine.
#[derive(Clone, Debug)]
pub struct Context {
    scanned: Arc<Scanned>,
    stamp: OnceLock<Option<Digest>>,
    /// Made when first asked for, and which records of the cache it uses.
    tree: OnceLock<(Tree, Vec<usize>)>,
    cache: StatCache,
}

impl Context {
    /// Walks a directory on all cores.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn scan(root: &Path, filter: &dyn Filter, cache: StatCache) -> Result<Self, ScanError> {
        Ok(Self {
            scanned: Arc::new(walk::walk(root, filter, threads())?),
            stamp: OnceLock::new(),
            tree: OnceLock::new(),
            cache,
        })
    }

    /// What was found, with the root's own metadata. Owners, modes and times are those on disk, hard links are kept,
    /// extended attributes are left out, and so are sockets. Files that the cache knows have their digest, the others none.
    pub fn tree(&self) -> &Tree {
        &self.known().0
    }

    fn known(&self) -> &(Tree, Vec<usize>) {
        self.tree.get_or_init(|| self.scanned.tree(&self.cache))
    }

    /// Tells whether a later scan finds what this one has found, contents included: then its stamp is the same. For that no
    /// file is read, nor the cache. None if files were written to so recently that more could be, and nobody would see.
    pub fn stamp(&self) -> Option<Digest> {
        *self.stamp.get_or_init(|| self.scanned.stamp())
    }

    /// Sees to it that all files at and below these paths have their digests; reads on all cores.
    ///
    /// # Errors
    /// When a file cannot be read, or changes meanwhile.
    pub fn digest(&mut self, paths: &[PathBuf]) -> Result<(), ScanError> {
        let hashed = hash::hash(self.tree(), paths, threads())?;
        let digests = hashed
            .iter()
            .map(|hashed| (hashed.inode, hashed.digest))
            .collect();
        if let Some((tree, _)) = self.tree.get_mut() {
            tree.set_digests(&digests);
        }
        self.cache
            .learn(hashed.into_iter().filter_map(|hashed| hashed.record));
        Ok(())
    }

    /// Saves what the next scan wants to know, if it is not what was known before.
    ///
    /// # Errors
    /// When the file cannot be written. The old one is then as it was.
    pub fn save_cache(&self, file: &Path) -> io::Result<()> {
        self.cache
            .save(file, self.tree.get().map_or(&[], |(_, used)| used))
    }
}

/// More threads wait for the disk, or for one another.
const MAX_THREADS: usize = 8;

fn threads() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS))
}
