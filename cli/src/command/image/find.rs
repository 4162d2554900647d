//! Which image a name means.

use anyhow::Result;
use rbuild::{
    Locator, ParseLocatorError, Reference,
    copy::Source,
    image::Platform,
    registry::Registry,
    store::{self, Store},
};

use crate::command::session::Session;

/// An image that was found, and the store, if there is one.
pub struct Found {
    /// Where it is.
    pub locator: Locator,
    /// The store that the user means.
    pub store: Option<Store>,
    /// Who asks registries.
    pub registry: Registry,
}

/// A place as it is written; else an image of the store by its name; else one of a registry.
pub async fn find(text: &str, session: &Session) -> Result<Found> {
    // A machine without a place for a store can still look at images elsewhere.
    let store = session.store();
    let locator = match text.parse::<Locator>() {
        Err(ParseLocatorError::Transport(_)) => named(text, session, store.as_ref().ok()).await?,
        parsed => parsed?,
    };
    let store = match locator {
        Locator::Store(_) => Some(store?),
        _ => store.ok(),
    };
    Ok(Found {
        locator,
        store,
        registry: session.registry()?,
    })
}

/// What a name without a transport means.
async fn named(text: &str, session: &Session, store: Option<&Store>) -> Result<Locator> {
    let registry = session.registry()?;
    let missing = match store.map(|store| store.find(text)) {
        Some(Ok(_)) => return Ok(Locator::Store(text.to_owned())),
        Some(Err(error @ store::Error::NoImage { .. })) => Some(error),
        Some(Err(error)) => return Err(error.into()),
        None => None,
    };
    let candidates = match (registry.candidates(text), missing) {
        (Ok(candidates), _) => candidates,
        // It is no name that a registry could have.
        (Err(_), Some(error)) if text.parse::<Reference>().is_err() => return Err(error.into()),
        (Err(error), _) => return Err(error.into()),
    };
    let mut names = candidates
        .iter()
        .map(|candidate| candidate.clone().or_latest().to_string());
    if let Some(kept) = names.find(|name| store.is_some_and(|store| store.find(name).is_ok())) {
        return Ok(Locator::Store(kept));
    }
    Ok(Locator::Registry(registry.locate(text).await?))
}

impl Found {
    /// The image, open for reading.
    pub async fn open(&self, platform: &Platform) -> Result<Source> {
        Ok(Source::open(&self.locator, platform, self.store.as_ref(), &self.registry).await?)
    }
}

/// The platform that was asked for, or this machine's.
pub fn platform_or_host(platform: Option<&Platform>) -> Platform {
    platform.cloned().unwrap_or_else(Platform::host)
}
