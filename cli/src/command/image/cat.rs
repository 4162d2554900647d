//! `rbuild cat`

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};

use super::find::{find, platform_or_host};
use crate::{cli::Cat, command::session::Session};

/// Prints a file of an image.
pub async fn run(options: &Cat, session: &Session) -> Result<()> {
    let platform = platform_or_host(options.platform.as_ref());
    let found = find(&options.image, session).await?;
    let source = found.open(&platform).await?;
    let image = source.image(&platform).await?;
    let files = source.files(&image, found.store.as_ref()).await?;
    let path = options.path.clone();
    let print = move || -> Result<()> {
        let mut file = files.open(&path)?;
        let mut out = io::stdout().lock();
        match io::copy(&mut file, &mut out).and_then(|_| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.with_context(|| format!("cannot print {}", path.display())),
        }
    };
    tokio::task::spawn_blocking(print).await?
}
