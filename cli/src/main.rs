//! The `rbuild` command: flags to library calls, events to progress, errors to text and exit codes.
//!
//! - `cli`: the commands and their flags
//! - `command/`: one file per command
//! - `compat/`: command lines of docker, podman and buildah
//! - `kaniko/`: Kaniko's executor, by its own command line
//! - `job/`: builds in a Kubernetes cluster
//! - `serve/`: a machine that builds for others
//! - `options/`: values of flags that have a little language of their own
//! - `progress/`: what a build shows while it works
//! - `timings/`: where the time of a build went, as a page
//! - `certificates`: those of single registries
//! - `report`: an error as text, hint and exit code
//! - `interrupt`: what Ctrl-C does

mod certificates;
mod cli;
mod command;
mod compat;
mod interrupt;
mod job;
mod kaniko;
mod options;
mod progress;
#[cfg(test)]
mod recipes;
mod report;
mod serve;
mod style;
mod timings;

use std::process::ExitCode;

fn main() -> ExitCode {
    if kaniko::is_called(std::env::args_os().next().as_deref()) {
        return end(kaniko::run(&std::env::args().skip(1).collect::<Vec<_>>()));
    }
    let translated = match compat::translate(std::env::args_os()) {
        Ok(translated) => translated,
        Err(why) => return report::failure(&report::Failure::new(why)),
    };
    for notice in &translated.notices {
        eprintln!("notice: {notice}");
    }
    match cli::parse(translated.arguments) {
        Ok(cli) => end(command::run(cli)),
        Err(usage) => report::usage(&usage),
    }
}

fn end(outcome: report::Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::failure(&error),
    }
}
