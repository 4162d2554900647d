//! `rbuild digest`

use anyhow::{Result, bail};
use rbuild::{Locator, image::Platform};

use super::find::{Found, find};
use crate::{
    cli::Digest,
    command::{session::Session, shared::print},
};

/// Prints the digest that an image goes by. A registry is not even asked for the manifest.
pub async fn run(options: &Digest, session: &Session) -> Result<()> {
    let found = find(&options.image, session).await?;
    let digest = match &options.platform {
        Some(platform) => {
            let image = found.open(platform).await?.image(platform).await?;
            image.encode()?.descriptor.digest
        }
        None => top(&found).await?,
    };
    print(&format!("{digest}\n"))
}

async fn top(found: &Found) -> Result<rbuild::Digest> {
    let Locator::Registry(reference) = &found.locator else {
        return Ok(found.open(&Platform::host()).await?.descriptor().digest);
    };
    match found.registry.digest(reference).await? {
        Some(digest) => Ok(digest),
        None => bail!("{reference}: no such image in the registry"),
    }
}
