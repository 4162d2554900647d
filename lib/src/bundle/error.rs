//! What can go wrong with a bundle.

use std::{io, path::PathBuf};

use crate::{Digest, edit, image, inspect, layer, tree};

/// Why an image cannot be unpacked, or a bundle not be made an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of this machine cannot be read or written.
    #[error("{action} {}", path.display())]
    Disk {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// There is something where the bundle should be made.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// A directory is no bundle.
    #[error("{} is no bundle: {why}", path.display())]
    NotABundle {
        /// The directory.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The bundle is of another image than that it should be compared with.
    #[error("the bundle is of image {expected}, and not of {found}")]
    AnotherImage {
        /// As `umoci.json` says.
        expected: Digest,
        /// What was opened.
        found: Digest,
    },
    /// A file's bytes are not those that the image's layers had before.
    #[error("{} is not what it was when the layer was indexed", .0.display())]
    Changed(PathBuf),
    /// The image's files cannot be read.
    #[error(transparent)]
    Files(#[from] inspect::Error),
    /// The image is not valid.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// A layer cannot be read.
    #[error(transparent)]
    Layer(#[from] layer::Error),
    /// The files do not make a tree.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// The new layer cannot be made.
    #[error(transparent)]
    Edit(#[from] edit::Error),
}

/// Names the path in an error.
pub(super) trait At<T> {
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, Error> {
        self.map_err(|source| Error::Disk {
            action,
            path: path.into(),
            source: source.into(),
        })
    }
}
