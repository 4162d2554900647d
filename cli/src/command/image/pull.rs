//! `rbuild pull`

use rbuild::{Locator, copy};

use super::transfer;
use crate::{cli::Pull, command::session::Session, report::Outcome};

/// Pulls an image into the store, under its own name.
pub async fn run(options: &Pull, session: &Session) -> Outcome {
    let mut wanted = copy::Options::new().all(options.all).store(&session.store()?);
    if let Some(platform) = &options.platform {
        wanted = wanted.platform(platform.clone());
    }
    let name = session.registry()?.locate(&options.name).await;
    let name = name.map_err(anyhow::Error::from)?.or_latest();
    let (from, to) = (Locator::Registry(name.clone()), Locator::Store(name.to_string()));
    transfer::run(&options.show, &from, &to, wanted, session).await?;
    Ok(())
}
