//! What can go wrong when an image is changed.

use std::path::PathBuf;

use super::Conflict;
use crate::{copy, image, inspect, layer, store, tree};

/// Why an image cannot be changed, or not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be read or written.
    #[error(transparent)]
    Copy(#[from] copy::Error),
    /// It is not valid.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// Its files cannot be read.
    #[error(transparent)]
    Files(#[from] inspect::Error),
    /// A new layer cannot be made.
    #[error("cannot make the layer")]
    Layer(#[from] layer::Error),
    /// A new layer cannot be kept.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A directory cannot be read.
    #[error(transparent)]
    Scan(#[from] tree::ScanError),
    /// A path leads nowhere.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// A file of this machine cannot be had.
    #[error("{action} {}", path.display())]
    Disk {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// An image is not built on what is called its base.
    #[error("{image} is not built on {base}: layer {layer} is another")]
    NotTheBase {
        /// The image.
        image: String,
        /// The supposed base.
        base: String,
        /// Which layer, from 1.
        layer: usize,
    },
    /// The layers above the base touched what the base changed.
    #[error("the layers above the base have touched what differs between the bases:{}", listed(.0))]
    Conflicts(Vec<Conflict>),
    /// What should be taken out of an index is not there.
    #[error("the index has no {0}")]
    NotInIndex(String),
    /// There is one image, and no index.
    #[error("{0} is no index")]
    NoIndex(String),
}

/// More than these are only counted.
const MOST: usize = 20;

fn listed(conflicts: &[Conflict]) -> String {
    let mut text: String = conflicts.iter().take(MOST).map(|c| format!("\n  {c}")).collect();
    if let Some(more) = conflicts.len().checked_sub(MOST).filter(|more| *more > 0) {
        text += &format!("\n  and {more} more");
    }
    text
}

impl Error {
    pub(super) fn disk(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Disk {
            action,
            path: path.into(),
            source,
        }
    }
}

impl From<image::BlobError> for Error {
    fn from(error: image::BlobError) -> Self {
        Self::Image(error.into())
    }
}
