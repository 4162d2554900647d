//! Layers to blobs.

use std::{
    io::{self, Read, Write},
    thread,
};

use oci_spec::image::MediaType;

use super::{
    Error, LayerIndex,
    gzip::Members,
    index::{BUFFER, index},
};
use crate::{Digest, Hasher};

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
        Self::Gzip(Self::GZIP_LEVEL)
    }
}

impl Compression {
    /// The level of gzip that is meant by the name alone. Its blobs are within two per cent of those of buildah, podman
    /// and skopeo; level 4 makes them 5 % smaller, and takes almost twice as long.
    pub const GZIP_LEVEL: u8 = 1;

    /// The level of Zstandard that is meant by the name alone, and by its own tools.
    pub const ZSTD_LEVEL: u8 = 3;

    /// What descriptors call a layer compressed like this (OCI image-spec `layer.md`).
    pub fn media_type(self) -> MediaType {
        match self {
            Self::Gzip(_) => MediaType::ImageLayerGzip,
            Self::Zstd(_) => MediaType::ImageLayerZstd,
            Self::None => MediaType::ImageLayer,
        }
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
/// The blob's bytes depend on the tar's and on `compression`, and not on the machine or what else it does. Memory: some
/// 3 MiB a core (20 for Zstandard) and the index.
///
/// # Errors
/// Those of [`index`](fn@super::index), and [`Error::Write`] when `blob` fails.
pub fn ingest(
    tar: impl Read,
    blob: impl Write,
    compression: Compression,
) -> Result<(LayerIndex, Packed), Error> {
    ingest_on(cores(), tar, blob, compression)
}

/// More threads than this are more than one reader can feed.
const MAX_THREADS: usize = 16;

fn cores() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS))
}

pub(super) fn ingest_on(
    threads: usize,
    tar: impl Read,
    blob: impl Write,
    compression: Compression,
) -> Result<(LayerIndex, Packed), Error> {
    compress_on(threads, blob, compression, |blob| index(tar, Some(blob)))
}

/// Compresses and digests a plain tar that was indexed before: the blob is that of [`ingest`].
///
/// # Errors
/// [`Error::Read`] when `tar` fails, and [`Error::Write`] when `blob` does.
pub fn pack(mut tar: impl Read, blob: impl Write, compression: Compression) -> Result<Packed, Error> {
    let copy = |blob: &mut dyn Write| {
        let mut buffer = vec![0; BUFFER];
        loop {
            match tar.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => blob.write_all(&buffer[..length]).map_err(Error::Write)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Read(error)),
            }
        }
    };
    Ok(compress_on(cores(), blob, compression, copy)?.1)
}

/// Compresses and digests what `write` writes.
fn compress_on<T>(
    threads: usize,
    blob: impl Write,
    compression: Compression,
    write: impl FnOnce(&mut dyn Write) -> Result<T, Error>,
) -> Result<(T, Packed), Error> {
    let mut blob = Digested {
        blob,
        hasher: Hasher::new(),
        size: 0,
    };
    let written = match compression {
        Compression::None => write(&mut blob)?,
        Compression::Zstd(level) => {
            let mut encoder = zstd::Encoder::new(&mut blob, level.into()).map_err(Error::Write)?;
            // Always with workers: their output is the same for any number but none.
            encoder
                .multithread(u32::try_from(threads).unwrap_or(1))
                .map_err(Error::Write)?;
            let written = write(&mut encoder)?;
            encoder.finish().map_err(Error::Write)?;
            written
        }
        Compression::Gzip(level) => thread::scope(|scope| {
            let mut members = Members::new(scope, threads, level.into(), &mut blob);
            let written = write(&mut members)?;
            members.finish().map_err(Error::Write)?;
            Ok::<_, Error>(written)
        })?,
    };
    blob.blob.flush().map_err(Error::Write)?;
    let packed = Packed {
        digest: blob.hasher.finish(),
        size: blob.size,
        media_type: compression.media_type(),
    };
    Ok((written, packed))
}

/// A blob that knows its digest and size.
struct Digested<W> {
    blob: W,
    hasher: Hasher,
    size: u64,
}

impl<W: Write> Write for Digested<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.blob.write(bytes)?;
        self.hasher.update(&bytes[..length]);
        self.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.blob.flush()
    }
}
