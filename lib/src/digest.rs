//! SHA-256 digests, the names of everything rbuild stores.

use std::{fmt, io, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::block_api::compress256;

/// A SHA-256 digest; prints and parses as `sha256:` and 64 lower-case hex digits.
///
/// The form is that of OCI image-spec `descriptor.md`, digests. Other algorithms are refused by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Why a text is not a [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseDigestError {
    /// The algorithm is one that rbuild does not compute.
    #[error("digest {0:?} uses an algorithm that is not supported; only sha256 is")]
    Algorithm(String),
    /// Not `sha256:` and 64 lower-case hex digits.
    #[error("{0:?} is not a digest: expected sha256: and 64 lower-case hex digits")]
    Form(String),
}

impl Digest {
    /// The digest of some bytes in memory.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest with these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hex digits, without the algorithm.
    pub fn hex(&self) -> String {
        let mut hex = String::with_capacity(64);
        for byte in self.0 {
            for nibble in [byte >> 4, byte & 15] {
                hex.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
            }
        }
        hex
    }

    /// The first 12 hex digits, for people.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseDigestError::Form(text.chars().take(100).collect());
        let (algorithm, hex) = text.split_once(':').ok_or_else(wrong)?;
        if algorithm != "sha256" {
            return Err(ParseDigestError::Algorithm(algorithm.chars().take(40).collect()));
        }
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let hex: &[u8; 64] = hex.as_bytes().try_into().map_err(|_| wrong())?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let (high, low) = value(pair[0]).zip(value(pair[1])).ok_or_else(wrong)?;
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Bytes that are taken in at once.
const BLOCK: usize = 64;

/// Computes a [`Digest`] from bytes as they come.
#[derive(Clone)]
pub struct Hasher {
    /// After all whole blocks.
    state: [u32; 8],
    /// Bytes so far.
    length: u64,
    /// Begins with what came after the last whole block.
    rest: [u8; BLOCK],
}

impl Default for Hasher {
    /// FIPS 180-4, 5.3.3.
    fn default() -> Self {
        Self {
            state: [
                0x6a09_e667,
                0xbb67_ae85,
                0x3c6e_f372,
                0xa54f_f53a,
                0x510e_527f,
                0x9b05_688c,
                0x1f83_d9ab,
                0x5be0_cd19,
            ],
            length: 0,
            rest: [0; BLOCK],
        }
    }
}

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let (head, bytes) = bytes.split_at(bytes.len().min(self.missing()));
        self.add(head);
        let (blocks, rest) = bytes.as_chunks();
        compress256(&mut self.state, blocks);
        self.length += blocks.as_flattened().len() as u64;
        self.add(rest);
    }

    /// Takes the same bytes into two of them, which is faster than one after the other.
    pub(crate) fn update_both(&mut self, other: &mut Self, bytes: &[u8]) {
        let together = match self.missing() == other.missing() {
            true => bytes.len().min(self.missing()),
            false => bytes.len(),
        };
        let (head, bytes) = bytes.split_at(together);
        self.update(head);
        other.update(head);
        let (blocks, rest) = bytes.as_chunks();
        if !rbuild_sys::sha256_both([&mut self.state, &mut other.state], blocks) {
            compress256(&mut self.state, blocks);
            compress256(&mut other.state, blocks);
        }
        for hasher in [self, other] {
            hasher.length += blocks.as_flattened().len() as u64;
            hasher.add(rest);
        }
    }

    /// Bytes of the last block, if that is not whole.
    fn pending(&self) -> usize {
        (self.length % BLOCK as u64) as usize
    }

    /// What the last block still lacks.
    fn missing(&self) -> usize {
        (BLOCK - self.pending()) % BLOCK
    }

    /// Takes in what is no more than a block, nor goes beyond the last one.
    fn add(&mut self, bytes: &[u8]) {
        let start = self.pending();
        self.rest[start..start + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len() as u64;
        if !bytes.is_empty() && self.pending() == 0 {
            compress256(&mut self.state, &[self.rest]);
        }
    }

    /// The digest of all bytes so far.
    pub fn finish(mut self) -> Digest {
        // FIPS 180-4, 5.1.1: a one, zeros, and the length in bits at the end of a block.
        let bits = self.length.wrapping_mul(8);
        let zeros = (2 * BLOCK - 1 - 8 - self.pending()) % BLOCK;
        let mut padding = [0; 2 * BLOCK];
        padding[0] = 0x80;
        padding[1 + zeros..][..8].copy_from_slice(&bits.to_be_bytes());
        self.update(&padding[..1 + zeros + 8]);
        let mut digest = [0; 32];
        for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        Digest(digest)
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn prints_what_it_parses() {
        assert_eq!(Digest::of("").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), Digest::of(""));
        assert_eq!(Hasher::new().finish(), Digest::of(""));
    }

    #[test]
    fn is_sha_256_however_the_bytes_come() {
        use sha2::Digest as _;
        let bytes: Vec<u8> = (0..1000_u32).map(|n| (n * n % 251) as u8).collect();
        let expected = |bytes: &[u8]| Digest(sha2::Sha256::digest(bytes).into());
        for length in (0..200).chain([1000]) {
            let bytes = &bytes[..length];
            assert_eq!(Digest::of(bytes), expected(bytes), "{length}");
            for piece in [1, 7, 55, 64, 65, 128, 300] {
                let mut hasher = Hasher::new();
                let mut pair = (Hasher::new(), Hasher::new());
                // The other one has seen this before: any number of bytes, so that blocks do not always meet.
                pair.1.update(&bytes[..length % 130]);
                for piece in bytes.chunks(piece) {
                    hasher.update(piece);
                    pair.0.update_both(&mut pair.1, piece);
                }
                assert_eq!(hasher.finish(), expected(bytes), "{length} by {piece}");
                assert_eq!(pair.0.finish(), expected(bytes), "{length} by {piece}");
                let other = [&bytes[..length % 130], bytes].concat();
                assert_eq!(pair.1.finish(), expected(&other), "{length} by {piece}");
            }
        }
    }

    #[test]
    fn refuses_other_forms() {
        let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
        for text in [
            "",
            "sha256",
            "sha256:",
            "sha256:00",
            &EMPTY[..70],
            &upper,
            &format!("{EMPTY}0"),
        ] {
            assert!(
                matches!(text.parse::<Digest>(), Err(ParseDigestError::Form(_))),
                "{text}"
            );
        }
        assert!(matches!(
            "sha512:00".parse::<Digest>(),
            Err(ParseDigestError::Algorithm(_))
        ));
    }
}
