//! How much a layer may hold: what is a few bytes in a registry can be more than any disk when it is unpacked.

use std::{
    env,
    io::{self, Read},
};

/// What is accepted of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the uncompressed tar, 256 GiB unless said otherwise.
    pub bytes: u64,
    /// Files, links and directories, ten million unless said otherwise.
    pub entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 256 << 30,
            entries: 10_000_000,
        }
    }
}

impl Limits {
    /// Those in `RBUILD_MAX_LAYER_BYTES` and `RBUILD_MAX_LAYER_ENTRIES`, which are plain numbers.
    pub fn from_environment() -> Self {
        Self::of(|name| env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str| variable(name)?.trim().parse().ok();
        let default = Self::default();
        Self {
            bytes: number("RBUILD_MAX_LAYER_BYTES").unwrap_or(default.bytes),
            entries: number("RBUILD_MAX_LAYER_ENTRIES").unwrap_or(default.entries),
        }
    }
}

/// A layer has more bytes than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the layer has more than the {0} bytes it may have; RBUILD_MAX_LAYER_BYTES says how many that are")]
pub struct TooManyBytes(pub u64);

/// Passes on so many bytes, and fails at the next.
pub(super) struct Limited<R> {
    inner: R,
    left: u64,
    most: u64,
}

impl<R> Limited<R> {
    pub(super) fn new(inner: R, most: u64) -> Self {
        Self {
            inner,
            left: most,
            most,
        }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One more than is left, to tell the end from too much.
        let most =
            usize::try_from(self.left.saturating_add(1)).map_or(buffer.len(), |most| most.min(buffer.len()));
        let count = self.inner.read(&mut buffer[..most])?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(TooManyBytes(self.most))),
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_sets_them() {
        let set = |name: &str| (name == "RBUILD_MAX_LAYER_BYTES").then(|| "7".to_owned());
        assert_eq!(
            Limits::of(set),
            Limits {
                bytes: 7,
                ..Limits::default()
            }
        );
        assert_eq!(Limits::of(|_| Some("much".to_owned())), Limits::default());
    }

    #[test]
    fn as_many_as_allowed_pass() {
        for (size, fits) in [(9, true), (10, true), (11, false), (100, false)] {
            let bytes = vec![1; size];
            let read = Limited::new(&bytes[..], 10).read_to_end(&mut Vec::new());
            assert_eq!(read.is_ok(), fits, "{size}");
        }
    }
}
