//! Which paths a run has touched: all that its layer is made of.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Paths below the root, clean and relative.
#[derive(Debug, Default)]
pub struct Touched {
    paths: Mutex<HashMap<OsString, Extent>>,
    /// Those of the last layer.
    done: Mutex<BTreeSet<PathBuf>>,
}

/// How much of a path was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// What is at the path.
    Itself,
    /// The path and all below: it was renamed.
    Below,
}

impl Touched {
    fn lock(&self) -> MutexGuard<'_, HashMap<OsString, Extent>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a path.
    pub fn add(&self, path: &Path, extent: Extent) {
        let mut paths = self.lock();
        match paths.get_mut(path.as_os_str()) {
            Some(known) => *known = extent.max(*known),
            None => _ = paths.insert(path.into(), extent),
        }
    }

    /// Remembers a path whose entry in its directory has changed.
    pub fn entry(&self, path: &Path, extent: Extent) {
        self.add(path, extent);
        if let Some(parent) = path.parent() {
            self.add(parent, Extent::Itself);
        }
    }

    /// All paths, and none from now on.
    pub fn take(&self) -> BTreeMap<PathBuf, Extent> {
        let paths = std::mem::take(&mut *self.lock());
        paths
            .into_iter()
            .map(|(path, extent)| (path.into(), extent))
            .collect()
    }

    /// Keeps the paths that a layer was made of.
    pub fn done(&self, paths: BTreeSet<PathBuf>) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = paths;
    }

    /// The paths that the last layer was made of.
    pub fn take_done(&self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
