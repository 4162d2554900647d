//! What can go wrong with an archive.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{Digest, image, layer, store};

/// What can go wrong with an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory cannot be read or written.
    #[error(transparent)]
    Disk(#[from] store::Error),
    /// The bytes cannot be written to where they should go.
    #[error("cannot write the archive{}", path.as_ref().map_or(String::new(), |path| format!(" {}", path.display())))]
    Write {
        /// The file, where it is known.
        path: Option<PathBuf>,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is no archive of that kind, or a damaged one.
    #[error("{} is not {kind}: {why}", path.display())]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// With its article: `a docker archive`.
        kind: &'static str,
        /// In words.
        why: String,
    },
    /// A document in it is not the JSON it should be.
    #[error("{entry} in {} is not valid", path.display())]
    Json {
        /// The archive.
        path: PathBuf,
        /// Its entry.
        entry: String,
        /// Where and how.
        #[source]
        source: serde_json::Error,
    },
    /// There is no such image.
    #[error("no image {wanted} in {}; it has {}", path.display(), list(available))]
    NotFound {
        /// A name or a digest.
        wanted: String,
        /// The archive.
        path: PathBuf,
        /// What there is.
        available: Vec<String>,
    },
    /// There are several images, and it was not said which.
    #[error("{} holds several images, say which: {}", path.display(), list(available))]
    Several {
        /// The archive.
        path: PathBuf,
        /// What there is.
        available: Vec<String>,
    },
    /// A layer's tar does not have the digest that the config says.
    #[error("layer {layer} has diff ID {found}, but the image's config says {expected}")]
    DiffId {
        /// The blob.
        layer: Digest,
        /// In the config.
        expected: Digest,
        /// Of its bytes.
        found: Digest,
    },
    /// A docker archive holds images of one platform.
    #[error("{digest} is an index of several images, and a docker archive takes one; choose a platform")]
    IsIndex {
        /// Of the index.
        digest: Digest,
    },
    /// A directory that cannot be replaced.
    #[error("{} is not empty, and no directory of an image either", path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// The place is not on disk.
    #[error("{place} is not a file or directory")]
    NotLocal {
        /// The locator.
        place: String,
    },
    /// A layer cannot be decompressed.
    #[error("cannot decompress layer {digest}")]
    Layer {
        /// The blob.
        digest: Digest,
        /// Why not.
        #[source]
        source: layer::Error,
    },
    /// A blob cannot be read.
    #[error(transparent)]
    Blob(#[from] image::BlobError),
    /// The image is not valid.
    #[error(transparent)]
    Image(#[from] image::Error),
}

impl Error {
    /// Names the file that was being written.
    pub(super) fn writing(self, to: &Path) -> Self {
        match self {
            Self::Write { path: None, source } => Self::Write {
                path: Some(to.to_owned()),
                source,
            },
            other => other,
        }
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}
