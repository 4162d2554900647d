//! Caches elsewhere: results of steps that machines share, in a registry or in a directory.
//!
//! Every result is an OCI manifest of its own, found by its step's key: a look-up is one request, what is written never
//! changes, and builds that write at the same time do not undo each other's work. A result is restored by its name
//! alone; its layer moves when something needs the bytes, and is checked before an image is made of it.
//!
//! A cache only ever saves work. One that cannot be reached costs a warning; a result that turns out wrong costs a warning
//! and the work that it was to save.
//!
//! - `entry`: a result as a manifest
//! - `place`: registries and directories, read and written
//! - `keep`: writing beside the build
//! - `mounts`: contents of cache mounts

mod entry;
mod keep;
pub(super) mod mounts;
mod place;

use std::{
    collections::HashSet,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::mpsc;

pub(super) use entry::Entry;
pub(super) use keep::Jobs;

use super::{
    Build,
    cache::{self, Record},
    error::BuildError,
    solver::Shared,
};
use crate::{Digest, Event, Reference, plan::key::Parts};
use keep::Job;
use place::{Shelf, Trouble};

/// Where machines share results of steps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CachePlace {
    /// A repository. Each result has a tag of its own, that begins with the tag of this name if it has one.
    Registry(Reference),
    /// An OCI image layout in a directory.
    Local(PathBuf),
}

/// Which results a cache keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// Those of the stages that the image is built on.
    Min,
    /// Those of all stages that the build needed.
    #[default]
    Max,
}

impl fmt::Display for CachePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "{reference}"),
            Self::Local(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The caches of one build.
pub(super) struct Caches {
    sources: Vec<Shelf>,
    targets: Vec<Arc<Target>>,
    jobs: Mutex<Option<mpsc::UnboundedSender<Job>>>,
    /// Blobs of layers that are known from a cache alone.
    restored: Mutex<HashSet<Digest>>,
    /// Results that are to be remembered here, once their layers are.
    steps: Mutex<Vec<Restored>>,
    doubts: Doubts,
    pub(super) mounts: mounts::Used,
}

/// The result of a step that came from a cache: its key, and its place in the Containerfile.
struct Restored {
    parts: Parts,
    place: Vec<String>,
    record: Record,
}

/// A cache that is written to.
struct Target {
    shelf: Shelf,
    mode: CacheMode,
}

/// Layers that a cache promised and did not have, over all attempts of one build.
#[derive(Clone, Default)]
pub(super) struct Doubts(Arc<State>);

#[derive(Default)]
struct State {
    layers: Mutex<HashSet<Digest>>,
    count: AtomicUsize,
}

impl Doubts {
    /// After so many, caches are not asked any more.
    const MOST: usize = 3;

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    fn hold(&self, layer: Digest) -> bool {
        let new = self.layers().insert(layer);
        self.0.count.fetch_add(usize::from(new), Ordering::Relaxed);
        new
    }

    fn layers(&self) -> std::sync::MutexGuard<'_, HashSet<Digest>> {
        self.0.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caches {
    /// The caches that the options name, and what is to be written to them.
    pub fn new(options: &Build, doubts: &Doubts) -> (Self, Jobs) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let ask = options.use_cache && doubts.count() < Doubts::MOST;
        let sources = options.cache_from.iter().filter(|_| ask);
        let targets = options.cache_to.iter().map(|(place, mode)| {
            Arc::new(Target {
                shelf: Shelf::new(place.clone()),
                mode: *mode,
            })
        });
        let targets: Vec<Arc<Target>> = targets.collect();
        let jobs = Jobs::new(receiver, targets.clone());
        let caches = Self {
            sources: sources.cloned().map(Shelf::new).collect(),
            targets,
            jobs: Mutex::new(Some(sender)),
            restored: Mutex::default(),
            steps: Mutex::default(),
            doubts: doubts.clone(),
            mounts: mounts::Used::default(),
        };
        (caches, jobs)
    }

    /// What a cache has under this key, and which one.
    pub async fn look_up(&self, shared: &Arc<Shared>, key: &Digest) -> Option<(Entry, CachePlace)> {
        for shelf in self.sources.iter().filter(|shelf| shelf.is_on()) {
            let found = shelf.get(shared, key).await;
            let entry = found.and_then(|bytes| match bytes {
                Some(bytes) => Entry::parse(&bytes, key).map(Some).map_err(Trouble::Entry),
                None => Ok(None),
            });
            let place = shelf.place();
            match entry {
                Ok(Some(entry)) if self.is_doubtful(&entry) => {}
                Ok(Some(entry)) => {
                    if let Some(layer) = &entry.layer {
                        let new = shared.layers.know_elsewhere(layer, shelf.origin());
                        let blob = layer.descriptor.digest;
                        new.then(|| self.restored().insert(blob));
                    }
                    return Some((entry, place.clone()));
                }
                Ok(None) => {}
                Err(Trouble::Entry(why)) => {
                    warn(
                        shared,
                        format!("the cache {place} has a result that is not valid: {why}"),
                    );
                }
                Err(Trouble::Place(why)) => {
                    if shelf.turn_off() {
                        warn(shared, format!("the cache {place} is not used: {why}"));
                    }
                }
            }
        }
        None
    }

    /// Notes that a step was restored.
    pub fn note(&self, parts: &Parts, place: Vec<String>, record: &Record) {
        self.steps().push(Restored {
            parts: parts.clone(),
            place,
            record: record.clone(),
        });
    }

    /// Remembers the restored steps whose layers were fetched and found right.
    pub async fn remember(&self, shared: &Arc<Shared>) -> Result<(), BuildError> {
        let steps = std::mem::take(&mut *self.steps());
        for Restored { parts, place, record } in steps {
            if shared.layers.is_verified(&record.layer) {
                cache::remember(shared, &parts, &place, &record).await?;
            }
        }
        Ok(())
    }

    fn steps(&self) -> std::sync::MutexGuard<'_, Vec<Restored>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_doubtful(&self, entry: &Entry) -> bool {
        let doubts = self.doubts.layers();
        entry
            .layer
            .as_ref()
            .is_some_and(|layer| doubts.contains(&layer.descriptor.digest))
    }

    fn restored(&self) -> std::sync::MutexGuard<'_, HashSet<Digest>> {
        self.restored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a layer's blob is known from a cache alone.
    pub fn is_restored(&self, blob: &Digest) -> bool {
        self.restored().contains(blob)
    }

    /// Notes that a layer could not be had, or is not what it should be. If it is from a cache, the build can do without:
    /// it begins again, and makes the layer.
    pub fn blame(&self, shared: &Shared, blob: &Digest, why: impl fmt::Display) {
        if self.is_restored(blob) && self.doubts.hold(*blob) {
            let message = format!("the cache promised layer {blob}, which cannot be used: {why}");
            warn(shared, message);
        }
    }

    /// Writes a result to all caches that want it, in the background. It is `from` one of them, maybe.
    pub fn keep(
        &self,
        shared: &Arc<Shared>,
        stage: usize,
        key: Digest,
        entry: &Entry,
        from: Option<&CachePlace>,
    ) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(jobs) = &*jobs else { return };
        for target in &self.targets {
            let wanted = match target.mode {
                CacheMode::Max => true,
                CacheMode::Min => shared.graph.is_built_on(stage),
            };
            if wanted && from != Some(target.shelf.place()) {
                // Nobody receives it when the build is about to end.
                let _ = jobs.send(Job {
                    target: target.clone(),
                    key,
                    entry: entry.clone(),
                });
            }
        }
    }

    /// Whether results are written anywhere.
    pub fn are_kept(&self) -> bool {
        !self.targets.is_empty()
    }

    /// Nothing more will be written.
    pub fn close(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn warn(shared: &Shared, message: String) {
    shared.tell(Event::Warning { message, line: None });
}
