//! Tags: which name stands for which image.

use super::{Error, Store};
use crate::{
    Digest, Reference,
    image::{self, Descriptor, Index, Manifest, MediaType, REF_NAME, SMALL},
};

/// An entry of the store's index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The full name, if it has one.
    pub name: Option<String>,
    /// A manifest or an index.
    pub descriptor: Descriptor,
}

impl Store {
    /// Gives an image a name, in place of the image that had it.
    ///
    /// The name is taken as it is (`docker.io/library/app:1`), so that others find it: `skopeo copy oci:STORE:NAME`.
    ///
    /// # Errors
    /// If the index cannot be written, or the name is none.
    pub fn tag(&self, name: &str, image: &Descriptor) -> Result<(), Error> {
        check(name)?;
        let mut entry = image.clone();
        entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        self.edit(|index| put(&mut index.manifests, entry))
    }

    /// The image of this name.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn resolve(&self, name: &str) -> Result<Option<Descriptor>, Error> {
        let index = self.layout().index()?;
        Ok(index
            .manifests
            .into_iter()
            .find(|entry| entry.ref_name() == Some(name)))
    }

    /// The image that a user means: by the full name that a short one stands for (`app` is
    /// `docker.io/library/app:latest`), by a name of another tool's making, by the beginning of a named image's digest
    /// (at least 6 digits), or by the whole digest of any manifest here.
    ///
    /// # Errors
    /// [`Error::NoImage`] if there is none, and if the index cannot be read.
    pub fn find(&self, name: &str) -> Result<Descriptor, Error> {
        let entries = self.layout().index()?.manifests;
        let by_name = |name: &str| entries.iter().find(|entry| entry.ref_name() == Some(name));
        let full = name
            .parse::<Reference>()
            .ok()
            .map(|name| name.or_latest().to_string());
        full.and_then(|full| by_name(&full))
            .or_else(|| by_name(name))
            .or_else(|| by_digest(&entries, name))
            .cloned()
            .or_else(|| self.manifest_of_digest(name))
            .ok_or_else(|| self.no_image(name))
    }

    /// A manifest that nothing names may still be here: of a build without a name, of a platform in an index.
    fn manifest_of_digest(&self, digest: &str) -> Option<Descriptor> {
        let digest: Digest = digest.parse().ok()?;
        let path = self.layout().blob_path(&digest);
        let bytes = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() <= SMALL => std::fs::read(path).ok()?,
            _ => return None,
        };
        let unknown = MediaType::Other(String::new());
        let media_type = match image::is_index(&unknown, &bytes) {
            true => MediaType::ImageIndex,
            false => {
                let manifest = Manifest::parse(&bytes).ok()?;
                manifest.media_type.unwrap_or(MediaType::ImageManifest)
            }
        };
        Some(Descriptor::new(media_type, digest, bytes.len() as u64))
    }

    fn no_image(&self, name: &str) -> Error {
        Error::NoImage {
            name: name.to_owned(),
            path: self.root().to_owned(),
        }
    }

    /// Takes a name away; the image stays until it is pruned. Says whether there was such a name.
    ///
    /// # Errors
    /// If the index cannot be written.
    pub fn untag(&self, name: &str) -> Result<bool, Error> {
        let removed = self.remove_entries(|entry| entry.ref_name() == Some(name))?;
        Ok(!removed.is_empty())
    }

    /// Takes images away, by name or by the beginning of the manifest's digest (at least 6 digits, with or without
    /// `sha256:`). Their blobs stay until they are pruned, since steps may still use them.
    ///
    /// # Errors
    /// [`Error::NoImage`] if there is none, and if the index cannot be written.
    pub fn rmi(&self, name: &str) -> Result<Vec<Named>, Error> {
        let by_name = self.remove_entries(|entry| entry.ref_name() == Some(name))?;
        if !by_name.is_empty() {
            return Ok(by_name);
        }
        let prefix = name.strip_prefix("sha256:").unwrap_or(name);
        let removed = match prefix.len() {
            6.. => self.remove_entries(|entry| entry.digest.hex().starts_with(prefix))?,
            _ => Vec::new(),
        };
        if removed.is_empty() {
            return Err(self.no_image(name));
        }
        Ok(removed)
    }

    /// All images with a name, in the order in which the names came up.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn images(&self) -> Result<Vec<Named>, Error> {
        Ok(self.layout().index()?.manifests.into_iter().map(named).collect())
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Index) -> T) -> Result<T, Error> {
        self.layout().edit_in(self.session()?.dir(), change)
    }

    fn remove_entries(&self, matches: impl Fn(&Descriptor) -> bool) -> Result<Vec<Named>, Error> {
        self.edit(|index| {
            let (gone, kept) = std::mem::take(&mut index.manifests)
                .into_iter()
                .partition(|entry| matches(entry));
            index.manifests = kept;
            let gone: Vec<Descriptor> = gone;
            gone.into_iter().map(named).collect()
        })
    }
}

/// The only image whose digest begins so.
fn by_digest<'a>(entries: &'a [Descriptor], name: &str) -> Option<&'a Descriptor> {
    let prefix = name.strip_prefix("sha256:").unwrap_or(name);
    let mut matching = entries
        .iter()
        .filter(|entry| prefix.len() >= 6 && entry.digest.hex().starts_with(prefix));
    let first = matching.next()?;
    matching
        .all(|other| other.digest == first.digest)
        .then_some(first)
}

/// Adds an entry to an index, in place of those of the same name.
pub(crate) fn put(entries: &mut Vec<Descriptor>, entry: Descriptor) {
    let same = |other: &Descriptor| {
        other.ref_name() == entry.ref_name() && (entry.ref_name().is_some() || other.digest == entry.digest)
    };
    let place = entries.iter().position(same).unwrap_or(entries.len());
    entries.retain(|other| !same(other));
    entries.insert(place, entry);
}

fn named(descriptor: Descriptor) -> Named {
    Named {
        name: descriptor.ref_name().map(str::to_owned),
        descriptor,
    }
}

/// A name is one line of text. What more a reference may not hold is for its parser to say.
fn check(name: &str) -> Result<(), Error> {
    let wrong = |why| {
        Err(Error::Name {
            name: name.to_owned(),
            why,
        })
    };
    match name {
        "" => wrong("it is empty"),
        _ if name.len() > 1000 => wrong("it is longer than 1000 bytes"),
        _ if name.chars().any(|c| c.is_control() || c.is_whitespace()) => {
            wrong("it holds blanks or control characters")
        }
        _ => Ok(()),
    }
}
