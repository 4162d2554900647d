//! The [`Blobs`] trait and verified reading.

use std::io::{self, Read};

use super::Descriptor;
use crate::{Digest, digest::Hasher};

/// Where blobs can be read from: a store, an archive, a registry.
pub trait Blobs: Send + Sync {
    /// Opens a blob. What is read is checked: its end comes only after as many bytes as the descriptor says, with its
    /// digest; everything else is an error, a [`BlobError`] inside the [`io::Error`].
    ///
    /// # Errors
    /// If there is no such blob, or it cannot be opened.
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError>;

    /// Whether the blob is there, without reading it.
    ///
    /// # Errors
    /// If that cannot be said.
    fn has(&self, blob: &Descriptor) -> Result<bool, BlobError>;
}

/// Why a blob could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// It is not there.
    #[error("{place} has no blob {digest}")]
    Missing {
        /// Which blob.
        digest: Digest,
        /// Where it was looked for.
        place: String,
    },
    /// Its size is not what its descriptor says.
    #[error("blob {digest} in {place} should have {expected} bytes, but has {}", found.map_or("more".to_owned(), |n| n.to_string()))]
    Size {
        /// Which blob.
        digest: Digest,
        /// Where it lies.
        place: String,
        /// In the descriptor.
        expected: u64,
        /// What was found; `None` if reading stopped at the expected size.
        found: Option<u64>,
    },
    /// Its bytes have another digest.
    #[error("blob {digest} in {place} is damaged: its bytes have digest {found}")]
    Digest {
        /// Which blob.
        digest: Digest,
        /// Where it lies.
        place: String,
        /// Of its bytes.
        found: Digest,
    },
    /// It is larger than such a document may be.
    #[error(
        "blob {digest} in {place} has {size} bytes, more than the {limit} allowed for a document of its kind"
    )]
    TooLarge {
        /// Which blob.
        digest: Digest,
        /// Where it lies.
        place: String,
        /// In bytes.
        size: u64,
        /// In bytes.
        limit: u64,
    },
    /// It cannot be read.
    #[error("cannot read blob {digest} in {place}")]
    Io {
        /// Which blob.
        digest: Digest,
        /// Where it lies.
        place: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What holds it failed in a way of its own.
    #[error("cannot get blob {digest} from {place}")]
    Place {
        /// Which blob.
        digest: Digest,
        /// Where it lies.
        place: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl BlobError {
    /// Of an error met while reading a [`Verified`]: the error inside, or one that says which blob it was.
    pub fn from_read(error: io::Error, digest: Digest, place: &str) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(source) => Self::Io {
                digest,
                place: place.to_owned(),
                source,
            },
        }
    }
}

/// Manifests and configs that are larger than this (8 MiB, as with containerd) are refused.
pub const SMALL: u64 = 8 << 20;

/// Reads a manifest, an index or a config.
///
/// # Errors
/// Also if it is larger than [`SMALL`].
pub fn read_small(blobs: &dyn Blobs, blob: &Descriptor) -> Result<Vec<u8>, BlobError> {
    if blob.size > SMALL {
        return Err(BlobError::TooLarge {
            digest: blob.digest,
            place: "the image".to_owned(),
            size: blob.size,
            limit: SMALL,
        });
    }
    let mut bytes = Vec::new();
    match blobs.open(blob)?.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(BlobError::from_read(error, blob.digest, "the image")),
    }
}

/// Passes on what it reads, and fails unless that has the size and the digest of the blob it should be.
pub struct Verified<R> {
    inner: R,
    /// `None` once checked.
    hasher: Option<Hasher>,
    digest: Digest,
    expected: u64,
    left: u64,
    place: String,
}

impl<R: Read> Verified<R> {
    /// Reads `blob` from `inner`; `place` is for errors.
    pub fn new(inner: R, blob: &Descriptor, place: impl Into<String>) -> Self {
        Self {
            inner,
            hasher: Some(Hasher::new()),
            digest: blob.digest,
            expected: blob.size,
            left: blob.size,
            place: place.into(),
        }
    }

    /// All bytes have come: there must be no more, and they must have the digest.
    fn check(&mut self) -> Result<(), BlobError> {
        let Some(hasher) = self.hasher.take() else {
            return Ok(());
        };
        let (digest, place) = (self.digest, self.place.clone());
        let found = hasher.finish();
        if found != digest {
            return Err(BlobError::Digest { digest, place, found });
        }
        Ok(())
    }

    /// Says which blob could not be read.
    fn failed(&self, source: io::Error) -> io::Error {
        match source.kind() {
            io::ErrorKind::Interrupted => source,
            kind => {
                let place = self.place.clone();
                io::Error::new(kind, BlobError::from_read(source, self.digest, &place))
            }
        }
    }

    fn wrong_size(&self, found: Option<u64>) -> io::Error {
        io::Error::other(BlobError::Size {
            digest: self.digest,
            place: self.place.clone(),
            expected: self.expected,
            found,
        })
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            if self.hasher.is_some() && read_one(&mut self.inner).map_err(|error| self.failed(error))? {
                return Err(self.wrong_size(None));
            }
            self.check().map_err(io::Error::other)?;
            return Ok(0);
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self
            .inner
            .read(&mut buffer[..most])
            .map_err(|error| self.failed(error))?;
        if count == 0 {
            return Err(self.wrong_size(Some(self.expected - self.left)));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn read_one(reader: &mut impl Read) -> io::Result<bool> {
    loop {
        match reader.read(&mut [0]) {
            Ok(count) => return Ok(count > 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
