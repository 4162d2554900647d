//! All blobs that an image is made of.

use std::collections::HashMap;

use super::Error;
use crate::{
    Digest,
    image::{
        self, BlobError, Blobs, Descriptor, Index, Manifest, MediaType, MediaTypeExt, is_index, read_small,
    },
};

/// Indexes may lie in indexes this deep.
const DEEPEST: usize = 8;

/// The blobs of an image or an index: what a manifest names comes before the manifest, each blob once, `image` last.
///
/// Layers that must not be distributed are left out if the source does not have them.
///
/// # Errors
/// If a manifest cannot be read, or the same blob is named with different sizes.
pub fn closure(source: &dyn Blobs, image: &Descriptor) -> Result<Vec<Descriptor>, Error> {
    let mut walk = Walk {
        source,
        sizes: HashMap::new(),
        blobs: Vec::new(),
    };
    walk.visit(image, 0)?;
    Ok(walk.blobs)
}

/// What a blob names.
enum Names {
    Manifests(Vec<Descriptor>),
    Leaves(Vec<Descriptor>),
    Nothing,
}

struct Walk<'a> {
    source: &'a dyn Blobs,
    sizes: HashMap<Digest, u64>,
    blobs: Vec<Descriptor>,
}

impl Walk<'_> {
    fn visit(&mut self, blob: &Descriptor, depth: usize) -> Result<(), Error> {
        if !self.is_new(blob)? {
            return Ok(());
        }
        if depth > DEEPEST {
            return Err(image::Error::Nesting { index: blob.digest }.into());
        }
        match self.read(blob)? {
            Names::Manifests(entries) => {
                for entry in &entries {
                    self.visit(entry, depth + 1)?;
                }
            }
            Names::Leaves(leaves) => {
                for leaf in leaves {
                    if self.is_new(&leaf)? {
                        self.blobs.push(leaf);
                    }
                }
            }
            Names::Nothing => {}
        }
        self.blobs.push(blob.clone());
        Ok(())
    }

    /// Reads a manifest or an index, or something that does not say what it is.
    fn read(&self, blob: &Descriptor) -> Result<Names, Error> {
        let media_type = &blob.media_type;
        if !media_type.is_index() && !media_type.is_manifest() && !media_type.as_ref().is_empty() {
            return Ok(Names::Nothing);
        }
        let bytes = read_small(self.source, blob)?;
        if is_index(media_type, &bytes) {
            return Ok(Names::Manifests(Index::parse(&bytes)?.manifests));
        }
        let Manifest { layers, config, .. } = Manifest::parse(&bytes)?;
        Ok(Names::Leaves(layers.into_iter().chain([config]).collect()))
    }

    /// Whether the blob is to be taken, and was not met before.
    fn is_new(&mut self, blob: &Descriptor) -> Result<bool, Error> {
        match self.sizes.insert(blob.digest, blob.size) {
            Some(size) if size == blob.size => Ok(false),
            Some(size) => Err(BlobError::Size {
                digest: blob.digest,
                place: "the image".to_owned(),
                expected: blob.size,
                found: Some(size),
            }
            .into()),
            None => Ok(!may_be_missing(&blob.media_type) || self.source.has(blob)?),
        }
    }
}

fn may_be_missing(media_type: &MediaType) -> bool {
    matches!(
        media_type.to_oci(),
        MediaType::ImageLayerNonDistributable
            | MediaType::ImageLayerNonDistributableGzip
            | MediaType::ImageLayerNonDistributableZstd
    )
}
