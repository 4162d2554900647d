//! Layers as they pass by: from wherever they are into the store, indexed, and unpacked, in one pass over their bytes.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tokio::task::JoinHandle;

use super::{
    error::{BuildError, Problem},
    layers::{Layers, Origin, save_index},
    solver::Shared,
};
use crate::{
    Digest,
    image::{BlobError, Blobs, Descriptor, Layer},
    layer::{self, LayerIndex},
    store::{Incoming, Store},
};

/// One after the other for each blob, so that it moves only once.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>);

/// Nobody else moves a blob meanwhile.
pub(super) type Turn = tokio::sync::OwnedMutexGuard<()>;

impl Turns {
    /// Waits until nobody else moves this blob.
    pub async fn wait(&self, blob: &Digest) -> Turn {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(*blob).or_default().clone()
        };
        turn.lock_owned().await
    }
}

/// A layer, and where its bytes come from.
pub(super) struct Passing {
    layer: Layer,
    store: Store,
    /// Not the store: it is put there on its way.
    from: Option<Arc<dyn Blobs>>,
}

impl Layers {
    /// Finds out where a layer's bytes come from.
    pub async fn passing(&self, shared: &Arc<Shared>, layer: &Layer) -> Result<Passing, BuildError> {
        let (store, blob) = (self.store.clone(), layer.descriptor.clone());
        let here = shared
            .blocking(move || Ok(Blobs::has(&store, &blob).map_err(crate::image::Error::from)?))
            .await?;
        let from = match here {
            true => None,
            false => Some(self.elsewhere(shared, &layer.descriptor)?),
        };
        Ok(Passing {
            layer: layer.clone(),
            store: self.store.clone(),
            from,
        })
    }

    /// Where a blob can be had that is not in the store.
    fn elsewhere(&self, shared: &Shared, blob: &Descriptor) -> Result<Arc<dyn Blobs>, BuildError> {
        match self.origin(&blob.digest) {
            Some(Origin::Registry(reference)) => {
                let repository = self.registry.repository(&reference);
                let repository = repository.telling(self.sink.clone());
                Ok(Arc::new(repository.cancelled_by(shared.cancel.clone())))
            }
            Some(Origin::Blobs(blobs)) => Ok(blobs),
            None => {
                let message = format!("the store has lost blob {}; build with --no-cache", blob.digest);
                Err(Problem::Value(message).into())
            }
        }
    }

    /// Sees to it that a blob is in the store.
    pub async fn fetch(&self, shared: &Arc<Shared>, blob: &Descriptor) -> Result<(), BuildError> {
        let _turn = self.turns.wait(&blob.digest).await;
        let store = self.store.clone();
        let wanted = blob.clone();
        let here = move || Ok(Blobs::has(&store, &wanted).map_err(crate::image::Error::from)?);
        if shared.blocking(here).await? {
            return Ok(());
        }
        let from = self.elsewhere(shared, blob)?;
        let (store, wanted) = (self.store.clone(), blob.clone());
        let fetched = shared.blocking(move || Ok(store.fetch(&*from, &wanted)?)).await;
        fetched.inspect_err(|error| shared.caches.blame(shared, &blob.digest, error.problem()))
    }
}

impl Passing {
    /// Reads the layer to its end, checks blob and diff ID, and remembers the index. The plain tar goes to `tee`, too.
    pub fn pass(&self, tee: Option<&mut dyn Write>) -> Result<(LayerIndex, Option<Landing>), BuildError> {
        let blob = &self.layer.descriptor;
        let passed = match &self.from {
            None => {
                let stored = Blobs::open(&self.store, blob).map_err(crate::image::Error::from)?;
                (self.index(stored, tee)?, None)
            }
            Some(from) => {
                let mut kept = Kept {
                    from: from.open(blob).map_err(crate::image::Error::from)?,
                    into: self.store.new_blob()?,
                    failed: None,
                };
                let index = self.index(&mut kept, tee);
                // A blob that is not what it should be is the reason for whatever else is wrong.
                if let Some(error) = kept.end(index.is_ok()) {
                    let error = BlobError::from_read(error, blob.digest, "its source");
                    return Err(crate::image::Error::from(error).into());
                }
                let landing = Landing {
                    blob: kept.into,
                    digest: blob.digest,
                };
                (index?, Some(landing))
            }
        };
        save_index(&self.store, &passed.0)?;
        Ok(passed)
    }

    fn index(&self, blob: impl Read + Send, tee: Option<&mut dyn Write>) -> Result<LayerIndex, BuildError> {
        let Layer { descriptor, diff_id } = &self.layer;
        let index = thread::scope(|scope| {
            let tar = layer::read_ahead(scope, layer::decompress(blob)?);
            layer::index_buffered(tar, tee)
        })?;
        match index.diff_id == *diff_id {
            true => Ok(index),
            false => Err(Problem::Value(format!(
                "layer {} unpacks to {}, but the image's config says {diff_id}",
                descriptor.digest, index.diff_id
            ))
            .into()),
        }
    }
}

/// A blob that is whole, and not yet in the store.
pub(super) struct Landing {
    blob: Incoming,
    digest: Digest,
}

/// Blobs that are being published.
#[derive(Default)]
pub(super) struct Landings(Mutex<Vec<JoinHandle<Result<(), BuildError>>>>);

impl Landings {
    /// Publishes a blob in the background: its bytes are known already, and nothing else waits for the disk. Nobody
    /// else looks for it meanwhile.
    pub fn begin(&self, shared: &Arc<Shared>, landing: Landing, turn: Turn) {
        let shared = shared.clone();
        let task = tokio::spawn(async move {
            let Landing { blob, digest } = landing;
            let landed = shared.blocking(move || Ok(blob.commit(&digest)?)).await;
            drop(turn);
            landed
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    /// Waits until all blobs are in the store.
    pub async fn end(&self) -> Result<(), BuildError> {
        let tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.await.map_err(|error| Problem::Thread(error.to_string()))??;
        }
        Ok(())
    }
}

/// Keeps what is read through it.
struct Kept {
    from: Box<dyn Read + Send>,
    into: Incoming,
    /// Why it cannot be read, or is not right.
    failed: Option<io::Error>,
}

impl Kept {
    /// Reads what is left, and keeps it if that makes sense: its source vouches for the bytes only at their end.
    fn end(&mut self, keep: bool) -> Option<io::Error> {
        if self.failed.is_none() {
            let rest = match keep {
                true => io::copy(self, &mut io::sink()),
                false => io::copy(&mut self.from, &mut io::sink()),
            };
            if let Err(error) = rest {
                self.failed.get_or_insert(error);
            }
        }
        self.failed.take()
    }
}

impl Read for Kept {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match self.from.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let copy = io::Error::new(error.kind(), error.to_string());
                self.failed = Some(error);
                return Err(copy);
            }
            length => length?,
        };
        self.into.write_all(&buffer[..length])?;
        Ok(length)
    }
}
