//! The finished image and where it goes.

use std::{
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    error::{BuildError, Problem},
    layers::Origin,
    solver::Shared,
    squash,
    stage::Stage,
};
use crate::{
    Digest, Locator, Reference, archive,
    event::Event,
    image::{Blobs, Descriptor, Image, Layer},
    layer,
    registry::Registry,
    tree::{self, Change, Tree},
};

/// Blobs that move to a registry at the same time.
const SIDE_BY_SIDE: usize = 4;

/// An image that was built. Its config and manifest are in the store, and so are the layers that the build made.
#[derive(Clone)]
pub struct Built {
    image: Image,
    descriptor: Descriptor,
    shared: Arc<Shared>,
}

/// Completes the config, and writes it and the manifest into the store.
pub(super) async fn finish(shared: &Arc<Shared>, stage: &Stage) -> Result<Built, BuildError> {
    let mut image = match shared.options.one_layer {
        true => squash::squash(shared, stage).await?,
        false => stage.image.clone(),
    };
    let config = image.config_mut();
    config.config.labels.extend(shared.options.labels.iter().cloned());
    config.created = config
        .history
        .last()
        .and_then(|entry| entry.created.clone())
        .or(config.created.take());
    if let Some(epoch) = shared.epoch {
        config.created = Some(super::stage::timestamp(epoch));
    }
    let (store, tags) = (shared.store.clone(), shared.options.tags.clone());
    let sources = shared.clone();
    let (image, descriptor) = shared
        .blocking(move || {
            sources.sources.save()?;
            let descriptor = store.put_image(&image)?;
            for tag in tags {
                let name = tag.or_latest().to_string();
                // An unchanged rebuild writes nothing.
                let known = store.resolve(&name)?;
                if known.is_none_or(|known| known.digest != descriptor.digest) {
                    store.tag(&name, &descriptor)?;
                }
            }
            Ok((image, descriptor))
        })
        .await?;
    shared.tell(Event::Built {
        manifest: descriptor.digest,
    });
    Ok(Built {
        image,
        descriptor,
        shared: shared.clone(),
    })
}

impl Built {
    /// Digest of the manifest.
    pub fn digest(&self) -> Digest {
        self.descriptor.digest
    }

    /// Names the manifest.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The image.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Writes the image to a registry, a layout, an archive or a directory; a name in the locator, or those of the
    /// build, are what it is called there.
    ///
    /// # Errors
    /// Each names the place, and the blob or path that it is about.
    pub async fn write_to(&self, to: &Locator, registry: &Registry) -> Result<(), BuildError> {
        let manifest = match to {
            Locator::Registry(reference) => self.push(reference, registry).await?,
            Locator::Store(name) => self.name_in_store(name).await?,
            local => self.archive(local).await?,
        };
        self.shared.tell(Event::Written {
            place: to.to_string(),
            manifest,
        });
        Ok(())
    }

    /// Everything is there already, but for layers of a base that were never needed.
    async fn name_in_store(&self, name: &str) -> Result<Digest, BuildError> {
        let name: Reference = name.parse().map_err(|error| Problem::Value(format!("{error}")))?;
        self.fetch_all().await?;
        let (store, descriptor) = (self.shared.store.clone(), self.descriptor.clone());
        let tag = move || {
            store.tag(&name.or_latest().to_string(), &descriptor)?;
            Ok(descriptor.digest)
        };
        self.shared.blocking(tag).await
    }

    async fn archive(&self, to: &Locator) -> Result<Digest, BuildError> {
        self.fetch_all().await?;
        let (shared, descriptor, to) = (self.shared.clone(), self.descriptor.clone(), to.clone());
        let names: Vec<String> = self
            .shared
            .options
            .tags
            .iter()
            .map(|tag| tag.clone().or_latest().to_string())
            .collect();
        let write = move || Ok(archive::write(&shared.store, &descriptor, &to, &names)?.digest);
        self.shared.blocking(write).await
    }

    /// Blobs that the registry has already, or can take from another of its repositories, are not even fetched.
    async fn push(&self, to: &Reference, registry: &Registry) -> Result<Digest, BuildError> {
        let to = to.clone().or_latest();
        // A registry has all blobs of what it names.
        if registry.names(&to, self.descriptor.digest).await {
            return Ok(self.descriptor.digest);
        }
        let mut pushes = Vec::new();
        for layer in self.image.layers() {
            pushes.push(self.push_layer(layer, &to, registry));
        }
        stream::iter(pushes)
            .buffer_unordered(SIDE_BY_SIDE)
            .try_collect::<Vec<()>>()
            .await?;
        let encoded = self.image.encode()?;
        let config = encoded.config.clone();
        let open = move || Ok(Box::new(io::Cursor::new(config.clone())) as Box<dyn Read + Send>);
        let sink = &self.shared.options.sink;
        registry
            .push_blob(&to, &encoded.config_descriptor, None, &open, sink)
            .await?;
        let media_type = &encoded.descriptor.media_type;
        Ok(registry
            .push_manifest(&to, media_type, encoded.manifest.clone().into())
            .await?)
    }

    async fn push_layer(&self, layer: &Layer, to: &Reference, registry: &Registry) -> Result<(), BuildError> {
        let blob = &layer.descriptor;
        let from = match self.shared.layers.origin(&blob.digest) {
            Some(Origin::Registry(from))
                if from.host() == to.host() && from.repository() != to.repository() =>
            {
                Some(from.repository().to_owned())
            }
            _ => None,
        };
        let here = Blobs::has(&self.shared.store, blob).map_err(crate::image::Error::from)?;
        if !here {
            let mounted = match &from {
                Some(from) => registry.mount_blob(to, blob.digest, from).await?,
                None => false,
            };
            if mounted || registry.has_blob(to, blob.digest).await? {
                return Ok(());
            }
            self.shared.layers.fetch(&self.shared, blob).await?;
        }
        let (store, descriptor) = (self.shared.store.clone(), blob.clone());
        let open = move || Blobs::open(&store, &descriptor).map_err(io::Error::other);
        registry
            .push_blob(to, blob, from.as_deref(), &open, &self.shared.options.sink)
            .await?;
        Ok(())
    }

    /// Writes the root filesystem as a plain tar.
    ///
    /// # Errors
    /// When a layer cannot be had, or the tar not be written.
    pub async fn write_tar(&self, out: impl Write + Send + 'static) -> Result<(), BuildError> {
        let changes = self.rootfs().await?;
        self.shared
            .layers
            .with_contents(&self.shared, changes, move |changes, contents| {
                Ok(layer::write_tar(changes, contents, out)?)
            })
            .await
    }

    /// Writes the root filesystem into a directory, as far as the caller may: everything belongs to the caller, and
    /// devices are left out.
    ///
    /// # Errors
    /// When a layer cannot be had, or the directory not be written.
    pub async fn write_directory(&self, path: &Path) -> Result<(), BuildError> {
        let changes = self.rootfs().await?;
        let path = path.to_owned();
        self.shared
            .layers
            .with_contents(&self.shared, changes, move |changes, contents| {
                std::fs::create_dir_all(&path).map_err(Problem::io("create", &path))?;
                let (writer, reader) = layer::queue();
                std::thread::scope(|scope| {
                    let unpack = || layer::unpack(reader, &path, layer::Whiteouts::User, layer::Ids::Keep);
                    let unpacking = scope.spawn(unpack);
                    let written = layer::write_tar(changes, contents, writer);
                    let unpacked = unpacking.join();
                    unpacked.map_err(|_| Problem::Thread("while writing a directory".to_owned()))??;
                    Ok(written?)
                })
            })
            .await
    }

    /// The whole root filesystem as one layer.
    async fn rootfs(&self) -> Result<Vec<Change>, BuildError> {
        let mut tree = Tree::new();
        for layer in self.image.layers() {
            tree.apply(&self.shared.layers.index(&self.shared, layer).await?.changes)?;
        }
        Ok(tree::diff(&Tree::new(), &tree))
    }

    async fn fetch_all(&self) -> Result<(), BuildError> {
        let mut fetches = Vec::new();
        for layer in self.image.layers() {
            fetches.push(self.shared.layers.fetch(&self.shared, &layer.descriptor));
        }
        stream::iter(fetches)
            .buffer_unordered(SIDE_BY_SIDE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }
}
