//! `rbuild delete`

use anyhow::Result;
use rbuild::registry::Registry;

use crate::{cli::Delete, command::shared::print};

/// Deletes an image from its registry, and says which.
pub async fn run(options: &Delete) -> Result<()> {
    let image = options.image.clone().or_latest();
    Registry::from_environment().delete(&image).await?;
    print(&format!("deleted {image}\n"))
}
