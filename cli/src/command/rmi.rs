//! `rbuild rmi`

use anyhow::Result;
use rbuild::{
    Reference,
    store::{Error, Named, Store},
};

use super::shared::print;
use crate::cli::Rmi;

/// Removes names from the store, and says which.
pub fn run(options: &Rmi, store: &Store) -> Result<()> {
    for name in &options.names {
        for removed in remove(store, name)? {
            let digest = removed.descriptor.digest;
            let name = removed.name.unwrap_or_default();
            print(&format!("removed {name} {digest}\n"))?;
        }
    }
    Ok(())
}

/// By the full name that a short one stands for, else as given: it may be a digest, or a name of another tool's making.
fn remove(store: &Store, name: &str) -> Result<Vec<Named>, Error> {
    if let Ok(reference) = name.parse::<Reference>() {
        match store.rmi(&reference.or_latest().to_string()) {
            Err(Error::NoImage { .. }) => {}
            result => return result,
        }
    }
    store.rmi(name)
}
