//! `rbuild tags`

use anyhow::{Context as _, Result, bail};
use rbuild::{Locator, ParseLocatorError, archive::Archive, registry::Registry};

use crate::{
    cli::Tags,
    command::{session::Session, shared::print},
};

/// Lists the tags of a repository, or the names of the images in a layout or an archive, one a line.
pub async fn run(options: &Tags, session: &Session) -> Result<()> {
    let registry = session.registry()?;
    let tags = match options.repository.parse::<Locator>() {
        Err(ParseLocatorError::Transport(_)) => of_name(&options.repository, &registry).await?,
        Ok(Locator::Registry(repository)) => registry.tags(&repository).await?,
        Ok(Locator::Store(_)) => bail!("`rbuild images` lists what is in the store"),
        place => names(&Archive::open(&place?)?),
    };
    print(&tags.iter().map(|tag| format!("{tag}\n")).collect::<String>())
}

/// Those of the first registry that has any, for a name that may lack its registry.
async fn of_name(name: &str, registry: &Registry) -> Result<Vec<String>> {
    let mut candidates = registry.candidates(name)?;
    let last = candidates.pop().context("a name has a meaning")?;
    for candidate in candidates {
        if let Ok(tags) = registry.tags(&candidate).await {
            return Ok(tags);
        }
    }
    Ok(registry.tags(&last).await?)
}

fn names(archive: &Archive) -> Vec<String> {
    let names = archive.images().flat_map(|(names, _)| names);
    names.cloned().collect()
}
