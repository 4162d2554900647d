//! Where the image goes when it is built.

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use rbuild::{Locator, Place, Reference, build::Built, registry::Registry, store::Store};

use crate::{
    cli::Build,
    options::{self, Output},
    report::Outcome,
};

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// An image, in a registry, a layout or an archive.
    Image(Locator),
    /// An image in an archive on standard output.
    ImageToStdout(Archive),
    /// The image's files in a directory.
    Directory(PathBuf),
    /// The image's files in a tar.
    Tar(options::Place),
}

/// An image in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// An OCI layout in a tar.
    Oci,
    /// What `docker load` takes.
    Docker,
}

impl Archive {
    fn locator(self, path: impl Into<PathBuf>) -> Locator {
        match self {
            Self::Oci => Locator::OciArchive(Place::new(path)),
            Self::Docker => Locator::DockerArchive(Place::new(path)),
        }
    }
}

/// All that `-o` and `--push` ask for.
pub fn plan(options: &Build) -> Result<Vec<Destination>> {
    let mut outputs = options.outputs.clone();
    if options.push && !outputs.contains(&Output::Registry(None)) {
        outputs.push(Output::Registry(None));
    }
    let to_stdout =
        outputs.iter().filter(|output| output.takes_stdout()).count() + usize::from(options.quiet);
    ensure!(
        to_stdout <= 1,
        "only one of -q and the outputs can have standard output"
    );
    if outputs.iter().any(Output::takes_stdout) && io::stdout().is_terminal() {
        bail!(
            "standard output is a terminal, and no place for an archive: redirect it, or name a file with dest=FILE"
        );
    }
    let mut destinations = Vec::new();
    for output in outputs {
        add(output, &options.tags, &mut destinations)?;
    }
    Ok(destinations)
}

fn add(output: Output, tags: &[String], destinations: &mut Vec<Destination>) -> Result<()> {
    let archive = |place, kind: Archive| match place {
        options::Place::Stdout => Destination::ImageToStdout(kind),
        options::Place::File(path) => Destination::Image(kind.locator(path)),
    };
    destinations.push(match output {
        Output::Registry(Some(name)) => Destination::Image(registry(&name)?),
        Output::Registry(None) => {
            ensure!(
                !tags.is_empty(),
                "nothing says where to push: give the image a name with -t"
            );
            for tag in tags {
                destinations.push(Destination::Image(registry(tag)?));
            }
            return Ok(());
        }
        Output::OciLayout(path) => Destination::Image(Locator::OciLayout(Place::new(path))),
        Output::OciArchive(place) => archive(place, Archive::Oci),
        Output::DockerArchive(place) => archive(place, Archive::Docker),
        Output::Local(path) => Destination::Directory(path),
        Output::Tar(place) => Destination::Tar(place),
    });
    Ok(())
}

fn registry(name: &str) -> Result<Locator> {
    Ok(Locator::Registry(name.parse::<Reference>()?.or_latest()))
}

impl Destination {
    /// The name that the image will have in a registry.
    pub fn registry(&self) -> Option<&Reference> {
        match self {
            Self::Image(Locator::Registry(name)) => Some(name),
            _ => None,
        }
    }

    /// Writes the image there.
    pub async fn write(&self, built: &Built, store: &Store, registry: &Registry) -> Outcome {
        match self {
            Self::Image(locator) => built.write_to(locator, registry).await?,
            Self::ImageToStdout(kind) => {
                // An archive is replaced as a whole, which standard output cannot be.
                let directory = store.tmp_dir().map_err(anyhow::Error::from)?;
                let file = directory.path().join("image.tar");
                built.write_to(&kind.locator(&file), registry).await?;
                copy_to_stdout(&file)?;
            }
            Self::Directory(path) => built.write_directory(path).await?,
            Self::Tar(options::Place::Stdout) => built.write_tar(io::stdout()).await?,
            Self::Tar(options::Place::File(path)) => {
                let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
                let written = built.write_tar(file).await;
                if written.is_err() {
                    // Half a tar helps nobody; that it cannot be removed either is not what to report.
                    let _ = fs::remove_file(path);
                }
                written?;
            }
        }
        Ok(())
    }
}

fn copy_to_stdout(path: &Path) -> Result<()> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut out = io::stdout().lock();
    io::copy(&mut file, &mut out)
        .and_then(|_| out.flush())
        .context("cannot write to standard output")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn plan_of(arguments: &[&str]) -> Result<Vec<Destination>> {
        let line = ["rbuild", "build", "."].iter().chain(arguments);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Build(options) => plan(&options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn destinations_of_flags() {
        let image = |locator: &str| Destination::Image(locator.parse().unwrap());
        let cases: [(&[&str], Vec<Destination>); 5] = [
            (&[], vec![]),
            (
                &["--push", "-t", "a", "-t", "r.example/b:1"],
                vec![image("docker://a:latest"), image("docker://r.example/b:1")],
            ),
            (
                &["--push", "-o", "type=registry", "-t", "a"],
                vec![image("docker://a:latest")],
            ),
            (&["-o", "type=registry,name=a"], vec![image("docker://a:latest")]),
            (
                &["-o", "out", "-o", "type=oci,dest=x"],
                vec![Destination::Directory("out".into()), image("oci-archive:x")],
            ),
        ];
        for (arguments, expected) in cases {
            assert_eq!(plan_of(arguments).unwrap(), expected, "{arguments:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let cases: [(&[&str], &str); 3] = [
            (
                &["--push"],
                "nothing says where to push: give the image a name with -t",
            ),
            (
                &["-q", "-o", "-"],
                "only one of -q and the outputs can have standard output",
            ),
            (
                &["-o", "-", "-o", "type=oci,dest=-"],
                "only one of -q and the outputs can have standard output",
            ),
        ];
        for (arguments, expected) in cases {
            assert_eq!(plan_of(arguments).unwrap_err().to_string(), expected);
        }
    }
}
