//! `rbuild version`

use anyhow::Result;
use serde_json::json;

use super::{image::template, shared::print};
use crate::cli::Version;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Prints the version. There is no server; who asks for its version means that of what builds.
pub fn run(options: &Version) -> Result<()> {
    let known =
        json!({ "Version": VERSION, "Client": { "Version": VERSION }, "Server": { "Version": VERSION } });
    print(&match &options.format {
        Some(format) => template::fill(format, &known)? + "\n",
        None => format!("rbuild {VERSION}\n"),
    })
}
