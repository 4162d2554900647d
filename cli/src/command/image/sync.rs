//! `rbuild sync`

use anyhow::{Result, anyhow};
use rbuild::{Locator, copy::mirrored};

use super::transfer;
use crate::{
    cli::Sync,
    command::{session::Session, shared::print},
    report::Outcome,
};

/// Copies many images, one after the other.
pub async fn run(options: &Sync, session: &Session) -> Outcome {
    let images = plan(options, session).await?;
    let mut failed = 0;
    for (from, to) in &images {
        if options.dry_run {
            print(&format!("{from} -> {to}\n"))?;
            continue;
        }
        let wanted = session.copy_options(&[from, to])?;
        let wanted = wanted.all(options.all).referrers(options.referrers);
        match transfer::run(&options.show, from, to, wanted, session).await {
            Err(failure) if options.keep_going => {
                failed += 1;
                crate::report::failure(&failure);
            }
            result => _ = result?,
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(anyhow!("{failed} of {} images were not copied", images.len()).into()),
    }
}

async fn plan(options: &Sync, session: &Session) -> Result<Vec<(Locator, Locator)>> {
    let registry = session.registry()?;
    let mut images = Vec::new();
    for from in &options.from {
        images.extend(mirrored(from, &options.to, options.scoped, &registry).await?);
    }
    Ok(images)
}
