//! What can go wrong with a copy.

use crate::{Digest, archive, image, image::Platform, inspect, registry, store};

/// What can go wrong with a copy, or with reading an image wherever it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A registry does not give or take something.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A layout or an archive cannot be read or written.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The image is not valid.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The files of the image cannot be listed.
    #[error(transparent)]
    Files(#[from] inspect::Error),
    /// A name for the destination is none.
    #[error(transparent)]
    Name(#[from] registry::ParseReferenceError),
    /// The destination's digest is not that of the image.
    #[error("{place} asks for another digest than that of the image, which is {found}")]
    Digest {
        /// The destination.
        place: String,
        /// Of what would be written there.
        found: Digest,
    },
    /// The only image there is, is for another platform.
    #[error("{place} is for {found}, and {wanted} was asked for")]
    Platform {
        /// The source.
        place: String,
        /// By its config.
        found: Box<Platform>,
        /// By the caller.
        wanted: Box<Platform>,
    },
    /// The destination has no place for what refers to an image.
    #[error("{place} cannot hold what refers to the image; registries and OCI layouts can")]
    NoReferrers {
        /// The destination.
        place: String,
    },
    /// A thread died, or the runtime is being shut down.
    #[error("work on the image was cut short")]
    Task(#[from] tokio::task::JoinError),
}

impl From<image::BlobError> for Error {
    fn from(error: image::BlobError) -> Self {
        Self::Image(error.into())
    }
}
