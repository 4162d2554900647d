//! Blobs to layers.

use std::io::Read;

use super::Error;

/// The uncompressed bytes of a blob: gzip (all members), Zstandard, bzip2, xz, or not compressed, whichever its first
/// bytes say.
///
/// # Errors
/// When the first bytes cannot be read.
pub fn decompress<'a>(_blob: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>, Error> {
    unimplemented!()
}
