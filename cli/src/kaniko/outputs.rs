//! Where the image goes, and the files that say what it is.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use rbuild::{BuildError, Locator, Place, Reference, build::Built, registry::Registry};

use super::flags::Given;
use crate::report::Outcome;

/// What registries say of a tag that exists and must stay as it is.
const IMMUTABLE: [&str; 3] = ["immutable", "cannot be overwritten", "already exists"];

/// All that the flags ask for.
pub struct Outputs {
    names: Vec<Reference>,
    push: bool,
    /// A tag that may not be moved is no error.
    immutable_is_fine: bool,
    archive: Option<PathBuf>,
    layout: Option<PathBuf>,
    files: Vec<(PathBuf, Says)>,
}

/// What a file says.
#[derive(Clone, Copy)]
enum Says {
    /// The digest.
    Digest,
    /// `REPOSITORY@DIGEST` for each name.
    Name,
    /// `REPOSITORY:TAG@DIGEST` for each name.
    NameAndTag,
}

impl Outputs {
    /// Looks at the flags before anything is built.
    pub fn plan(given: &Given) -> Result<Self> {
        let names: Result<Vec<Reference>, _> = given
            .all("destination")
            .map(|name| name.parse().map(Reference::or_latest))
            .collect();
        let (names, push) = (names?, !given.on("no-push")?);
        ensure!(!push || !names.is_empty(), "give a --destination, or --no-push");
        let path = |name: &str| given.one(name).map(PathBuf::from);
        let files = [
            ("digest-file", Says::Digest),
            ("image-name-with-digest-file", Says::Name),
            ("image-name-tag-with-digest-file", Says::NameAndTag),
        ];
        Ok(Self {
            names,
            push,
            immutable_is_fine: given.on("push-ignore-immutable-tag-errors")?,
            archive: path("tar-path"),
            layout: path("oci-layout-path"),
            files: files
                .into_iter()
                .filter_map(|(flag, says)| Some((path(flag)?, says)))
                .collect(),
        })
    }

    /// Writes the image to all of these places, and then the files.
    pub async fn write(&self, built: &Built, registry: &Registry) -> Outcome {
        if let Some(path) = &self.layout {
            built
                .write_to(&Locator::OciLayout(Place::new(path)), registry)
                .await?;
        }
        if let Some(path) = &self.archive {
            built
                .write_to(&Locator::DockerArchive(Place::new(path)), registry)
                .await?;
        }
        for name in self.names.iter().filter(|_| self.push) {
            match built.write_to(&Locator::Registry(name.clone()), registry).await {
                Err(error) if self.immutable_is_fine && is_immutable(&error) => {
                    eprintln!("notice: {name} exists and may not be moved: {error}");
                }
                result => result?,
            }
        }
        for (path, says) in &self.files {
            let text = self.text(*says, &built.digest().to_string());
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn text(&self, says: Says, digest: &str) -> String {
        let lines = |name: fn(&Reference) -> String| -> String {
            self.names
                .iter()
                .map(|reference| format!("{}@{digest}\n", name(reference)))
                .collect()
        };
        match says {
            Says::Digest => digest.to_owned(),
            Says::Name => lines(Reference::name),
            Says::NameAndTag => lines(Reference::to_string),
        }
    }
}

fn is_immutable(error: &BuildError) -> bool {
    let text = error.to_string().to_lowercase();
    text.contains("tag") && IMMUTABLE.iter().any(|word| text.contains(word))
}
