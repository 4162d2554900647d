//! The commands that move images and look into them.
//!
//! - `transfer`: a copy, with progress and signals around it
//! - `find`: which image a name means

mod cat;
mod copy;
mod delete;
mod digest;
mod find;
mod inspect;
mod login;
mod ls;
mod pull;
mod push;
mod sync;
mod tag;
mod tags;
pub mod template;
pub mod transfer;
mod validate;

use super::session::Session;
use crate::{cli::ImageCommand, report::Outcome};

pub use find::{Found, find, platform_or_host};

/// Does what the command line asks for. The store is opened only where it is needed.
pub async fn run(command: &ImageCommand, session: &Session) -> Outcome {
    match command {
        ImageCommand::Copy(options) => copy::run(options, session).await,
        ImageCommand::Sync(options) => sync::run(options, session).await,
        ImageCommand::Push(options) => push::run(options, session).await,
        ImageCommand::Pull(options) => pull::run(options, session).await,
        ImageCommand::Tag(options) => Ok(tag::run(options, &session.store()?)?),
        ImageCommand::Inspect(options) => Ok(inspect::run(options, session).await?),
        ImageCommand::Digest(options) => Ok(digest::run(options, session).await?),
        ImageCommand::Tags(options) => Ok(tags::run(options, session).await?),
        ImageCommand::Delete(options) => Ok(delete::run(options, session).await?),
        ImageCommand::Login(options) => Ok(login::login(options, session).await?),
        ImageCommand::Logout(options) => Ok(login::logout(options)?),
        ImageCommand::Validate(options) => Ok(validate::run(options, session).await?),
        ImageCommand::Ls(options) => Ok(ls::run(options, session).await?),
        ImageCommand::Cat(options) => Ok(cat::run(options, session).await?),
    }
}
