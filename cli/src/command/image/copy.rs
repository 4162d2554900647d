//! `rbuild copy`

use std::{fs, path::Path};

use anyhow::Context as _;
use rbuild::{Locator, copy};

use super::transfer;
use crate::{cli::Copy, command::shared::open_store, report::Outcome};

/// Copies an image from one place to another.
pub async fn run(options: &Copy, root: Option<&Path>) -> Outcome {
    let mut wanted = copy::Options::new().all(options.all).referrers(options.referrers);
    if let Some(platform) = &options.platform {
        wanted = wanted.platform(platform.clone());
    }
    for tag in &options.tags {
        wanted = wanted.additional_tag(tag);
    }
    if [&options.from, &options.to]
        .iter()
        .any(|place| matches!(place, Locator::Store(_)))
    {
        wanted = wanted.store(&open_store(root)?);
    }
    let digest = transfer::run(&options.show, &options.from, &options.to, wanted).await?;
    if let Some(path) = &options.digestfile {
        let write = fs::write(path, digest.to_string());
        write.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
