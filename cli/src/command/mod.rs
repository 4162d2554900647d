//! One file per command.

mod version;

use crate::{
    cli::{Cli, Command},
    report::{Failure, Outcome},
};

/// Does what the command line asks for.
pub fn run(cli: Cli) -> Outcome {
    match cli.command {
        Command::Version => Ok(version::run()?),
        _ => Err(Failure::new("this command is not there yet").into()),
    }
}
