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
mod tag;
mod tags;
mod transfer;
mod validate;

use std::path::Path;

use super::shared::{open_store, run_async};
use crate::{cli::ImageCommand, report::Outcome};

/// Does what the command line asks for. The store is opened only where it is needed.
pub fn run(command: &ImageCommand, root: Option<&Path>) -> Outcome {
    run_async(async {
        match command {
            ImageCommand::Copy(options) => copy::run(options, root).await,
            ImageCommand::Push(options) => push::run(options, &open_store(root)?).await,
            ImageCommand::Pull(options) => pull::run(options, &open_store(root)?).await,
            ImageCommand::Tag(options) => Ok(tag::run(options, &open_store(root)?)?),
            ImageCommand::Inspect(options) => Ok(inspect::run(options, root).await?),
            ImageCommand::Digest(options) => Ok(digest::run(options, root).await?),
            ImageCommand::Tags(options) => Ok(tags::run(options).await?),
            ImageCommand::Delete(options) => Ok(delete::run(options).await?),
            ImageCommand::Login(options) => Ok(login::login(options).await?),
            ImageCommand::Logout(options) => Ok(login::logout(options)?),
            ImageCommand::Validate(options) => Ok(validate::run(options, root).await?),
            ImageCommand::Ls(options) => Ok(ls::run(options, root).await?),
            ImageCommand::Cat(options) => Ok(cat::run(options, root).await?),
        }
    })
}
