//! `rbuild validate`

use anyhow::{Result, bail};
use rbuild::image::Platform;

use super::find::find;
use crate::{
    cli::Look,
    command::{session::Session, shared::print},
    options::human,
};

/// Reads all of an image, and tells what is wrong with it.
pub async fn run(options: &Look, session: &Session) -> Result<()> {
    let source = find(&options.image, session)
        .await?
        .open(&Platform::host())
        .await?;
    let result = source.validate().await?;
    for finding in &result.findings {
        print(&format!("{finding}\n"))?;
    }
    match result.findings.len() {
        0 => print(&format!(
            "valid: {} manifests, {} blobs, {}\n",
            result.manifests,
            result.blobs,
            human(result.bytes)
        )),
        1 => bail!("{} is not valid", source.place()),
        count => bail!("{} is not valid: {count} things are wrong", source.place()),
    }
}
