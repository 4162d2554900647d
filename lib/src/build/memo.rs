//! What a COPY brings, remembered: finding out takes the whole tree. Layers never change; files of a directory have not if
//! their stamp is the same.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    caches::{CachePlace, Entry},
    copy::Job,
    error::BuildError,
    solver::Shared,
};
use crate::{Digest, Hasher, image::Layer, plan::key::prefixed, store::Cache};

/// The fingerprints of what each source picks, in order.
pub(super) type Fingerprints = Vec<Vec<Digest>>;

/// What decides what a COPY brings, where that can be told without looking for it.
pub(super) enum Memo {
    /// Stands for layers, and what is taken from them.
    Layers(Digest),
    Files {
        /// Stands for a directory, and what is taken from it.
        place: Digest,
        /// Of what is in the directory.
        stamp: Digest,
    },
}

impl Memo {
    /// For these sources in layers.
    pub fn of_layers(job: &Job, layers: &[Layer]) -> Self {
        let mut hasher = Hasher::new();
        prefixed(&mut hasher, b"rbuild picks 1");
        for layer in layers {
            hasher.update(layer.diff_id.as_bytes());
        }
        Self::Layers(with_selection(hasher, job))
    }

    /// For these sources in files of a directory that have this stamp: see [`Files::stamp`](super::input::Files::stamp).
    pub fn of_files(job: &Job, (directory, stamp): (Digest, Digest)) -> Self {
        let mut hasher = Hasher::new();
        prefixed(&mut hasher, b"rbuild picks of files 1");
        hasher.update(directory.as_bytes());
        let place = with_selection(hasher, job);
        Self::Files { place, stamp }
    }

    /// The fingerprints, if they were remembered, here or elsewhere; stage number `stage` asks.
    pub async fn get(&self, shared: &Arc<Shared>, stage: usize) -> Result<Option<Fingerprints>, BuildError> {
        match self {
            Self::Layers(key) => of_layers(shared, stage, *key).await,
            Self::Files { place, stamp } => {
                let known: Option<(Digest, Fingerprints)> = load(shared, *place).await?;
                Ok(known.and_then(|(known, prints)| (known == *stamp).then_some(prints)))
            }
        }
    }

    /// Remembers fingerprints.
    pub async fn put(
        &self,
        shared: &Arc<Shared>,
        stage: usize,
        prints: &Fingerprints,
    ) -> Result<(), BuildError> {
        match self {
            Self::Layers(key) => {
                share(shared, stage, *key, prints, None);
                save(shared, *key, prints).await
            }
            Self::Files { place, stamp } => save(shared, *place, &(stamp, prints)).await,
        }
    }
}

fn with_selection(mut hasher: Hasher, job: &Job) -> Digest {
    for part in job.selection() {
        prefixed(&mut hasher, part.as_bytes());
    }
    hasher.finish()
}

async fn of_layers(
    shared: &Arc<Shared>,
    stage: usize,
    key: Digest,
) -> Result<Option<Fingerprints>, BuildError> {
    if let Some(prints) = load(shared, key).await? {
        share(shared, stage, key, &prints, None);
        return Ok(Some(prints));
    }
    let Some((entry, from)) = shared.caches.look_up(shared, &key).await else {
        return Ok(None);
    };
    let prints = entry.picks();
    if let Some(prints) = &prints {
        share(shared, stage, key, prints, Some(&from));
    }
    Ok(prints)
}

fn share(shared: &Arc<Shared>, stage: usize, key: Digest, prints: &Fingerprints, from: Option<&CachePlace>) {
    if shared.caches.are_kept() {
        let entry = Entry::of_picks(prints);
        shared.caches.keep(shared, stage, key, &entry, from);
    }
}

async fn load<T: DeserializeOwned + Send + 'static>(
    shared: &Arc<Shared>,
    key: Digest,
) -> Result<Option<T>, BuildError> {
    let store = shared.store.clone();
    let read = move || {
        let bytes = store.get(Cache::Contexts, &key);
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    };
    shared.blocking(read).await
}

async fn save(shared: &Arc<Shared>, key: Digest, value: &impl Serialize) -> Result<(), BuildError> {
    let Ok(bytes) = serde_json::to_vec(value) else {
        return Ok(());
    };
    let store = shared.store.clone();
    shared
        .blocking(move || Ok(store.put(Cache::Contexts, &key, &bytes)?))
        .await
}
