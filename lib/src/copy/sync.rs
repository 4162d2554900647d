//! Many images at once: which they are, and where each goes.

use std::{path::PathBuf, str::FromStr};

use super::{Error, blocking};
use crate::{
    Locator, Place, Reference,
    archive::Archive,
    registry::{ParseReferenceError, Registry},
};

/// A place for many images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// `docker://HOST[/PATH]`: repositories below it.
    Registry(String),
    /// `oci:DIR`: one layout, with the images by name.
    Layout(PathBuf),
    /// `dir:DIR`: a directory for each image.
    Directory(PathBuf),
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = |prefix: &str| text.strip_prefix(prefix).filter(|rest| !rest.is_empty());
        let registry = rest("docker://").map(|rest| Self::Registry(rest.trim_end_matches('/').to_owned()));
        let layout = || rest("oci:").map(|rest| Self::Layout(rest.into()));
        let directory = || rest("dir:").map(|rest| Self::Directory(rest.into()));
        registry.or_else(layout).or_else(directory).ok_or_else(|| {
            format!("{text:?} is no place for many images: docker://HOST[/PATH], oci:DIR or dir:DIR")
        })
    }
}

/// Which images a source has, and where each goes: of a repository without a tag those of all its tags, of a layout or an
/// archive without a name all that have one. With `scoped`, names keep their host and their whole path.
///
/// # Errors
/// If the source cannot be read, or has a name that the mirror cannot have.
pub async fn mirrored(
    from: &Locator,
    to: &Mirror,
    scoped: bool,
    registry: &Registry,
) -> Result<Vec<(Locator, Locator)>, Error> {
    let mut all = Vec::new();
    for source in sources(from, registry).await? {
        let target = target(&name(&source), to, scoped)?;
        all.push((source, target));
    }
    Ok(all)
}

async fn sources(from: &Locator, registry: &Registry) -> Result<Vec<Locator>, Error> {
    match from {
        Locator::Registry(at) if at.tag().is_none() && at.digest().is_none() => {
            let tags = registry.tags(at).await?;
            let named = |tag: &String| Ok(Locator::Registry(at.with_tag(tag)?));
            tags.iter().map(named).collect()
        }
        Locator::OciLayout(place) | Locator::OciArchive(place)
            if place.name.is_none() && place.digest.is_none() =>
        {
            let opened = from.clone();
            let names = blocking(move || Ok(Archive::open(&opened)?.names())).await?;
            let named = |name: String| {
                let place = Place {
                    name: Some(name),
                    ..place.clone()
                };
                match from {
                    Locator::OciLayout(_) => Locator::OciLayout(place),
                    _ => Locator::OciArchive(place),
                }
            };
            Ok(names.into_iter().map(named).collect())
        }
        one => Ok(vec![one.clone()]),
    }
}

/// What an image is called: a whole name as far as there is one.
fn name(source: &Locator) -> String {
    match source {
        Locator::Registry(at) => at.to_string(),
        Locator::Store(name) => name.clone(),
        Locator::OciLayout(place) | Locator::OciArchive(place) | Locator::DockerArchive(place) => {
            let file = place
                .path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .to_lowercase();
            match &place.name {
                // A bare tag is that of the layout.
                Some(name) if name.contains(['/', ':']) => name.clone(),
                Some(tag) => format!("{file}:{tag}"),
                None => file,
            }
        }
        Locator::Directory(path) => path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    }
}

fn target(name: &str, to: &Mirror, scoped: bool) -> Result<Locator, ParseReferenceError> {
    let parsed = name.parse::<Reference>()?.or_latest();
    let path = match scoped {
        true => parsed.name(),
        false => parsed
            .repository()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned(),
    };
    let selector = match (parsed.digest(), parsed.tag()) {
        (Some(digest), _) => format!("@{digest}"),
        (None, tag) => format!(":{}", tag.unwrap_or("latest")),
    };
    Ok(match to {
        // A port in a path would be taken for a tag.
        Mirror::Registry(prefix) => {
            Locator::Registry(format!("{prefix}/{}{selector}", path.replace(':', "-")).parse()?)
        }
        Mirror::Layout(directory) => {
            let name = Some(format!("{path}{selector}"));
            Locator::OciLayout(Place {
                path: directory.clone(),
                name,
                digest: None,
            })
        }
        Mirror::Directory(directory) => Locator::Directory(directory.join(format!("{path}{selector}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_as_much_as_is_asked_for() {
        let table = [
            (
                "docker://ghcr.io/a/b:1",
                "docker://localhost:5000",
                false,
                "docker://localhost:5000/b:1",
            ),
            (
                "docker://ghcr.io/a/b:1",
                "docker://m.example/x",
                true,
                "docker://m.example/x/ghcr.io/a/b:1",
            ),
            (
                "docker://localhost:5000/b",
                "docker://m.example",
                true,
                "docker://m.example/localhost-5000/b:latest",
            ),
            ("oci:images/layout:1", "oci:all", false, "oci:all:layout:1"),
            ("oci:layout:ghcr.io/a/b:1", "dir:all", false, "dir:all/b:1"),
            (
                "docker://alpine",
                "dir:all",
                true,
                "dir:all/docker.io/library/alpine:latest",
            ),
        ];
        for (from, to, scoped, expected) in table {
            let target = target(&name(&from.parse().unwrap()), &to.parse().unwrap(), scoped).unwrap();
            assert_eq!(target.to_string(), expected, "{from} {to}");
        }
        assert!("alpine".parse::<Mirror>().is_err() && "docker://".parse::<Mirror>().is_err());
    }
}
