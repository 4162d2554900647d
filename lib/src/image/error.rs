//! What can be wrong with an image.

use super::{BlobError, Platform};
use crate::Digest;

/// What can be wrong with an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A manifest, an index or a config is not the JSON it should be.
    #[error("{what} {digest} is not valid")]
    Json {
        /// `manifest`, `index`, `config`.
        what: &'static str,
        /// Of the bytes.
        digest: Digest,
        /// Where and how.
        #[source]
        source: serde_json::Error,
    },
    /// The manifest is of a kind that holds no image rbuild can use.
    #[error("{digest} is of type {media_type}: {why}")]
    MediaType {
        /// Of the manifest.
        digest: Digest,
        /// What it says it is.
        media_type: String,
        /// What is the matter with that.
        why: &'static str,
    },
    /// The config does not have one diff ID for each layer.
    #[error("the manifest has {layers} layers, but its config {config} has {diff_ids} diff IDs")]
    LayerCount {
        /// Digest of the config.
        config: Digest,
        /// In the manifest.
        layers: usize,
        /// In the config.
        diff_ids: usize,
    },
    /// The config is not the one that the manifest names.
    #[error("the config has digest {found}, but its manifest names {named}")]
    ConfigDigest {
        /// In the manifest.
        named: Digest,
        /// Of the bytes.
        found: Digest,
    },
    /// A document lists more than any real one does.
    #[error("{what} {digest} lists {count} entries, more than the {limit} that are accepted")]
    TooMany {
        /// `manifest`, `index`.
        what: &'static str,
        /// Of the bytes.
        digest: Digest,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// An index has no image for the platform.
    #[error("no image for {wanted} in index {index}; it has {}", list(available))]
    NoPlatform {
        /// What was asked for.
        wanted: Box<Platform>,
        /// Digest of the index.
        index: Digest,
        /// What there is.
        available: Vec<Platform>,
    },
    /// Indexes in indexes, without end.
    #[error("index {index} is nested too deep")]
    Nesting {
        /// Digest of the innermost that was read.
        index: Digest,
    },
    /// A blob could not be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "none that names its platform".to_owned();
    }
    platforms
        .iter()
        .map(Platform::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
