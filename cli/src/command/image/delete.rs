//! `rbuild delete`

use anyhow::Result;

use crate::{
    cli::Delete,
    command::{session::Session, shared::print},
};

/// Deletes an image from its registry, and says which.
pub async fn run(options: &Delete, session: &Session) -> Result<()> {
    let image = options.image.clone().or_latest();
    session.registry()?.delete(&image).await?;
    print(&format!("deleted {image}\n"))
}
