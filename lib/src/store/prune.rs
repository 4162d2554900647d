//! Deleting what nothing refers to, and then what was not used for longest.

use std::{
    collections::HashMap,
    fs::{self, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{
    Cache, Error, Remover, Store,
    disk::{self, IoContext as _},
    reach::{self, Reach, Step},
    session::Session,
    usage::Meter,
};
use crate::Digest;

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Blobs, records and unpacked layers.
    pub count: usize,
    /// On disk.
    pub bytes: u64,
}

impl Store {
    /// Deletes what nothing refers to and what dead processes left; then, if `keep` is given, what was not used for
    /// longest, until the store takes no more than that many bytes. Named images are never deleted.
    ///
    /// # Errors
    /// [`Error::InUse`] while anybody [holds](Self::hold) the store; and if something cannot be deleted.
    pub fn prune(&self, keep: Option<u64>, remover: &dyn Remover) -> Result<Pruned, Error> {
        let (lock, path) = self.lock_file()?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InUse {
                    path: self.root().to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(error).at("lock", &path),
        }
        let mut deleting = Deleting {
            aside: self.session()?,
            remover,
            pruned: Pruned::default(),
        };
        self.sweep(remover)?;
        for path in self.orphans()? {
            deleting.delete(&path)?;
        }
        let Some(keep) = keep else {
            return Ok(deleting.pruned);
        };
        let total = Meter::default().measure(self.root());
        if total > keep {
            let goal = deleting.pruned.bytes + (total - keep);
            Eviction::new(self)?.run(&mut deleting, goal)?;
        }
        Ok(deleting.pruned)
    }
}

struct Deleting<'a> {
    aside: Arc<Session>,
    remover: &'a dyn Remover,
    pruned: Pruned,
}

impl Deleting<'_> {
    fn delete(&mut self, path: &Path) -> Result<(), Error> {
        let Ok(metadata) = path.symlink_metadata() else {
            return Ok(());
        };
        let bytes = Meter::default().measure(path);
        if metadata.is_dir() {
            // Renamed first: whoever dies here must not leave half a layer where it is looked for.
            let aside = self.aside.fresh();
            fs::rename(path, &aside).at("rename", path)?;
            self.remover.remove(&aside).at("remove", &aside)?;
        } else {
            disk::remove_file(path)?;
        }
        self.pruned.bytes += bytes;
        self.pruned.count += 1;
        Ok(())
    }
}

/// Something that can be deleted, with the time of its last use.
enum Item {
    /// A record or an unpacked layer, on its own.
    Alone(PathBuf),
    /// A step, with what only it keeps.
    Step(PathBuf, Reach),
}

struct Eviction<'a> {
    store: &'a Store,
    items: Vec<(SystemTime, Item)>,
    /// How many refer to a blob.
    blobs: HashMap<Digest, usize>,
    /// How many refer to a layer.
    diff_ids: HashMap<Digest, usize>,
}

impl<'a> Eviction<'a> {
    fn new(store: &'a Store) -> Result<Self, Error> {
        let mut eviction = Self {
            store,
            items: Vec::new(),
            blobs: HashMap::new(),
            diff_ids: HashMap::new(),
        };
        eviction.count(&Reach::of_names(store)?);
        for Step { path, used, reach } in reach::steps(store)? {
            let reach = reach.unwrap_or_default();
            eviction.count(&reach);
            eviction.items.push((used, Item::Step(path, reach)));
        }
        let others = [Cache::Trees, Cache::Why, Cache::Contexts];
        let mut alone = reach::unpacked(store)?;
        for cache in others {
            alone.extend(reach::records(store, cache)?);
        }
        eviction
            .items
            .extend(alone.into_iter().map(|(path, used)| (used, Item::Alone(path))));
        eviction.items.sort_by_key(|(used, _)| *used);
        Ok(eviction)
    }

    fn count(&mut self, reach: &Reach) {
        for blob in &reach.blobs {
            *self.blobs.entry(*blob).or_default() += 1;
        }
        for diff_id in &reach.diff_ids {
            *self.diff_ids.entry(*diff_id).or_default() += 1;
        }
    }

    /// Deletes, oldest first, until `goal` bytes are gone.
    fn run(mut self, deleting: &mut Deleting<'_>, goal: u64) -> Result<(), Error> {
        for (_, item) in std::mem::take(&mut self.items) {
            if deleting.pruned.bytes >= goal {
                break;
            }
            match item {
                Item::Alone(path) => deleting.delete(&path)?,
                Item::Step(path, reach) => self.delete_step(deleting, &path, &reach)?,
            }
        }
        Ok(())
    }

    /// The record goes first: a record whose blobs are gone would be a lie.
    fn delete_step(&mut self, deleting: &mut Deleting<'_>, path: &Path, reach: &Reach) -> Result<(), Error> {
        deleting.delete(path)?;
        for blob in &reach.blobs {
            if release(&mut self.blobs, blob) {
                deleting.delete(&self.store.layout().blob_path(blob))?;
            }
        }
        for diff_id in &reach.diff_ids {
            if release(&mut self.diff_ids, diff_id) {
                deleting.delete(&self.store.record_path(Cache::Trees, diff_id))?;
                for path in self.store.unpacked_of(diff_id)? {
                    deleting.delete(&path)?;
                }
            }
        }
        Ok(())
    }
}

/// Takes one reference away; says whether it was the last.
fn release(counts: &mut HashMap<Digest, usize>, digest: &Digest) -> bool {
    match counts.get_mut(digest) {
        Some(count) => {
            *count = count.saturating_sub(1);
            *count == 0
        }
        None => true,
    }
}
