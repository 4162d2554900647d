//! What can be wrong with a path or a change.

use std::path::PathBuf;

/// Why a [`Tree`](super::Tree) could not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A path goes through something that is not a directory.
    #[error("{0:?} is not a directory")]
    NotADirectory(PathBuf),
    /// More symbolic links than a kernel would follow.
    #[error("too many levels of symbolic links in {0:?}")]
    Loop(PathBuf),
    /// A hard link names a file that is not there.
    #[error("hard link {path:?} names {target:?}, which does not exist")]
    NoLinkTarget {
        /// The new name.
        path: PathBuf,
        /// The file it should be.
        target: PathBuf,
    },
    /// A hard link names a directory.
    #[error("hard link {path:?} names {target:?}, which is a directory")]
    LinkToDirectory {
        /// The new name.
        path: PathBuf,
        /// The directory.
        target: PathBuf,
    },
    /// A path is not clean: it is absolute, or has `.` or `..` in it.
    #[error("{0:?} is not a clean relative path")]
    Unclean(PathBuf),
    /// The root is always a directory.
    #[error("the root cannot be replaced or removed")]
    Root,
}
