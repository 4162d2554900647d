//! `rbuild tags`

use anyhow::Result;

use crate::{
    cli::Tags,
    command::{session::Session, shared::print},
};

/// Lists the tags of a repository, one a line.
pub async fn run(options: &Tags, session: &Session) -> Result<()> {
    let tags = session.registry()?.tags(&options.repository).await?;
    print(&tags.iter().map(|tag| format!("{tag}\n")).collect::<String>())
}
