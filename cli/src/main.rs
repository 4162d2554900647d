//! The `rbuild` command: flags to library calls, events to progress, errors to text and exit codes.
//!
//! - `cli`: the commands and their flags
//! - `command/`: one file per command
//! - `options/`: values of flags that have a little language of their own
//! - `progress/`: what a build shows while it works
//! - `timings/`: where the time of a build went, as a page
//! - `report`: an error as text, hint and exit code
//! - `interrupt`: what Ctrl-C does

mod cli;
mod command;
mod interrupt;
mod options;
mod progress;
mod report;
mod style;
mod timings;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(usage) => return report::usage(&usage),
    };
    match command::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::failure(&error),
    }
}
