//! `rbuild version`

use anyhow::Result;

use super::shared::print;

/// Prints the version.
pub fn run() -> Result<()> {
    print(concat!("rbuild ", env!("CARGO_PKG_VERSION"), "\n"))
}
