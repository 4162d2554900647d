//! What a COPY from layers brings, remembered: it never changes, and finding out takes the whole tree.

use std::sync::Arc;

use super::{
    caches::{CachePlace, Entry},
    copy::Job,
    error::BuildError,
    solver::Shared,
};
use crate::{
    Digest, Hasher,
    image::Layer,
    plan::key::prefixed,
    store::{Cache, Store},
};

/// The fingerprints of what each source picks, in order.
pub(super) type Fingerprints = Vec<Vec<Digest>>;

/// A place in the store for the fingerprints of these sources in these layers.
pub(super) fn key(job: &Job, layers: &[Layer]) -> Digest {
    let mut hasher = Hasher::new();
    prefixed(&mut hasher, b"rbuild picks 1");
    for layer in layers {
        hasher.update(layer.diff_id.as_bytes());
    }
    for part in job.selection() {
        prefixed(&mut hasher, part.as_bytes());
    }
    hasher.finish()
}

/// The fingerprints, if they were remembered, here or elsewhere; stage number `stage` asks.
pub(super) async fn get(
    shared: &Arc<Shared>,
    stage: usize,
    key: Digest,
) -> Result<Option<Fingerprints>, BuildError> {
    let store: Store = shared.store.clone();
    let known: Option<Fingerprints> = shared
        .blocking(move || {
            let bytes = store.get(Cache::Contexts, &key);
            Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
        })
        .await?;
    if let Some(prints) = known {
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

/// Remembers fingerprints.
pub(super) async fn put(
    shared: &Arc<Shared>,
    stage: usize,
    key: Digest,
    prints: &Fingerprints,
) -> Result<(), BuildError> {
    share(shared, stage, key, prints, None);
    let Ok(bytes) = serde_json::to_vec(prints) else {
        return Ok(());
    };
    let store = shared.store.clone();
    shared
        .blocking(move || Ok(store.put(Cache::Contexts, &key, &bytes)?))
        .await
}
