//! One file per command.
//!
//! - `image/`: the commands that move images and look into them
//! - `shared`: the store, standard output, tables

mod build;
mod check;
mod doctor;
mod du;
mod image;
mod images;
mod prune;
mod rmi;
mod shared;
mod version;

use crate::{
    cli::{Cli, Command},
    report::Outcome,
};
use shared::open_store;

/// Does what the command line asks for.
pub fn run(cli: Cli) -> Outcome {
    let store = || open_store(cli.root.as_deref());
    match cli.command {
        Command::Build(options) => build::run(&options, &store()?),
        Command::Check(options) => check::run(&options, &store()?),
        Command::Image(command) => image::run(&command, cli.root.as_deref()),
        Command::Images(options) => Ok(images::run(&options, &store()?)?),
        Command::Rmi(options) => Ok(rmi::run(&options, &store()?)?),
        Command::Prune(options) => Ok(prune::run(&options, &store()?)?),
        Command::Doctor(options) => Ok(doctor::run(&options, &store()?)?),
        Command::Du => Ok(du::run(&store()?)?),
        Command::Version => Ok(version::run()?),
    }
}
