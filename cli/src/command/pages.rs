//! `rbuild completions` and `rbuild man`: both come from the definition of the command line.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use super::shared::print;
use crate::cli::Cli;

/// Prints what a shell needs to complete the command line.
pub fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rbuild", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Writes a manual page for each command.
pub fn man(directory: &Path) -> Result<()> {
    let place = || format!("cannot write manual pages into {}", directory.display());
    fs::create_dir_all(directory).with_context(place)?;
    clap_mangen::generate_to(Cli::command(), directory).with_context(place)
}
