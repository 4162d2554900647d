//! `rbuild tag`

use anyhow::Result;
use rbuild::store::Store;

use crate::cli::Tag;

/// Gives an image more names.
pub fn run(options: &Tag, store: &Store) -> Result<()> {
    let image = store.find(&options.image)?;
    for name in &options.names {
        store.tag(&name.clone().or_latest().to_string(), &image)?;
    }
    Ok(())
}
