//! An image out of a [`Blobs`], by descriptor and platform.

use super::{
    Blobs, Descriptor, Error, Image, Index, Platform,
    manifest::{self, Manifest},
    read_small,
};

/// Indexes may lie in indexes this deep. Real ones have one level, an OCI layout's entry included two.
const DEEPEST: usize = 4;

impl Image {
    /// Reads the image that a descriptor of a manifest, or of an index and a platform, stands for.
    ///
    /// # Errors
    /// If something cannot be read, is not valid, or there is no image for the platform.
    pub fn load(blobs: &dyn Blobs, descriptor: &Descriptor, platform: &Platform) -> Result<Self, Error> {
        let (descriptor, manifest) = resolve(blobs, descriptor, platform)?;
        let parsed = Manifest::parse(&manifest)?;
        let config = read_small(blobs, &parsed.config)?;
        Self::parse(descriptor, manifest, config)
    }
}

/// The manifest for a platform, through as many indexes as there are, and its descriptor.
///
/// # Errors
/// As [`Image::load`].
pub fn resolve(
    blobs: &dyn Blobs,
    descriptor: &Descriptor,
    platform: &Platform,
) -> Result<(Descriptor, Vec<u8>), Error> {
    let mut descriptor = descriptor.clone();
    for _ in 0..DEEPEST {
        let bytes = read_small(blobs, &descriptor)?;
        if !manifest::is_index(&descriptor.media_type, &bytes) {
            return Ok((descriptor, bytes));
        }
        let index = Index::parse(&bytes)?;
        descriptor = index.select(platform, descriptor.digest)?.clone();
    }
    Err(Error::Nesting {
        index: descriptor.digest,
    })
}
