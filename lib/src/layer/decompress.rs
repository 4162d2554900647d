//! Blobs to layers.

use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};

use bzip2::bufread::MultiBzDecoder;
use lzma_rust2::XzReader;

use super::{Error, Limits, gunzip::Gunzip, index::BUFFER, limits::Limited};

/// As much memory as `xz -9` needs to decompress, in KiB.
const XZ_MEMORY: u32 = 65 << 10;

/// The uncompressed bytes of a blob: gzip (all members), Zstandard, bzip2, xz, or not compressed, whichever its first
/// bytes say; no more than [`Limits::from_environment`] allows.
///
/// # Errors
/// When the first bytes cannot be read.
pub fn decompress<'a>(blob: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>, Error> {
    decompress_within(blob, Limits::from_environment())
}

/// The same within other limits: reading fails with [`TooManyBytes`](super::TooManyBytes) where there are more.
///
/// # Errors
/// When the first bytes cannot be read.
pub fn decompress_within<'a>(
    mut blob: impl Read + Send + 'a,
    limits: Limits,
) -> Result<Box<dyn Read + Send + 'a>, Error> {
    let head = head(&mut blob).map_err(Error::Read)?;
    let format = Format::of(&head);
    let blob = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(blob));
    let plain = format.reader(blob).map_err(Error::Read)?;
    Ok(Box::new(Limited::new(plain, limits.bytes)))
}

/// A format of compression.
enum Format {
    Plain,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Format {
    /// By the first bytes: RFC 1952, RFC 8878 (frames and skippable frames), and the magic numbers of the other two.
    fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::Plain,
        }
    }

    fn reader<'a>(&self, blob: impl BufRead + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::Plain => Box::new(blob),
            Self::Gzip => Box::new(Gunzip::new(blob)),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(blob)?),
            Self::Bzip2 => Box::new(MultiBzDecoder::new(blob)),
            Self::Xz => Box::new(XzReader::new_mem_limit(blob, true, XZ_MEMORY)),
        })
    }
}

/// The first six bytes, or all if there are fewer.
fn head(blob: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(6);
    while head.len() < 6 {
        let mut bytes = [0; 6];
        match blob.read(&mut bytes[..6 - head.len()]) {
            Ok(0) => break,
            Ok(length) => head.extend_from_slice(&bytes[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}
