//! Where an image is, or should go: a registry, a layout on disk, an archive, a directory.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::{
    Digest,
    registry::{ParseReferenceError, Reference},
};

/// The place of an image, as the user writes it; every form is a source and a destination alike.
///
/// | written | means |
/// |---|---|
/// | `docker://REF`, `docker-image://REF` | an image in a registry |
/// | `oci:PATH[:NAME][@DIGEST]`, `oci-layout://PATH[:NAME][@DIGEST]` | an OCI image layout in a directory |
/// | `oci-archive:PATH[:NAME][@DIGEST]` | the same, in a tar |
/// | `docker-archive:PATH[:NAME]` | what `docker save` writes and `docker load` reads |
/// | `dir:PATH` | manifest and blobs as plain files in one directory |
/// | `store:NAME` | an image in rbuild's own store, by name or digest |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Locator {
    /// In a registry.
    Registry(Reference),
    /// In an OCI image layout in a directory.
    OciLayout(Place),
    /// In an OCI image layout in a tar.
    OciArchive(Place),
    /// In a tar as `docker save` writes it; never has a digest.
    DockerArchive(Place),
    /// In a directory with `manifest.json` and one file for each blob.
    Directory(PathBuf),
    /// In rbuild's own store, by a name or a digest as [`Store::find`](crate::store::Store::find) takes it.
    Store(String),
}

/// A path, and which of the images there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The directory or file.
    pub path: PathBuf,
    /// The image's name there: the annotation `org.opencontainers.image.ref.name` in a layout, a repository and tag in a docker archive.
    pub name: Option<String>,
    /// The digest of the image's manifest or index.
    pub digest: Option<Digest>,
}

/// Why a text is not a [`Locator`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseLocatorError {
    /// It begins with no known transport.
    #[error(
        "{0:?} does not say what kind of place it is: write docker://, oci:, oci-archive:, docker-archive:, dir: or store: before it"
    )]
    Transport(String),
    /// The transport needs a path.
    #[error("{0:?} has no path")]
    NoPath(String),
    /// The store is asked by name.
    #[error("{0:?} names no image")]
    NoName(String),
    /// A docker archive cannot be asked by digest.
    #[error("{0:?} has a digest, and images in a docker archive have none")]
    Digest(String),
    /// The image's name is wrong.
    #[error(transparent)]
    Reference(#[from] ParseReferenceError),
}

impl Locator {
    /// The path on disk, unless it is a registry or the store.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Registry(_) | Self::Store(_) => None,
            Self::OciLayout(place) | Self::OciArchive(place) | Self::DockerArchive(place) => {
                Some(&place.path)
            }
            Self::Directory(path) => Some(path),
        }
    }
}

impl From<Reference> for Locator {
    fn from(reference: Reference) -> Self {
        Self::Registry(reference)
    }
}

impl FromStr for Locator {
    type Err = ParseLocatorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Longer prefixes first: `oci:` begins none of the others, but `docker:` would.
        if let Some(name) = text
            .strip_prefix("docker://")
            .or_else(|| text.strip_prefix("docker-image://"))
        {
            return Ok(Self::Registry(name.parse()?));
        }
        let (transport, rest) = text
            .split_once(':')
            .ok_or_else(|| ParseLocatorError::Transport(text.to_owned()))?;
        let place = || Place::parse(rest).ok_or_else(|| ParseLocatorError::NoPath(text.to_owned()));
        match transport {
            "oci" => Ok(Self::OciLayout(place()?)),
            "oci-archive" => Ok(Self::OciArchive(place()?)),
            "oci-layout" => {
                let rest = rest.strip_prefix("//").unwrap_or(rest);
                Place::parse(rest)
                    .map(Self::OciLayout)
                    .ok_or_else(|| ParseLocatorError::NoPath(text.to_owned()))
            }
            "docker-archive" => match place()? {
                Place { digest: Some(_), .. } => Err(ParseLocatorError::Digest(text.to_owned())),
                place => Ok(Self::DockerArchive(place)),
            },
            "store" if rest.is_empty() => Err(ParseLocatorError::NoName(text.to_owned())),
            "store" => Ok(Self::Store(rest.to_owned())),
            "dir" if rest.is_empty() => Err(ParseLocatorError::NoPath(text.to_owned())),
            "dir" => Ok(Self::Directory(rest.into())),
            _ => Err(ParseLocatorError::Transport(text.to_owned())),
        }
    }
}

impl Place {
    /// A path alone.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            name: None,
            digest: None,
        }
    }

    /// `PATH[:NAME][@DIGEST]`: the path ends at the first `:`, as with skopeo; what follows an `@` counts only if it is a digest.
    fn parse(text: &str) -> Option<Self> {
        let (rest, digest) = match text.rsplit_once('@').map(|(rest, last)| (rest, last.parse())) {
            Some((rest, Ok(digest))) => (rest, Some(digest)),
            _ => (text, None),
        };
        let (path, name) = match rest.split_once(':') {
            Some((path, name)) => (path, Some(name.to_owned()).filter(|name| !name.is_empty())),
            None => (rest, None),
        };
        (!path.is_empty()).then(|| Self {
            path: path.into(),
            name,
            digest,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(name) = &self.name {
            write!(f, ":{name}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "docker://{reference}"),
            Self::OciLayout(place) => write!(f, "oci:{place}"),
            Self::OciArchive(place) => write!(f, "oci-archive:{place}"),
            Self::DockerArchive(place) => write!(f, "docker-archive:{place}"),
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::Store(name) => write!(f, "store:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn prints_what_it_parses() {
        let at = |rest: &str| format!("{rest}@{D}");
        let table = [
            (
                "docker://alpine:3".to_owned(),
                "docker://docker.io/library/alpine:3".to_owned(),
            ),
            (
                "docker-image://localhost:5000/app".to_owned(),
                "docker://localhost:5000/app".to_owned(),
            ),
            ("oci:dir".to_owned(), "oci:dir".to_owned()),
            ("oci:/a/b:v1".to_owned(), "oci:/a/b:v1".to_owned()),
            (
                "oci:dir:docker.io/library/alpine:3".to_owned(),
                "oci:dir:docker.io/library/alpine:3".to_owned(),
            ),
            (at("oci:dir:v1"), at("oci:dir:v1")),
            (at("oci-layout:///a/b"), at("oci:/a/b")),
            ("oci-layout://a:v".to_owned(), "oci:a:v".to_owned()),
            (
                "oci-archive:x.tar:v1".to_owned(),
                "oci-archive:x.tar:v1".to_owned(),
            ),
            (
                "docker-archive:x.tar:app:1".to_owned(),
                "docker-archive:x.tar:app:1".to_owned(),
            ),
            (
                "docker-archive:x.tar:".to_owned(),
                "docker-archive:x.tar".to_owned(),
            ),
            ("dir:/a:b@c".to_owned(), "dir:/a:b@c".to_owned()),
            ("oci:a@b".to_owned(), "oci:a@b".to_owned()),
            ("store:me/app:1".to_owned(), "store:me/app:1".to_owned()),
        ];
        for (text, printed) in table {
            let locator: Locator = text.parse().unwrap();
            assert_eq!(locator.to_string(), printed, "{text}");
            assert_eq!(printed.parse::<Locator>().unwrap(), locator, "{text}");
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let digest = format!("docker-archive:x.tar@{D}");
        let table = [
            ("alpine", "does not say what kind"),
            ("alpine:3", "does not say what kind"),
            ("oci:", "has no path"),
            ("oci::tag", "has no path"),
            ("oci-layout://", "has no path"),
            ("dir:", "has no path"),
            ("store:", "names no image"),
            ("docker://", "it is empty"),
            ("docker://App", "lower case"),
            (digest.as_str(), "have none"),
        ];
        for (text, reason) in table {
            let error = text.parse::<Locator>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
