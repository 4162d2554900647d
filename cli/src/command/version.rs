//! `rbuild version`

use std::io::Write;

use anyhow::{Context, Result};

/// Prints the version.
pub fn run() -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    writeln!(std::io::stdout(), "rbuild {version}").context("cannot write to standard output")
}
