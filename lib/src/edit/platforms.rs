//! [`Platforms`]: several images, one index.

use std::{collections::BTreeMap, sync::Arc};

use super::{Error, fresh::Fresh};
use crate::{
    Digest, Locator,
    archive::closure,
    copy::{self, Composed, Source},
    image::{Descriptor, Image, Index, MediaType, MediaTypeExt, Platform, is_index, read_small, to_json},
    registry::Registry,
    store::Store,
};

/// An index of images that is being made or changed.
pub struct Platforms {
    place: String,
    index: Index,
    opened: Option<Descriptor>,
    sources: Vec<(Arc<Source>, Vec<Descriptor>)>,
}

impl Platforms {
    /// An index of nothing.
    pub fn new() -> Self {
        Self {
            place: "a new index".to_owned(),
            opened: None,
            index: Index::new(Vec::new()),
            sources: Vec::new(),
        }
    }

    /// Opens an index that is there.
    ///
    /// # Errors
    /// If there is none, or what is there is one image.
    pub async fn open(from: &Locator, store: Option<&Store>, registry: &Registry) -> Result<Self, Error> {
        let source = Source::open(from, &Platform::host(), store, registry).await?;
        tokio::task::spawn_blocking(move || {
            let top = source.descriptor();
            let bytes = read_small(&**source.blobs(), top)?;
            if !is_index(&top.media_type, &bytes) {
                return Err(Error::NoIndex(source.place().to_owned()));
            }
            let index = Index {
                media_type: Some(MediaType::ImageIndex),
                ..Index::parse(&bytes)?
            };
            let blobs = closure(&**source.blobs(), top).map_err(copy::Error::from)?;
            let place = source.place().to_owned();
            Ok(Self {
                place,
                opened: Some(source.descriptor().clone()),
                index,
                sources: vec![(Arc::new(source), blobs)],
            })
        })
        .await
        .map_err(copy::Error::from)?
    }

    /// The index as it is now.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What the index was when it was opened, as the place there calls it.
    pub fn opened(&self) -> Option<&Descriptor> {
        self.opened.as_ref()
    }

    /// Annotations of the index.
    pub fn annotations_mut(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.index.annotations
    }

    /// Adds an image, or all that are in an index. One of a platform that the index has takes that one's place.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn add(
        &mut self,
        from: &Locator,
        store: Option<&Store>,
        registry: &Registry,
    ) -> Result<(), Error> {
        let source = Source::open(from, &Platform::host(), store, registry).await?;
        let read = move || {
            let blobs = closure(&**source.blobs(), source.descriptor()).map_err(copy::Error::from)?;
            Ok::<_, Error>((entries(&source)?, source, blobs))
        };
        let (entries, source, blobs) = tokio::task::spawn_blocking(read)
            .await
            .map_err(copy::Error::from)??;
        for entry in entries {
            self.index.manifests.retain(|other| !replaces(&entry, other));
            self.index.manifests.push(entry);
        }
        self.sources.push((Arc::new(source), blobs));
        Ok(())
    }

    /// Takes an image out, by its digest.
    ///
    /// # Errors
    /// If it is not there.
    pub fn remove(&mut self, digest: Digest) -> Result<(), Error> {
        self.remove_where(&digest.to_string(), |entry| entry.digest == digest)
    }

    /// Takes the images for a platform out, with what is said about them.
    ///
    /// # Errors
    /// If there are none.
    pub fn remove_platform(&mut self, platform: &Platform) -> Result<(), Error> {
        self.remove_where(&format!("image for {platform}"), |entry| {
            entry.platform.as_ref() == Some(platform)
        })
    }

    fn remove_where(&mut self, what: &str, gone: impl Fn(&Descriptor) -> bool) -> Result<(), Error> {
        let (out, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut self.index.manifests)
            .into_iter()
            .partition(|entry| gone(entry));
        self.index.manifests = stay;
        if out.is_empty() {
            return Err(Error::NotInIndex(what.to_owned()));
        }
        let about = |entry: &Descriptor| {
            out.iter()
                .any(|gone| subject(entry) == Some(gone.digest.to_string()))
        };
        self.index.manifests.retain(|entry| !about(entry));
        Ok(())
    }

    /// Writes the index and all its images, and says what it is called there. Only what the destination lacks is moved.
    ///
    /// # Errors
    /// As [`copy`](crate::copy()).
    pub async fn write_to(
        &self,
        to: &Locator,
        options: &copy::Options,
        registry: &Registry,
    ) -> Result<Descriptor, Error> {
        let fresh = Arc::new(Fresh::new()?);
        let bytes = to_json("index", &self.index)?;
        let top = fresh.put(MediaType::ImageIndex, &bytes)?;
        let mut blobs = Composed::new(fresh);
        for (source, of_source) in &self.sources {
            blobs.add(source.clone(), of_source);
        }
        let source = Source::composed(self.place.clone(), blobs, top);
        Ok(copy::write(&source, to, &options.clone().all(true), registry).await?)
    }
}

impl Default for Platforms {
    fn default() -> Self {
        Self::new()
    }
}

/// What an index has of an image or of an index.
fn entries(source: &Source) -> Result<Vec<Descriptor>, Error> {
    let top = source.descriptor();
    let bytes = read_small(&**source.blobs(), top)?;
    if is_index(&top.media_type, &bytes) {
        return Ok(Index::parse(&bytes)?.manifests);
    }
    let image = Image::load(&**source.blobs(), top, &Platform::host())?;
    let known = match top.media_type.is_manifest() {
        true => top.media_type.clone(),
        false => MediaType::ImageManifest,
    };
    let mut entry = Descriptor::new(known, top.digest, top.size);
    entry.platform = Some(image.platform());
    Ok(vec![entry])
}

/// Whether an entry takes another's place.
fn replaces(new: &Descriptor, old: &Descriptor) -> bool {
    let real = !new.is_attestation() && new.platform.is_some();
    new.digest == old.digest || real && !old.is_attestation() && new.platform == old.platform
}

/// What BuildKit's attestations are about.
fn subject(entry: &Descriptor) -> Option<String> {
    entry.annotations.get("vnd.docker.reference.digest").cloned()
}
