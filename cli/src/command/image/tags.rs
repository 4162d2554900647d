//! `rbuild tags`

use anyhow::Result;
use rbuild::registry::Registry;

use crate::{cli::Tags, command::shared::print};

/// Lists the tags of a repository, one a line.
pub async fn run(options: &Tags) -> Result<()> {
    let tags = Registry::from_environment().tags(&options.repository).await?;
    print(&tags.iter().map(|tag| format!("{tag}\n")).collect::<String>())
}
