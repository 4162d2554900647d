//! `rbuild push`

use anyhow::Result;
use rbuild::{Locator, ParseLocatorError, Reference, copy};

use super::transfer;
use crate::{cli::Push, command::session::Session, report::Outcome};

/// Pushes what a name of the store stands for, with all platforms that it has.
pub async fn run(options: &Push, session: &Session) -> Outcome {
    let to = destination(options.dest.as_ref().unwrap_or(&options.name))?;
    let wanted = copy::Options::new().all(true).store(&session.store()?);
    let from = Locator::Store(options.name.clone());
    transfer::run(&options.show, &from, &to, wanted, session).await?;
    Ok(())
}

/// A place as it is written, else a name in a registry.
fn destination(text: &str) -> Result<Locator> {
    match text.parse::<Locator>() {
        Err(ParseLocatorError::Transport(_)) => Ok(Locator::Registry(text.parse::<Reference>()?.or_latest())),
        parsed => Ok(parsed?),
    }
}
