//! Directories that names were looked up in lately.
//!
//! Which directory a path leads to changes when something is renamed or taken away, and in no other way; within the
//! root that is done by the View alone, which says so. Each is kept open, so that no other gets its number meanwhile.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{mounts::Node, owners::Key};

/// More are not kept: each takes a descriptor.
const MOST: usize = 64;

/// A directory, and what is known of it.
#[derive(Debug)]
pub struct Directory {
    pub node: Node,
    /// Where it is below the root of the image, if it is in there.
    pub below: Option<PathBuf>,
}

/// The directories that were used lately.
#[derive(Debug, Default)]
pub struct Directories(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    paths: HashMap<Vec<u8>, Arc<Directory>>,
    keys: HashMap<Key, Arc<Directory>>,
    /// How often everything was forgotten.
    age: u64,
}

/// When a look-up began: what was found since means nothing once everything was forgotten.
#[derive(Clone, Copy, Debug)]
pub struct Since(u64);

impl Directories {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be asked before a directory is looked up.
    pub fn now(&self) -> Since {
        Since(self.lock().age)
    }

    /// By an absolute path, as root sees it in the root of the run.
    pub fn at(&self, path: &[u8]) -> Option<Arc<Directory>> {
        self.lock().paths.get(path).cloned()
    }

    /// By its number.
    pub fn of(&self, key: Key) -> Option<Arc<Directory>> {
        self.lock().keys.get(&key).cloned()
    }

    /// Remembers a directory, and a path that leads to it.
    pub fn add(&self, since: Since, path: Option<&[u8]>, directory: Directory) {
        let mut known = self.lock();
        if known.age != since.0 {
            return;
        }
        if known.paths.len() >= MOST {
            known.paths.clear();
        }
        if known.keys.len() >= MOST {
            known.keys.clear();
        }
        let directory = Arc::new(directory);
        known.keys.insert(directory.node.key(), Arc::clone(&directory));
        if let Some(path) = path {
            known.paths.insert(path.to_owned(), directory);
        }
    }

    /// Something was renamed, or a directory or a link taken away.
    pub fn forget(&self) {
        let mut known = self.lock();
        known.age += 1;
        known.paths.clear();
        known.keys.clear();
    }
}
