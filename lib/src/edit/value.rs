//! [`Edit`]: an image that is being changed.

use std::{io::Read, sync::Arc, thread};

use super::{Error, fresh::Fresh};
use crate::{
    Locator,
    copy::{self, Composed, Source},
    image::{Descriptor, History, Image, Layer, Platform},
    inspect,
    layer::{Compression, Contents, write_tar},
    registry::Registry,
    store::Store,
    tree::Change,
};

/// An image, what is to be changed about it, and where its layers come from.
pub struct Edit {
    place: String,
    image: Image,
    pub(super) sources: Vec<(Arc<Source>, Vec<Layer>)>,
    pub(super) fresh: Arc<Fresh>,
    compression: Compression,
}

impl Edit {
    /// An image of nothing.
    ///
    /// # Errors
    /// If there is no place for new layers.
    pub fn scratch(platform: &Platform) -> Result<Self, Error> {
        Ok(Self {
            place: "scratch".to_owned(),
            image: Image::scratch(platform),
            sources: Vec::new(),
            fresh: Arc::new(Fresh::new()?),
            compression: Compression::default(),
        })
    }

    /// Opens an image. Only its manifest and its config are read.
    ///
    /// # Errors
    /// If there is none for the platform, or it cannot be read.
    pub async fn open(
        from: &Locator,
        platform: &Platform,
        store: Option<&Store>,
        registry: &Registry,
    ) -> Result<Self, Error> {
        let source = Source::open(from, platform, store, registry).await?;
        let image = source.image(platform).await?;
        Self::of(source, image)
    }

    /// An image of a source that is open.
    ///
    /// # Errors
    /// If there is no place for new layers.
    pub fn of(source: Source, image: Image) -> Result<Self, Error> {
        Ok(Self {
            place: source.place().to_owned(),
            sources: vec![(Arc::new(source), image.layers().to_vec())],
            image,
            fresh: Arc::new(Fresh::new()?),
            compression: Compression::default(),
        })
    }

    /// How new layers are compressed.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// The image as it is now.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The image, to be changed: its config, its annotations, layers that one of its sources has.
    pub fn image_mut(&mut self) -> &mut Image {
        &mut self.image
    }

    /// Where the image was opened.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Adds a layer from a tar that is not compressed. Blocks.
    ///
    /// # Errors
    /// If it is no layer, or cannot be kept.
    pub fn append_tar(&mut self, tar: impl Read, history: History) -> Result<(), Error> {
        let layer = self.fresh.layer(tar, self.compression)?;
        self.image.append(layer, history);
        Ok(())
    }

    /// Adds a layer of these changes. Blocks.
    ///
    /// # Errors
    /// If contents cannot be read, or the layer cannot be kept.
    pub fn append(
        &mut self,
        changes: &[Change],
        contents: &dyn Contents,
        history: History,
    ) -> Result<(), Error> {
        let layer = self.make_layer(changes, contents)?;
        self.image.append(layer, history);
        Ok(())
    }

    /// A new layer, not yet part of the image.
    pub(super) fn make_layer(&self, changes: &[Change], contents: &dyn Contents) -> Result<Layer, Error> {
        let (reader, writer) = std::io::pipe().map_err(Error::disk("cannot make a pipe in", "/"))?;
        thread::scope(|scope| {
            let (fresh, compression) = (&self.fresh, self.compression);
            let made = scope.spawn(move || fresh.layer(reader, compression));
            let written = write_tar(changes, contents, writer);
            let made = made
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match written {
                // The writer's own trouble is the reason why the reader got half a tar.
                Err(error) if !is_broken_pipe(&error) => Err(error.into()),
                _ => made,
            }
        })
    }

    /// What the image was when it was opened, as the place there calls it; the index, if it is one of that.
    pub fn opened(&self) -> Option<&Descriptor> {
        Some(self.sources.first()?.0.descriptor())
    }

    /// The name that the image was opened by, if it lies in a registry.
    pub fn registry_name(&self) -> Option<String> {
        Some(self.sources.first()?.0.reference()?.to_string())
    }

    /// Changes which layers there are; all are new ones or of a source.
    pub(super) fn replace(&mut self, image: Image) {
        self.image = image;
    }

    /// The files of the image as it is now. Blocks.
    ///
    /// # Errors
    /// If a layer cannot be read.
    pub fn files(&self, store: Option<&Store>) -> Result<inspect::Files, Error> {
        Ok(inspect::Files::of(&self.image, Arc::new(self.blobs()), store)?)
    }

    pub(super) fn blobs(&self) -> Composed {
        let mut blobs = Composed::new(self.fresh.clone());
        for (source, layers) in &self.sources {
            blobs.add(source.clone(), layers.iter().map(|layer| &layer.descriptor));
        }
        blobs
    }

    /// The image as it is now, to be written or looked at. Blocks.
    ///
    /// # Errors
    /// If its manifest cannot be kept.
    pub fn source(&self) -> Result<Source, Error> {
        let image = self.fresh.image(&self.image)?;
        Ok(Source::composed(self.place.clone(), self.blobs(), image))
    }

    /// Writes the image, and says what it is called there. Only what the destination lacks is moved.
    ///
    /// # Errors
    /// As [`copy`](crate::copy()).
    pub async fn write_to(
        &self,
        to: &Locator,
        options: &copy::Options,
        registry: &Registry,
    ) -> Result<Descriptor, Error> {
        // One image, whatever platform it is for.
        let options = options.clone().all(true);
        Ok(copy::write(&self.source()?, to, &options, registry).await?)
    }
}

fn is_broken_pipe(error: &crate::layer::Error) -> bool {
    matches!(error, crate::layer::Error::Write(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
}
