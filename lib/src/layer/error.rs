//! What can go wrong with a layer.

use std::{io, path::PathBuf};

use super::TooManyBytes;
use crate::{Digest, tree};

/// Why a layer could not be read, written, or put on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of this machine could not be read or written.
    #[error("{action} {path:?}")]
    Disk {
        /// What was tried: `cannot create`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The tar or blob could not be read from where it comes from.
    #[error("cannot read the layer")]
    Read(#[source] io::Error),
    /// The tar or blob could not be written to where it goes.
    #[error("cannot write the layer")]
    Write(#[source] io::Error),
    /// The tar is not one, or not one that is safe to use.
    #[error("bad tar entry {entry:?} at byte {offset}: {what}")]
    Tar {
        /// The name in the entry, as far as it is known.
        entry: PathBuf,
        /// Where its header begins in the uncompressed tar.
        offset: u64,
        /// What is wrong with it.
        what: TarFault,
    },
    /// A tar cannot say this.
    #[error("{path:?} cannot be put into a layer: {why}")]
    Unrepresentable {
        /// The path in the image.
        path: PathBuf,
        /// What is special about it.
        why: &'static str,
    },
    /// A file is longer or shorter than when it was looked at.
    #[error("{path:?} changed while it was read: its size is not {expected} any more")]
    Changed {
        /// The path in the image.
        path: PathBuf,
        /// In bytes.
        expected: u64,
    },
    /// The bytes of a file are to come from a layer that is not at hand.
    #[error("the content of a file is in layer {0}, which is not available")]
    NoSuchLayer(Digest),
    /// The layer's saved index is damaged, or of another version.
    #[error("the saved index of a layer is damaged")]
    Index,
    /// An overlay mount was made with options that leave an upper directory incomplete.
    #[error("{path:?} in the upper directory refers to lower layers ({attribute})")]
    Overlay {
        /// The path in the image.
        path: PathBuf,
        /// The extended attribute that says so.
        attribute: String,
    },
    /// The layer does not fit the tree.
    #[error(transparent)]
    Tree(#[from] tree::Error),
}

/// What is wrong with an entry of a tar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TarFault {
    /// The stream ends within the entry.
    #[error("the archive ends in the middle of it")]
    Truncated,
    /// The header's check sum is wrong: not a tar, or a damaged one.
    #[error("wrong header checksum")]
    Checksum,
    /// A number in the header is none, or too large.
    #[error("field {0} is not a number in range")]
    Number(&'static str),
    /// An extended header is not a list of records.
    #[error("malformed extended header")]
    Pax,
    /// An extended header or a long name is larger than anything needs.
    #[error("extended header of {0} bytes")]
    TooLong(u64),
    /// The path leads out of the root.
    #[error("the path leads out of the root")]
    Escapes,
    /// The path has more components than is reasonable.
    #[error("the path is too deep")]
    TooDeep,
    /// The path goes through more symbolic links than a kernel would follow.
    #[error("too many levels of symbolic links")]
    Loop,
    /// The path has a NUL in it, or is empty where it may not be.
    #[error("not a path")]
    Path,
    /// A whiteout of `.`, `..` or nothing, or something within a whiteout.
    #[error("malformed whiteout")]
    Whiteout,
    /// The map of a sparse file is not one, or does not fit it.
    #[error("malformed map of a sparse file")]
    Sparse,
    /// A sparse file that would make the layer larger than it may be.
    #[error("a file of {0} bytes, more than a layer may have; RBUILD_MAX_LAYER_BYTES says how many that are")]
    TooLarge(u64),
    /// There are more entries than a layer may have.
    #[error("more entries than a layer may have; RBUILD_MAX_LAYER_ENTRIES says how many that are")]
    TooMany,
    /// An entry type that no layer has.
    #[error("unknown entry type {0:?}")]
    Type(char),
    /// The root is not a directory in it.
    #[error("the root is not a directory")]
    Root,
}

impl Error {
    /// Whether it is in order but for holding more than [`Limits`](super::Limits) allow.
    pub fn is_too_large(&self) -> bool {
        match self {
            Self::Read(why) => why.get_ref().is_some_and(|inner| inner.is::<TooManyBytes>()),
            Self::Tar { what, .. } => matches!(what, TarFault::TooLarge(_) | TarFault::TooMany),
            _ => false,
        }
    }

    /// For `map_err` on what concerns one file.
    pub(crate) fn disk<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Disk {
            action,
            path: path.into(),
            source: source.into(),
        }
    }
}
