//! What can go wrong with a store.

use std::{io, path::PathBuf};

use crate::image;

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system says no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// A verb: `write`, `rename`.
        action: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The directory holds something that is no part of a store.
    #[error("{} is not a store of rbuild: it holds {found:?}", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// A name in it.
        found: String,
    },
    /// The directory is no OCI image layout.
    #[error("{} is not an OCI image layout: {why}", path.display())]
    NotALayout {
        /// The directory.
        path: PathBuf,
        /// In words.
        why: String,
    },
    /// A file that should hold JSON does not.
    #[error("{} is not valid", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and how.
        #[source]
        source: serde_json::Error,
    },
    /// Nobody said where the store is.
    #[error("no place for the store: set RBUILD_ROOT, or HOME")]
    NoHome,
    /// A name that an image cannot have.
    #[error("{name:?} is no name for an image: {why}")]
    Name {
        /// The name.
        name: String,
        /// In words.
        why: &'static str,
    },
    /// There is no such image.
    #[error("no image {name:?} in {}", path.display())]
    NoImage {
        /// A name or a digest.
        name: String,
        /// The store.
        path: PathBuf,
    },
    /// Something builds, so nothing can be deleted.
    #[error("the store {} is in use by a build; try again when it is done", path.display())]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// A blob could not be read.
    #[error(transparent)]
    Blob(#[from] image::BlobError),
    /// An image is not valid.
    #[error(transparent)]
    Image(#[from] image::Error),
}
