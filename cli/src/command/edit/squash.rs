//! `rbuild squash`

use anyhow::Context as _;

use super::{settings, target};
use crate::{
    cli::Squash,
    command::{image::find, session::Session},
    report::Outcome,
};

/// Makes one layer of many.
pub async fn run(options: &Squash, session: &Session) -> Outcome {
    let (mut image, found) = target::open(&options.image, &options.target, session).await?;
    let base = match &options.base {
        Some(base) => Some(target::edit(&find(base, session).await?, &image.image().platform()).await?),
        None => None,
    };
    let created = settings::created(None)?;
    let history = target::history(&options.target, "squash", Some(&created));
    let store = session.store().ok();
    let work = move || {
        image
            .squash(base.as_ref(), history, store.as_ref())
            .map(|()| image)
    };
    let task = tokio::task::spawn_blocking(work).await;
    let mut image = task
        .context("the work was cut short")?
        .map_err(anyhow::Error::from)?;
    image.image_mut().config_mut().created = Some(created);
    target::write(image, found, &options.target, session).await
}
