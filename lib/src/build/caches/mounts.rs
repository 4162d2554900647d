//! The contents of cache mounts, carried from one machine to the next.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{Entry, warn};
use crate::{
    Digest, Hasher,
    build::{
        error::{BuildError, Problem},
        layers::ingest,
        solver::Shared,
        stage::Made,
    },
    exec::Engine,
    image::Platform,
    in_words,
    layer::{self, LocalContents},
    plan::key::prefixed,
    store::Locked,
    tree::{Change, Tree},
};

/// The directories of cache mounts that processes of this build had, by ID.
#[derive(Default)]
pub(in crate::build) struct Used(Mutex<BTreeMap<String, PathBuf>>);

impl Used {
    /// Notes that a process is about to use it.
    pub fn note(&self, id: &str, directory: &Path) {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(id.to_owned(), directory.to_owned());
    }

    fn take(&self) -> BTreeMap<String, PathBuf> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The caches of machines of one architecture do not serve another.
fn key(id: &str) -> Digest {
    let mut hasher = Hasher::new();
    for part in ["rbuild cache mount 1", id, &Platform::host().to_string()] {
        prefixed(&mut hasher, part.as_bytes());
    }
    hasher.finish()
}

/// What a new cache mount begins with, if a cache has it.
pub(in crate::build) async fn restore(shared: &Arc<Shared>, id: &str) -> Option<Vec<Change>> {
    if !shared.options.cache_mounts {
        return None;
    }
    let (entry, place) = shared.caches.look_up(shared, &key(id)).await?;
    let layer = entry.layer?;
    match shared.layers.verify(shared, &layer).await {
        Ok(index) => Some(index.changes.clone()),
        Err(error) => {
            let why = in_words(&error);
            let message = format!("the cache mount {id:?} cannot be had from the cache {place}: {why}");
            warn(shared, message);
            None
        }
    }
}

/// Gives the contents of the cache mounts that were used to the caches.
pub(in crate::build) async fn keep(shared: &Arc<Shared>) {
    if !shared.options.cache_mounts || !shared.caches.are_kept() {
        return;
    }
    for (id, directory) in shared.caches.mounts.take() {
        let packed = async {
            let (engine, of_thread) = (shared.engine().await?.clone(), shared.clone());
            let pack = move || pack(&of_thread, &engine, &directory);
            shared.blocking(pack).await
        };
        match packed.await {
            Ok(Some(made)) => {
                shared.layers.know(&made.layer);
                let entry = Entry::of_contents(made.layer);
                let target = shared.graph.target;
                shared.caches.keep(shared, target, key(&id), &entry, None);
            }
            Ok(None) => {
                let message = format!("the cache mount {id:?} is in use, and is not given to the cache");
                warn(shared, message);
            }
            Err(error) => {
                let why = in_words(&error);
                let message = format!("the cache mount {id:?} cannot be given to the cache: {why}");
                warn(shared, message);
            }
        }
    }
}

/// A directory as a layer; none while another build uses it.
fn pack(shared: &Shared, engine: &Engine, directory: &Path) -> Result<Option<Made>, BuildError> {
    let path = directory.with_extension("lock");
    let lock = fs::OpenOptions::new().append(true).open(&path);
    let lock = Locked(lock.map_err(Problem::io("open", &path))?);
    match lock.0.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(None),
        Err(fs::TryLockError::Error(error)) => return Err(Problem::io("lock", &path)(error).into()),
    }
    let write = |out: &mut dyn Write| -> Result<(), layer::Error> {
        let changes = layer::scan_upper(directory, engine.whiteouts(), &Tree::new())?;
        layer::write_tar(&changes, &LocalContents, out)
    };
    let compression = shared.options.compression;
    let made = engine.produce(write, |tar: &mut dyn BufRead| {
        ingest(&shared.store, compression, tar)
    })??;
    Ok(Some(made))
}
