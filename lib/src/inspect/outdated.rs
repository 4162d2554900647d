//! Whether the base of an image has moved since.

use serde::Serialize;

use crate::{
    Digest, Reference,
    image::{BASE_DIGEST, BASE_NAME, Image, Manifest},
    registry::{self, Registry},
};

/// What is known of an image's base, and what its name stands for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BaseState {
    /// The base's name, if the image says it, or the caller did.
    pub base: Option<String>,
    /// Its digest, as the image says.
    pub recorded: Option<Digest>,
    /// Its digest now: of the manifest for the image's platform.
    pub current: Option<Digest>,
    /// What follows.
    pub state: Freshness,
}

/// Whether an image is built on what its base's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// It is.
    Current,
    /// The name stands for another image now.
    Outdated,
    /// The registry has no such image any more.
    Gone,
    /// The image does not say what it was built on.
    Unknown,
}

/// Asks the registry of an image's base, which the annotations `org.opencontainers.image.base.name` and `.digest` say;
/// `base` is believed first. Where there is no digest, the image's layers tell.
///
/// # Errors
/// If the registry cannot be asked.
pub async fn base_state(
    image: &Image,
    base: Option<&Reference>,
    registry: &Registry,
) -> Result<BaseState, registry::Error> {
    let annotations = image.annotations();
    let named = annotations
        .get(BASE_NAME)
        .and_then(|name| name.parse::<Reference>().ok());
    let recorded = annotations
        .get(BASE_DIGEST)
        .and_then(|digest| digest.parse().ok());
    // A digest belongs to the name beside it.
    let recorded = recorded.filter(|_| base.is_none() || base == named.as_ref());
    let name = base.cloned().or(named);
    let state = |current, state| BaseState {
        base: name.as_ref().map(Reference::to_string),
        recorded,
        current,
        state,
    };
    let Some(name) = &name else {
        return Ok(state(None, Freshness::Unknown));
    };
    let now = match registry
        .resolve(&name.clone().or_latest(), &image.platform())
        .await
    {
        Ok(now) => now,
        Err(error) if error.is_not_found() => return Ok(state(None, Freshness::Gone)),
        Err(error) => return Err(error),
    };
    let current = now.manifest.descriptor.digest;
    let same = match recorded {
        Some(recorded) => recorded == current || recorded == now.digest(),
        None => begins_with(image, &now.manifest.bytes),
    };
    Ok(state(
        Some(current),
        if same {
            Freshness::Current
        } else {
            Freshness::Outdated
        },
    ))
}

fn begins_with(image: &Image, base: &[u8]) -> bool {
    let layers = Manifest::parse(base)
        .map(|manifest| manifest.layers)
        .unwrap_or_default();
    let own = image.layers().iter().map(|layer| layer.descriptor.digest);
    let same = own
        .zip(&layers)
        .take_while(|(own, base)| *own == base.digest)
        .count();
    same == layers.len()
}
