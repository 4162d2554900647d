//! Results of earlier builds, and why one is not there.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;

use super::{
    error::{BuildError, Problem},
    solver::Shared,
};
use crate::{
    Digest, Hasher,
    image::{Blobs, Layer},
    plan::key::{Parts, prefixed},
    store::{self, Cache},
};

/// What a step left: its layer, and when it was made.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub layer: Layer,
    /// RFC 3339.
    pub created: String,
}

impl Record {
    /// Whether it was made longer ago than this; if nobody knows when, it was.
    pub fn is_older_than(&self, age: Duration) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let made = self.created.parse::<jiff::Timestamp>();
        match (now, made) {
            (Ok(now), Ok(made)) => now.as_secs_f64() - made.as_duration().as_secs_f64() > age.as_secs_f64(),
            _ => true,
        }
    }
}

/// Whether the build takes results of earlier ones for such a step.
pub(super) fn may_be_known(shared: &Shared, parts: &Parts) -> bool {
    let instruction = parts.operation().split(' ').next().unwrap_or_default();
    let options = &shared.options;
    options.use_cache && !options.uncached.iter().any(|name| name == instruction)
}

/// The result of a step, or in a few words why there is none. `place` is the same for the same step of another build.
pub(super) async fn look_up(
    shared: &Arc<Shared>,
    parts: &Parts,
    place: &[String],
) -> Result<Result<Record, String>, BuildError> {
    if !may_be_known(shared, parts) {
        return Ok(Err("the cache is off".to_owned()));
    }
    let oldest = shared.options.oldest;
    let (store, parts, place) = (shared.store.clone(), parts.clone(), place_key(place));
    shared
        .blocking(move || {
            let Some(record) = store.get_step(&parts.key()).and_then(read) else {
                return Ok(Err(explain(&store, &parts, &place)));
            };
            if oldest.is_some_and(|oldest| record.is_older_than(oldest)) {
                return Ok(Err("its result is too old".to_owned()));
            }
            match store.has(&record.layer.descriptor) {
                Ok(true) => Ok(Ok(record)),
                Ok(false) => Ok(Err("its layer is no longer in the store".to_owned())),
                Err(error) => Ok(Err(error.to_string())),
            }
        })
        .await
}

/// Records a result, and the parts of its key for the next miss.
pub(super) async fn remember(
    shared: &Arc<Shared>,
    parts: &Parts,
    place: &[String],
    record: &Record,
) -> Result<(), BuildError> {
    let (store, parts, place, record) = (
        shared.store.clone(),
        parts.clone(),
        place_key(place),
        record.clone(),
    );
    shared
        .blocking(move || {
            let value = json!({ "created": record.created });
            let step = store::Record {
                layers: vec![record.layer],
                blobs: Vec::new(),
                value,
            };
            store.put_step(&parts.key(), &step)?;
            let bytes = serde_json::to_vec(&parts).map_err(|error| Problem::Value(error.to_string()))?;
            store.put(Cache::Why, &place, &bytes)?;
            Ok(())
        })
        .await
}

fn read(record: store::Record) -> Option<Record> {
    let created = record.value.get("created")?.as_str()?.to_owned();
    let layer = record.layers.into_iter().next()?;
    Some(Record { layer, created })
}

fn place_key(place: &[String]) -> Digest {
    let mut hasher = Hasher::new();
    prefixed(&mut hasher, b"rbuild why 1");
    for part in place {
        prefixed(&mut hasher, part.as_bytes());
    }
    hasher.finish()
}

fn explain(store: &store::Store, parts: &Parts, place: &Digest) -> String {
    let earlier = store
        .get(Cache::Why, place)
        .and_then(|bytes| serde_json::from_slice::<Parts>(&bytes).ok());
    let Some(earlier) = earlier else {
        return "not built here before".to_owned();
    };
    let changed = parts.changed_since(&earlier);
    match changed[..] {
        [] => "its result is no longer in the store".to_owned(),
        [one] => format!("{one} changed"),
        // What lies below says little when the step itself is another one.
        [..] if changed.contains(&"operation") => "it is another instruction".to_owned(),
        [one, two] => format!("{one} and {two} changed"),
        [one, two, ..] => format!("{one}, {two} and {} more changed", changed.len() - 2),
    }
}
