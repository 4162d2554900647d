//! `rbuild index`

use anyhow::Result;
use rbuild::{Digest, edit::Platforms, image::Platform};

use super::target::destination;
use crate::{
    cli::{IndexAdd, IndexCommand, IndexMake, IndexRemove, Show},
    command::{
        image::{Found, find, transfer},
        session::Session,
    },
    report::Outcome,
};

/// Makes or changes an index of images.
pub async fn run(command: &IndexCommand, session: &Session) -> Outcome {
    match command {
        IndexCommand::Make(options) => make(options, session).await,
        IndexCommand::Add(options) => add(options, session).await,
        IndexCommand::Remove(options) => remove(options, session).await,
    }
}

async fn make(options: &IndexMake, session: &Session) -> Outcome {
    let mut index = Platforms::new();
    add_all(&mut index, &options.images, session).await?;
    let annotations = options
        .annotation
        .iter()
        .map(|pair| (pair.name.clone(), pair.value.clone()));
    index.annotations_mut().extend(annotations);
    write(&index, None, Some(&options.tag), &options.show, session).await
}

async fn add(options: &IndexAdd, session: &Session) -> Outcome {
    let (mut index, found) = open(&options.index, session).await?;
    add_all(&mut index, &options.images, session).await?;
    write(
        &index,
        Some(&found),
        options.tag.as_deref(),
        &options.show,
        session,
    )
    .await
}

async fn remove(options: &IndexRemove, session: &Session) -> Outcome {
    let (mut index, found) = open(&options.index, session).await?;
    for image in &options.images {
        match image.parse::<Digest>() {
            Ok(digest) => index.remove(digest).map_err(anyhow::Error::from)?,
            Err(_) => {
                let platform: Platform = image.parse().map_err(anyhow::Error::from)?;
                index.remove_platform(&platform).map_err(anyhow::Error::from)?;
            }
        }
    }
    write(
        &index,
        Some(&found),
        options.tag.as_deref(),
        &options.show,
        session,
    )
    .await
}

async fn open(name: &str, session: &Session) -> Result<(Platforms, Found)> {
    let found = find(name, session).await?;
    Ok((
        Platforms::open(&found.locator, found.store.as_ref(), &found.registry).await?,
        found,
    ))
}

async fn add_all(index: &mut Platforms, images: &[String], session: &Session) -> Result<()> {
    for image in images {
        let found = find(image, session).await?;
        index
            .add(&found.locator, found.store.as_ref(), &found.registry)
            .await?;
    }
    Ok(())
}

async fn write(
    index: &Platforms,
    found: Option<&Found>,
    tag: Option<&str>,
    show: &Show,
    session: &Session,
) -> Outcome {
    let to = destination(tag, found, index.opened())?;
    let options = session.copy_options(&[&to])?;
    transfer::watch(show, options, session, async |options, registry| {
        Ok(index.write_to(&to, options, registry).await?.digest)
    })
    .await?;
    Ok(())
}
