//! Where new blobs lie.

use std::io::Read;

use super::Error;
use crate::{
    image::{BlobError, Blobs, Descriptor, Image, Layer, MediaType},
    layer::{self, Compression},
    store::Layout,
};

/// New blobs, in a directory that is gone with this.
pub(super) struct Fresh {
    layout: Layout,
    _directory: tempfile::TempDir,
}

impl Fresh {
    pub(super) fn new() -> Result<Self, Error> {
        let place = std::env::temp_dir();
        let directory = tempfile::tempdir().map_err(Error::disk("cannot create a directory in", place))?;
        Ok(Self {
            layout: Layout::create(directory.path().join("blobs"))?,
            _directory: directory,
        })
    }

    /// Compresses and keeps a layer.
    pub(super) fn layer(&self, tar: impl Read, compression: Compression) -> Result<Layer, Error> {
        let mut incoming = self.layout.new_blob()?;
        let (index, packed) = layer::ingest(tar, &mut incoming, compression)?;
        incoming.commit(&packed.digest)?;
        Ok(Layer {
            descriptor: Descriptor::new(packed.media_type, packed.digest, packed.size),
            diff_id: index.diff_id,
        })
    }

    /// Keeps the manifest and the config of an image.
    pub(super) fn image(&self, image: &Image) -> Result<Descriptor, Error> {
        let encoded = image.encode()?;
        self.put(encoded.config_descriptor.media_type.clone(), &encoded.config)?;
        self.put(encoded.descriptor.media_type.clone(), &encoded.manifest)?;
        Ok(encoded.descriptor.clone())
    }

    pub(super) fn put(&self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor, Error> {
        let blob = Descriptor::of(media_type, bytes);
        let mut incoming = self.layout.new_blob()?;
        incoming.write_bytes(bytes)?;
        incoming.commit(&blob.digest)?;
        Ok(blob)
    }
}

impl Blobs for Fresh {
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        self.layout.open(blob)
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, BlobError> {
        self.layout.has(blob)
    }
}
