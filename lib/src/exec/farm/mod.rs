//! Root file systems that need no mounts.
//!
//! A [`Farm`] is one plain directory: directories made anew, files hard-linked from the contents that the store keeps,
//! merged as the image's [`Tree`] says. So reading, listing and mapping are the kernel's; what needs an answer is
//! names, identity, and first writes. That is the [`View`]: paths to files, in the root and in what is mounted over it;
//! whose they are, which the disk does not know; and copies of what is about to be written, since nothing that belongs
//! to the store ever is. It behaves as an overlay does, down to hard links that part when one of them is changed.
//!
//! - `make`: a Tree to a directory
//! - `owners`: [`Owners`], what the disk does not say of a file
//! - `touched`, `changes`: which paths a run has touched, and the layer that follows from those alone
//! - `mounts`: [`Mounts`], what is mounted where; `setup`: the mounts of a run; `points`: what they are on
//! - `terminals`: pseudo terminals
//! - `kept`: directories that outlive a run
//! - `paths`: names as such; `resolve`: names to files; `bounds`: how far they may lead; `process`, `maps`: names in `/proc`; `directories`: those that were used lately
//! - `access`: what a user may do with a file
//! - `copy_up`: files of the store that are about to be written
//! - `view`: the operations, one for each system call's meaning
//!
//! Calls come one at a time: the View keeps its tables consistent under threads, and leaves the order of changes to
//! whoever calls.

mod access;
mod bounds;
mod changes;
mod copy_up;
mod directories;
mod kept;
mod make;
mod maps;
mod mounts;
mod owners;
mod paths;
mod points;
mod process;
mod resolve;
mod setup;
mod terminals;
#[cfg(test)]
mod tests;
mod touched;
mod view;

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

pub(crate) use kept::note;
pub use make::Contents;
use owners::Owners;
use touched::Touched;
pub(crate) use {
    access::Want,
    mounts::Node,
    owners::{Device, FIELDS, Key},
    view::{Asker, How, MAX_VALUE, Opened, Program, SetTime, Special, Target, Told, View},
};

use crate::tree::Tree;

/// A root file system as a directory, and what is known of its files.
#[derive(Debug)]
pub struct Farm {
    /// What it keeps on the disk.
    directory: PathBuf,
    owners: Owners,
    touched: Touched,
    next: AtomicU64,
}

impl Farm {
    /// Makes a tree in an empty directory, of contents that lie on the same file system.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn make(directory: &Path, tree: &Tree, contents: &Contents) -> io::Result<Self> {
        let farm = Self {
            directory: directory.to_owned(),
            owners: Owners::default(),
            touched: Touched::default(),
            next: AtomicU64::new(0),
        };
        std::fs::create_dir(farm.scratch())?;
        farm.plant(tree, Path::new(""), &farm.root(), contents)?;
        Ok(farm)
    }

    /// Makes what is at a path of a tree in a new directory.
    fn plant(&self, tree: &Tree, start: &Path, directory: &Path, contents: &Contents) -> io::Result<()> {
        make::new_directory(directory)?;
        make::make(tree, start, directory, contents, &self.owners)
    }

    /// The root directory.
    pub fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// Holds what is no part of the image.
    fn scratch(&self) -> PathBuf {
        self.directory.join("scratch")
    }

    /// A new directory on the same file system that is no part of any root.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn private(&self) -> io::Result<PathBuf> {
        let path = self.fresh();
        std::fs::create_dir(&path)?;
        Ok(path)
    }

    /// A path in the scratch directory where nothing is.
    fn fresh(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.scratch().join(number.to_string())
    }
}
