//! Tags: which name stands for which image.

use super::{Error, Store};
use crate::image::{Descriptor, Index, REF_NAME};

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
            return Err(Error::NoImage {
                name: name.to_owned(),
                path: self.root().to_owned(),
            });
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
