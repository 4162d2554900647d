//! Which image a name means.

use anyhow::Result;
use rbuild::{
    Locator, ParseLocatorError,
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
pub fn find(text: &str, session: &Session) -> Result<Found> {
    // A machine without a place for a store can still look at images elsewhere.
    let store = session.store();
    let locator = match text.parse::<Locator>() {
        Err(ParseLocatorError::Transport(_)) => match store.as_ref().map(|store| store.find(text)) {
            Ok(Ok(_)) => Locator::Store(text.to_owned()),
            Ok(Err(error @ store::Error::NoImage { .. })) => match session.registry()?.expand(text) {
                Ok(reference) => Locator::Registry(reference),
                Err(_) => return Err(error.into()),
            },
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => Locator::Registry(session.registry()?.expand(text)?),
        },
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
