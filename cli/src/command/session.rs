//! What the flags before and after every command say: which store, and how to talk to registries.

use std::path::PathBuf;

use anyhow::Result;
use rbuild::{Locator, copy, registry::Registry, store::Store};

use super::shared::open_store;

/// The surroundings of a command.
pub struct Session {
    /// `--root`
    pub root: Option<PathBuf>,
}

impl Session {
    /// The store that the user means; opened only where it is needed.
    pub fn store(&self) -> Result<Store> {
        open_store(self.root.as_deref())
    }

    /// Who asks registries.
    pub fn registry(&self) -> Result<Registry> {
        Ok(Registry::from_environment())
    }

    /// What a copy among these places needs.
    pub fn copy_options(&self, places: &[&Locator]) -> Result<copy::Options> {
        let options = copy::Options::new();
        match places.iter().any(|place| matches!(place, Locator::Store(_))) {
            true => Ok(options.store(&self.store()?)),
            false => Ok(options),
        }
    }
}
