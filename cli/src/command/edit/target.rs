//! Which image is meant, and where the result goes.

use anyhow::{Result, bail};
use rbuild::{
    Locator, ParseLocatorError, Reference,
    edit::Edit,
    image::{Descriptor, History, Platform},
};

use crate::{
    cli::Target,
    command::{
        image::{Found, find, platform_or_host, transfer},
        session::Session,
    },
    report::Outcome,
};

/// Opens the image to change; `scratch` only where that is of use.
pub async fn open(image: &str, target: &Target, session: &Session) -> Result<(Edit, Option<Found>)> {
    let platform = platform_or_host(target.platform.as_ref());
    let (edit, found) = if image == "scratch" {
        (Edit::scratch(&platform)?, None)
    } else {
        let found = find(image, session).await?;
        (edit(&found, &platform).await?, Some(found))
    };
    let compression = target.compression.map(|compress| compress.0);
    Ok((edit.compression(compression.unwrap_or_default()), found))
}

/// Opens an image.
pub async fn edit(found: &Found, platform: &Platform) -> Result<Edit> {
    let source = found.open(platform).await?;
    let image = source.image(platform).await?;
    Ok(Edit::of(source, image)?)
}

/// Writes the changed image to where it should go.
pub async fn write(edit: Edit, found: Option<Found>, target: &Target, session: &Session) -> Outcome {
    let to = destination(target.tag.as_deref(), found.as_ref(), edit.opened())?;
    let options = session.copy_options(&[&to])?;
    transfer::watch(&target.show, options, session, async |options, registry| {
        Ok(edit.write_to(&to, options, registry).await?.digest)
    })
    .await?;
    Ok(())
}

/// A place as it is written, else a name in the store, else where the image was.
pub fn destination(tag: Option<&str>, found: Option<&Found>, opened: Option<&Descriptor>) -> Result<Locator> {
    let Some(tag) = tag else {
        return in_place(found, opened);
    };
    match tag.parse::<Locator>() {
        Err(ParseLocatorError::Transport(_)) => {
            let name = tag.parse::<Reference>()?.or_latest();
            Ok(Locator::Store(name.to_string()))
        }
        parsed => Ok(parsed?),
    }
}

fn in_place(found: Option<&Found>, opened: Option<&Descriptor>) -> Result<Locator> {
    let by_digest = || bail!("a digest stays what it is: say where the changed image goes with --tag");
    match found.map(|found| found.locator.clone()) {
        None => bail!("say where the image goes with --tag"),
        Some(Locator::Registry(reference)) if reference.digest().is_some() => by_digest(),
        Some(Locator::OciLayout(mut place)) => {
            if place.digest.is_some() {
                return by_digest();
            }
            place.name = place.name.or_else(|| opened?.ref_name().map(str::to_owned));
            Ok(Locator::OciLayout(place))
        }
        Some(Locator::Store(name)) if name.parse::<rbuild::Digest>().is_ok() => by_digest(),
        Some(locator) => Ok(locator),
    }
}

/// What the history says of a change.
pub fn history(target: &Target, command: &str, created: Option<&String>) -> History {
    History {
        created: created.cloned(),
        created_by: target
            .history
            .clone()
            .unwrap_or_else(|| format!("rbuild {command}")),
        ..History::default()
    }
}
