//! `rbuild pull`

use rbuild::{Locator, copy, store::Store};

use super::transfer;
use crate::{cli::Pull, report::Outcome};

/// Pulls an image into the store, under its own name.
pub async fn run(options: &Pull, store: &Store) -> Outcome {
    let mut wanted = copy::Options::new().all(options.all).store(store);
    if let Some(platform) = &options.platform {
        wanted = wanted.platform(platform.clone());
    }
    let name = options.name.clone().or_latest();
    let (from, to) = (Locator::Registry(name.clone()), Locator::Store(name.to_string()));
    transfer::run(&options.show, &from, &to, wanted).await?;
    Ok(())
}
