//! `rbuild rebase`

use anyhow::{Context as _, Result};
use rbuild::{
    Reference,
    edit::{self, Edit},
    image::{BASE_DIGEST, BASE_NAME},
};

use super::{settings, target};
use crate::{
    cli::Rebase,
    command::{image::find, session::Session},
    report::Outcome,
};

/// Exchanges the base of an image.
pub async fn run(options: &Rebase, session: &Session) -> Outcome {
    let (mut image, found) = target::open(&options.image, &options.target, session).await?;
    let (old, new) = bases(options, &image)?;
    let platform = image.image().platform();
    let old = target::edit(&find(&old, session).await?, &platform).await?;
    let new = target::edit(&find(&new, session).await?, &platform).await?;
    let store = session.store().ok();
    let work = move || edit::rebase(&mut image, &old, &new, store.as_ref()).map(|()| image);
    let task = tokio::task::spawn_blocking(work).await;
    let mut image = task
        .context("the work was cut short")?
        .map_err(anyhow::Error::from)?;
    let created = settings::created(None)?;
    image.image_mut().config_mut().created = Some(created.clone());
    let history = target::history(&options.target, "rebase", Some(&created));
    if options.target.history.is_some() {
        image.image_mut().note(history);
    }
    target::write(image, found, &options.target, session).await
}

/// The names of both bases: as given, or as the image says.
fn bases(options: &Rebase, image: &Edit) -> Result<(String, String)> {
    let said = |name: &str| image.image().annotations().get(name).cloned();
    let name = said(BASE_NAME);
    let old = match &options.old_base {
        Some(old) => old.clone(),
        None => {
            let unknown = "the image does not say what it was built on: name it with --old-base";
            let name: Reference = name.clone().context(unknown)?.parse()?;
            let digest = said(BASE_DIGEST).context(unknown)?.parse()?;
            format!("docker://{}", name.with_digest(digest))
        }
    };
    let new = match (&options.new_base, name) {
        (Some(new), _) => new.clone(),
        (None, Some(name)) => format!("docker://{name}"),
        (None, None) => {
            anyhow::bail!("the image does not say what it was built on: name the new base with --new-base")
        }
    };
    Ok((old, new))
}
