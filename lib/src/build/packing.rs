//! New layers become blobs while the next steps work: a step is done when the tar of its layer is whole, since keys, trees
//! and roots need no more than that. Until a layer's blob is there, its descriptor is that of the plain tar.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared as Waiting},
};
use tokio::{sync::Semaphore, task::JoinHandle};

use super::{
    cache::{self, Record},
    caches::Entry,
    error::{BuildError, Problem},
    layers::Layers,
    solver::Shared,
    spool::{self, Reader, Source, Writer},
    stage::Made,
};
use crate::{
    Digest, Event,
    image::{Descriptor, Image, Layer},
    layer::{self, Compression, LayerIndex},
    plan::key::{Key, Parts},
};

/// A tar that is becoming a blob of the store; that is committed when this is done.
pub(super) struct Packing {
    /// How long that took, too, without waiting for others.
    task: JoinHandle<Result<(Descriptor, Duration), BuildError>>,
    tar: Source,
}

/// A layer that a step made, as far as the next one needs it.
pub(super) struct Fresh {
    pub index: LayerIndex,
    pub packing: Packing,
}

/// What a step made, to be remembered.
pub(super) struct News {
    pub shared: Arc<Shared>,
    /// Number of the stage.
    pub stage: usize,
    pub parts: Parts,
    /// Which step it is, over many builds.
    pub place: Vec<String>,
    pub record: Record,
}

/// The layers of this build that become blobs.
pub(super) struct Packings {
    /// Each is compressed on all cores, so they take turns.
    turns: Arc<Semaphore>,
    jobs: Mutex<Vec<Job>>,
}

struct Job {
    /// Of the step that made it.
    key: Key,
    diff_id: Digest,
    tar: Source,
    done: Waiting<BoxFuture<'static, Result<Layer, BuildError>>>,
}

impl Default for Packings {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(1)),
            jobs: Mutex::default(),
        }
    }
}

/// Begins to make a blob of the tar that is about to be written. Not to be called by who waits for another one before
/// all is written: it may be that one's turn after this one's.
pub(super) fn begin(shared: &Arc<Shared>) -> Result<(Writer, Packing), BuildError> {
    let (file, place) = shared.store.scratch_file()?;
    let (writer, tar) = spool::spool(file, place, shared.cancel.clone());
    let shared = shared.clone();
    let source = tar.source();
    let task = tokio::spawn(async move {
        let turns = shared.layers.packings.turns.clone();
        // Nobody closes it.
        let turn = turns.acquire_owned().await.ok();
        let started = Instant::now();
        let (store, compression) = (shared.store.clone(), shared.options.compression);
        let pack = move || {
            let mut blob = store.new_blob()?;
            let packed = layer::pack(tar, &mut blob, compression)?;
            Ok((blob, packed))
        };
        let (blob, packed) = shared.blocking(pack).await?;
        // The disk takes its time, and takes several at once.
        drop(turn);
        let commit = move || {
            blob.commit(&packed.digest)?;
            Ok(Descriptor::new(packed.media_type, packed.digest, packed.size))
        };
        Ok((shared.blocking(commit).await?, started.elapsed()))
    });
    Ok((writer, Packing { task, tar: source }))
}

impl Packing {
    async fn blob(self) -> Result<(Descriptor, Duration), BuildError> {
        let done = self.task.await;
        done.map_err(|error| Problem::Thread(error.to_string()))?
    }
}

impl News {
    /// Waits for the blob, and tells everyone who wants to know; gives the layer.
    async fn remember(mut self, packing: Packing) -> Result<Layer, BuildError> {
        let shared = &self.shared;
        let (blob, elapsed) = packing.blob().await?;
        shared.tell(Event::LayerPacked {
            layer: self.record.layer.diff_id,
            digest: blob.digest,
            size: blob.size,
            elapsed,
        });
        self.record.layer.descriptor = blob;
        let layer = self.record.layer.clone();
        shared.layers.know(&layer);
        cache::remember(shared, &self.parts, &self.place, &self.record).await?;
        let (caches, entry) = (&shared.caches, Entry::of_step(&self.record));
        caches.keep(shared, self.stage, self.parts.key(), &entry, None);
        if shared.graph.is_built_on(self.stage) {
            shared.early.push(&layer);
        }
        Ok(layer)
    }
}

impl Fresh {
    /// The layer, with its plain tar in place of its blob.
    pub fn plain(&self) -> Layer {
        let LayerIndex { diff_id, size, .. } = self.index;
        let media_type = Compression::None.media_type();
        Layer {
            descriptor: Descriptor::new(media_type, diff_id, size),
            diff_id,
        }
    }

    /// Waits for the blob.
    pub async fn packed(self) -> Result<Made, BuildError> {
        let (diff_id, index) = (self.index.diff_id, self.index);
        let (descriptor, _) = self.packing.blob().await?;
        let layer = Layer { descriptor, diff_id };
        Ok(Made { layer, index })
    }
}

impl Packings {
    fn jobs(&self) -> MutexGuard<'_, Vec<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to what a step made, until all that is to be known of it is stored.
    pub fn add(&self, news: News, packing: Packing) {
        let (key, diff_id) = (news.parts.key(), news.record.layer.diff_id);
        let tar = packing.tar.clone();
        let task = tokio::spawn(news.remember(packing));
        let done = async move { task.await.map_err(|error| Problem::Thread(error.to_string()))? };
        let done = done.boxed().shared();
        self.jobs().push(Job {
            key,
            diff_id,
            tar,
            done,
        });
    }

    /// The plain tar of a layer that this build has made and not yet packed.
    pub fn tar(&self, diff_id: &Digest) -> Option<Reader> {
        let jobs = self.jobs();
        let mut made = jobs.iter().filter(|job| job.diff_id == *diff_id);
        made.find_map(|job| job.tar.reader())
    }

    /// Waits for the layers of which `which` is true, and gives the last.
    async fn wait(&self, which: impl Fn(&Job) -> bool) -> Result<Option<Layer>, BuildError> {
        let waiting: Vec<_> = {
            let jobs = self.jobs();
            let chosen = jobs.iter().filter(|job| which(job));
            chosen.map(|job| job.done.clone()).collect()
        };
        let mut last = None;
        for done in waiting {
            last = Some(done.await?);
        }
        Ok(last)
    }

    /// Waits until the step with this key is known in the store, if this build has made it.
    pub async fn step(&self, key: &Key) -> Result<(), BuildError> {
        self.wait(|job| job.key == *key).await.map(|_| ())
    }

    /// The layer with its blob, once that is there, if this build has made it.
    pub async fn layer(&self, diff_id: &Digest) -> Result<Option<Layer>, BuildError> {
        self.wait(|job| job.diff_id == *diff_id).await
    }

    /// Waits for all of them; a failure of one does not keep the others from being stored.
    pub async fn end(&self) -> Result<(), BuildError> {
        let waiting: Vec<_> = self.jobs().iter().map(|job| job.done.clone()).collect();
        let done = futures_util::future::join_all(waiting).await;
        done.into_iter().try_for_each(|done| done.map(|_| ()))
    }

    /// Gives the layers of an image their blobs. All of them are there.
    pub async fn settle(&self, image: &mut Image) -> Result<(), BuildError> {
        for layer in image.layers().to_vec() {
            if let Some(packed) = self.layer(&layer.diff_id).await?
                && layer.descriptor.digest == layer.diff_id
            {
                image.replace_blob(&layer, packed.descriptor);
            }
        }
        Ok(())
    }
}

impl Layers {
    /// A layer with its blob: waits for it, if this build is making it.
    pub async fn packed(&self, layer: &Layer) -> Result<Layer, BuildError> {
        let made = match layer.descriptor.digest == layer.diff_id {
            true => self.packings.layer(&layer.diff_id).await?,
            false => None,
        };
        Ok(made.unwrap_or_else(|| layer.clone()))
    }
}
