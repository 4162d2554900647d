//! `rbuild save` and `rbuild load`: images in archives, as docker and podman have them.

use std::{
    fs::File,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use rbuild::{Locator, Place, Reference, archive::Archive, copy};

use super::{session::Session, shared::print};
use crate::{
    cli::{ArchiveFormat, Load, Save},
    report::Outcome,
};

/// Writes an image of the store into an archive.
pub async fn save(options: &Save, session: &Session) -> Outcome {
    let name = options
        .name
        .parse::<Reference>()
        .map_err(anyhow::Error::from)?
        .or_latest();
    let scratch = session.store()?.tmp_dir().map_err(anyhow::Error::from)?;
    let file = options
        .output
        .clone()
        .unwrap_or_else(|| scratch.path().join("image.tar"));
    if options.output.is_none() && io::stdout().is_terminal() {
        return Err(anyhow::anyhow!("standard output is a terminal: name a file with -o").into());
    }
    let place = Place {
        name: Some(name.to_string()),
        ..Place::new(&file)
    };
    let to = match options.format {
        ArchiveFormat::Docker => Locator::DockerArchive(place),
        ArchiveFormat::Oci => Locator::OciArchive(place),
    };
    let from = Locator::Store(options.name.clone());
    let wanted = copy::Options::new().store(&session.store()?);
    rbuild::copy(&from, &to, &wanted, &session.registry()?)
        .await
        .map_err(anyhow::Error::from)?;
    if options.output.is_none() {
        let mut archive = File::open(&file).context("cannot read what was saved")?;
        io::copy(&mut archive, &mut io::stdout().lock()).context("cannot write to standard output")?;
    }
    Ok(())
}

/// Takes all images of an archive into the store, under the names that they have there.
pub async fn load(options: &Load, session: &Session) -> Outcome {
    let store = session.store()?;
    let scratch = store.tmp_dir().map_err(anyhow::Error::from)?;
    let file = match &options.input {
        Some(file) => file.clone(),
        None => from_standard_input(scratch.path())?,
    };
    let (archive, with_name) = open(&file)?;
    let names: Vec<String> = archive.images().flat_map(|(names, _)| names).cloned().collect();
    if names.is_empty() {
        return Err(anyhow::anyhow!(
            "no image in {} has a name: give it one with `rbuild copy`",
            file.display()
        )
        .into());
    }
    let registry = session.registry()?;
    for name in names {
        let to = name
            .parse::<Reference>()
            .map_err(anyhow::Error::from)?
            .or_latest();
        let wanted = copy::Options::new().all(true).store(&store);
        let from = with_name(Place {
            name: Some(name),
            ..Place::new(&file)
        });
        rbuild::copy(&from, &Locator::Store(to.to_string()), &wanted, &registry)
            .await
            .map_err(anyhow::Error::from)?;
        print(&format!("Loaded image: {}\n", to.familiar()))?;
    }
    Ok(())
}

/// An image in an archive.
type Named = fn(Place) -> Locator;

/// An archive of either format, and how its images are named.
fn open(file: &Path) -> Result<(Archive, Named)> {
    let docker = Archive::open(&Locator::DockerArchive(Place::new(file)));
    match docker {
        Ok(archive) => Ok((archive, Locator::DockerArchive)),
        Err(error) => match Archive::open(&Locator::OciArchive(Place::new(file))) {
            Ok(archive) => Ok((archive, Locator::OciArchive)),
            Err(_) => bail!(error),
        },
    }
}

fn from_standard_input(directory: &Path) -> Result<PathBuf> {
    ensure!(
        !io::stdin().is_terminal(),
        "standard input is a terminal: name a file with -i"
    );
    let file = directory.join("image.tar");
    let mut out = File::create(&file).with_context(|| format!("cannot create {}", file.display()))?;
    io::copy(&mut io::stdin().lock(), &mut out).context("cannot read standard input")?;
    Ok(file)
}
