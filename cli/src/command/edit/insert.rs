//! `rbuild insert`

use anyhow::{Context as _, Result};
use rbuild::{edit::Files, layer::LocalContents};

use super::{bundle::as_place, settings, target};
use crate::{cli::Insert, command::session::Session, report::Outcome};

/// Puts one file or directory into an image, or takes one away, with one layer.
pub async fn run(options: &Insert, session: &Session) -> Outcome {
    let (mut edit, found) = target::open(&as_place(&options.image), &options.target, session).await?;
    let created = settings::created(None)?;
    let history = target::history(&options.target, "insert", Some(&created));
    let changes = files(options)?.changes();
    let append = move || edit.append(&changes, &LocalContents, history).map(|()| edit);
    let task = tokio::task::spawn_blocking(append).await;
    let mut edit = task
        .context("the work was cut short")?
        .map_err(anyhow::Error::from)?;
    edit.image_mut().config_mut().created = Some(created);
    target::write(edit, found, &options.target, session).await
}

fn files(options: &Insert) -> Result<Files> {
    let files = Files::new();
    Ok(match (&options.whiteout, &options.source, &options.dest) {
        (Some(path), _, _) => files.remove(path)?,
        (_, Some(from), Some(to)) if options.opaque => files.replace(from, to)?,
        (_, Some(from), Some(to)) => files.add(from, to)?,
        _ => files,
    })
}
