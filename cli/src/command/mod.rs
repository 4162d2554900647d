//! One file per command.
//!
//! - `edit/`: the commands that change images without a build
//! - `session`: which store, which registries
//! - `image/`: the commands that move images and look into them
//! - `shared`: the store, standard output, tables

mod archive;
pub mod build;
mod check;
mod doctor;
mod du;
mod edit;
mod image;
mod images;
mod pages;
pub mod prune;
mod rmi;
mod s2i;
pub mod session;
pub mod shared;
mod version;

use crate::{
    cli::{Cli, Command},
    report::Outcome,
};
use session::Session;
use shared::run_async;

/// Does what the command line asks for.
pub fn run(cli: Cli) -> Outcome {
    let session = Session::new(cli.root, cli.registries);
    let store = || session.store();
    match cli.command {
        Command::Build(options) => build::run(&options, &session),
        Command::S2i(options) => s2i::run(*options, &session),
        Command::S2iUsage(options) => s2i::usage(&options, &session),
        Command::Check(options) => check::run(&options, &store()?),
        Command::Image(command) => run_async(image::run(&command, &session)),
        Command::Edit(command) => run_async(edit::run(&command, &session)),
        Command::Images(options) => Ok(images::run(&options, &store()?)?),
        Command::Rmi(options) => Ok(rmi::run(&options, &store()?)?),
        Command::Prune(options) => Ok(prune::run(&options, &store()?)?),
        Command::Doctor(options) => Ok(doctor::run(&options, &store()?)?),
        Command::Du => Ok(du::run(&store()?)?),
        Command::Save(options) => run_async(archive::save(&options, &session)),
        Command::Load(options) => run_async(archive::load(&options, &session)),
        Command::Kaniko(options) => crate::kaniko::run(&options.arguments),
        Command::Job(options) => crate::job::run(*options, &session),
        Command::Serve(options) => crate::serve::run(&options, session),
        Command::Version(options) => Ok(version::run(&options)?),
        Command::Completions { shell } => Ok(pages::completions(shell)?),
        Command::Man { directory } => Ok(pages::man(&directory)?),
    }
}
