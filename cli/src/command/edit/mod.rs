//! The commands that change images without a build.
//!
//! - `target`: which image is meant, and where the result goes
//! - `settings`: flags to a config

mod append;
mod bundle;
mod config;
mod diff;
mod index;
mod insert;
mod outdated;
mod rebase;
mod settings;
mod squash;
mod target;

use super::session::Session;
use crate::{
    cli::{EditCommand, RawCommand},
    report::Outcome,
};

/// Does what the command line asks for.
pub async fn run(command: &EditCommand, session: &Session) -> Outcome {
    match command {
        EditCommand::Append(options) => append::run(options, session).await,
        EditCommand::Config(options) => config::run(options, session).await,
        EditCommand::Rebase(options) => rebase::run(options, session).await,
        EditCommand::Squash(options) => squash::run(options, session).await,
        EditCommand::Insert(options) => insert::run(options, session).await,
        EditCommand::Unpack(options) => Ok(bundle::unpack(options, session).await?),
        EditCommand::Repack(options) => bundle::repack(options, session).await,
        EditCommand::Raw(RawCommand::Unpack(options)) => Ok(bundle::raw_unpack(options, session).await?),
        EditCommand::Index(command) => index::run(command, session).await,
        EditCommand::Diff(options) => diff::run(options, session).await,
        EditCommand::Outdated(options) => outdated::run(options, session).await,
    }
}
