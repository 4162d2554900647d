//! `rbuild copy`

use std::fs;

use anyhow::Context as _;

use super::transfer;
use crate::{cli::Copy, command::session::Session, report::Outcome};

/// Copies an image from one place to another.
pub async fn run(options: &Copy, session: &Session) -> Outcome {
    let wanted = session.copy_options(&[&options.from, &options.to])?;
    let mut wanted = wanted.all(options.all).referrers(options.referrers);
    if let Some(platform) = &options.platform {
        wanted = wanted.platform(platform.clone());
    }
    for tag in &options.tags {
        wanted = wanted.additional_tag(tag);
    }
    let digest = transfer::run(&options.show, &options.from, &options.to, wanted, session).await?;
    if let Some(path) = &options.digestfile {
        let write = fs::write(path, digest.to_string());
        write.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
