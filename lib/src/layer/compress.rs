//! Layers to blobs.

use std::io::{Read, Write};

use oci_spec::image::MediaType;

use super::{Error, LayerIndex};
use crate::Digest;

/// How a layer is compressed in its blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// gzip, with a level from 1 to 12.
    Gzip(u8),
    /// Zstandard, with a level from 1 to 22.
    Zstd(u8),
    /// Not at all.
    None,
}

impl Default for Compression {
    /// gzip, which everything reads.
    fn default() -> Self {
        Self::Gzip(4)
    }
}

/// A layer's blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Of the blob.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// As descriptors say it.
    pub media_type: MediaType,
}

/// Indexes, compresses and digests a plain tar in one pass, on all cores.
///
/// The blob's bytes depend on the tar's and on `compression`, and not on the machine. Memory: some 2 MiB a core and
/// the index.
///
/// # Errors
/// Those of [`index`](super::index), and [`Error::Write`] when `blob` fails.
pub fn ingest(
    _tar: impl Read,
    _blob: impl Write,
    _compression: Compression,
) -> Result<(LayerIndex, Packed), Error> {
    unimplemented!()
}
