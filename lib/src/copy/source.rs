//! [`Source`]: an image wherever it is, open for reading.

use std::sync::Arc;

use bytes::Bytes;

use super::{Composed, Error, blocking, origins::Origins};
use crate::{
    Locator, Reference,
    archive::Archive,
    image::{Blobs, Descriptor, Image, Platform},
    inspect::{Files, Validation, validate},
    registry::Registry,
    store::Store,
};

/// An image, or an index of images, in a registry, in the store, in a layout or an archive: what it is, and its blobs.
pub struct Source {
    place: String,
    blobs: Arc<dyn Blobs>,
    descriptor: Descriptor,
    /// Of a registry: what was fetched to find the image.
    pub(super) manifest: Option<Bytes>,
    pub(super) home: Home,
}

/// What only some sources know.
pub(super) enum Home {
    /// The repository, in which a registry can find blobs by itself.
    Registry(Reference),
    /// Where layers came from that may not be here.
    Store(Arc<Origins>),
    /// What else is in the archive.
    Archive(Arc<Archive>),
    /// Other sources, and what is new.
    Composed(Arc<Composed>),
}

impl Source {
    /// Finds an image. Of a registry only the manifest is fetched; the platform matters where a layout has several
    /// images of the name. `store` is the one that `store:NAME` means, the default one if there is none.
    ///
    /// Must be called in a tokio runtime, and what is read later comes through that one.
    ///
    /// # Errors
    /// If there is no such image, or it cannot be read.
    pub async fn open(
        from: &Locator,
        platform: &Platform,
        store: Option<&Store>,
        registry: &Registry,
    ) -> Result<Self, Error> {
        let place = from.to_string();
        let mut manifest = None;
        let (blobs, descriptor, home): (Arc<dyn Blobs>, _, _) = match from {
            Locator::Registry(reference) => {
                let found = registry.manifest(reference).await?;
                let blobs = Arc::new(registry.repository(reference));
                manifest = Some(found.bytes);
                (blobs, found.descriptor, Home::Registry(reference.clone()))
            }
            Locator::Store(name) => {
                let (store, name) = (store.cloned(), name.clone());
                let (origins, image) = blocking(move || {
                    let store = store.map_or_else(Store::open_default, Ok)?;
                    let image = store.find(&name)?;
                    Ok((Origins::of(store, &image)?, image))
                })
                .await?;
                let origins = Arc::new(origins.reachable_through(registry));
                (origins.clone(), image, Home::Store(origins))
            }
            local => {
                let (local, platform) = (local.clone(), platform.clone());
                let (archive, image) = blocking(move || {
                    let archive = Archive::open(&local)?;
                    let image = archive.find(&platform)?;
                    Ok((Arc::new(archive), image))
                })
                .await?;
                (archive.clone(), image, Home::Archive(archive))
            }
        };
        Ok(Self {
            place,
            blobs,
            descriptor,
            manifest,
            home,
        })
    }

    /// An image, or an index, of what other sources have and of what is new.
    pub(crate) fn composed(place: String, blobs: Composed, descriptor: Descriptor) -> Self {
        let blobs = Arc::new(blobs);
        Self {
            place,
            blobs: blobs.clone(),
            descriptor,
            manifest: None,
            home: Home::Composed(blobs),
        }
    }

    /// Where it is, as the locator says it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Its name in a registry, if that is where it lies.
    pub fn reference(&self) -> Option<&Reference> {
        match &self.home {
            Home::Registry(reference) => Some(reference),
            _ => None,
        }
    }

    /// The manifest or the index.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Its blobs, to be read from threads that may block.
    pub fn blobs(&self) -> &Arc<dyn Blobs> {
        &self.blobs
    }

    /// The image for a platform.
    ///
    /// # Errors
    /// If there is none, or it is not valid.
    pub async fn image(&self, platform: &Platform) -> Result<Image, Error> {
        let (blobs, descriptor) = (self.blobs.clone(), self.descriptor.clone());
        let platform = platform.clone();
        blocking(move || Ok(Image::load(&*blobs, &descriptor, &platform)?)).await
    }

    /// Reads all of it, and tells what is wrong.
    ///
    /// # Errors
    /// Only if the work cannot be done; what is wrong with the image is told in the result.
    pub async fn validate(&self) -> Result<Validation, Error> {
        let (blobs, descriptor) = (self.blobs.clone(), self.descriptor.clone());
        blocking(move || Ok(validate(&*blobs, &descriptor))).await
    }

    /// The files of an image of it; the store, if there is one, remembers what its layers hold.
    ///
    /// # Errors
    /// If a layer cannot be read, or is not what the config says.
    pub async fn files(&self, image: &Image, store: Option<&Store>) -> Result<Files, Error> {
        let (blobs, image, store) = (self.blobs.clone(), image.clone(), store.cloned());
        blocking(move || Ok(Files::of(&image, blobs, store.as_ref())?)).await
    }

    /// The repository of a registry that has a blob, as far as that is known.
    pub(super) fn origin(&self, blob: &Descriptor) -> Option<&Reference> {
        match &self.home {
            Home::Registry(reference) => Some(reference),
            Home::Store(origins) => origins.origin(blob),
            Home::Archive(_) => None,
            Home::Composed(composed) => composed.origin(blob),
        }
    }
}
