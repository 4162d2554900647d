//! Descriptors and media types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Platform;
use crate::Digest;

pub use oci_spec::image::MediaType;

/// The annotation of an index entry that names the image (OCI image-spec `annotations.md`).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation of a manifest that names the image that it was built on (OCI image-spec `annotations.md`).
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// The annotation of a manifest with the digest of the manifest that [`BASE_NAME`] stood for.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// Media types of docker's image manifest version 2, schema 2, and the older one.
pub mod docker {
    /// An image manifest.
    pub const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// A list of manifests by platform.
    pub const MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// An image config.
    pub const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// A layer, gzip.
    pub const LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// A layer, zstd.
    pub const LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
    /// A layer, not compressed.
    pub const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    /// A layer that must not be distributed.
    pub const LAYER_FOREIGN_GZIP: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    /// A schema 1 manifest, unsigned.
    pub const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+json";
    /// A schema 1 manifest, signed.
    pub const SCHEMA_1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
}

/// Names a blob, and says what and how large it is (OCI image-spec `descriptor.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    #[serde(default = "no_type", skip_serializing_if = "is_no_type")]
    pub media_type: MediaType,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// In an index: which platform the image is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Anything, by name.
    #[serde(
        default,
        deserialize_with = "super::config::null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// Fields that have no name here: `urls`, `artifactType`, `data` and whatever else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

fn no_type() -> MediaType {
    MediaType::Other(String::new())
}

fn is_no_type(media_type: &MediaType) -> bool {
    media_type.as_ref().is_empty()
}

impl Descriptor {
    /// The descriptor of a blob.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            platform: None,
            annotations: BTreeMap::new(),
            other: Map::new(),
        }
    }

    /// The descriptor of bytes in memory.
    pub fn of(media_type: MediaType, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// The name that an index gives the image.
    pub fn ref_name(&self) -> Option<&str> {
        self.annotations.get(REF_NAME).map(String::as_str)
    }

    /// What kind of artifact it is, where the descriptor says (OCI image-spec `descriptor.md`).
    pub fn artifact_type(&self) -> Option<&str> {
        self.other.get("artifactType").and_then(Value::as_str)
    }

    /// No image of a platform, but something said about one (BuildKit's attestations).
    pub fn is_attestation(&self) -> bool {
        self.annotations
            .get("vnd.docker.reference.type")
            .is_some_and(|kind| kind == "attestation-manifest")
    }
}

/// What rbuild asks of media types, OCI's and docker's alike.
pub trait MediaTypeExt {
    /// An index or a manifest list.
    fn is_index(&self) -> bool;
    /// A manifest of one image.
    fn is_manifest(&self) -> bool;
    /// A config of an image.
    fn is_config(&self) -> bool;
    /// A layer of an image.
    fn is_layer(&self) -> bool;
    /// OCI's name for the same format.
    fn to_oci(&self) -> MediaType;
}

impl MediaTypeExt for MediaType {
    fn is_index(&self) -> bool {
        self.to_oci() == MediaType::ImageIndex
    }

    fn is_manifest(&self) -> bool {
        self.to_oci() == MediaType::ImageManifest
    }

    fn is_config(&self) -> bool {
        self.to_oci() == MediaType::ImageConfig
    }

    fn is_layer(&self) -> bool {
        matches!(
            self.to_oci(),
            MediaType::ImageLayer
                | MediaType::ImageLayerGzip
                | MediaType::ImageLayerZstd
                | MediaType::ImageLayerNonDistributable
                | MediaType::ImageLayerNonDistributableGzip
                | MediaType::ImageLayerNonDistributableZstd
        )
    }

    fn to_oci(&self) -> MediaType {
        match self.as_ref() {
            docker::MANIFEST => MediaType::ImageManifest,
            docker::MANIFEST_LIST => MediaType::ImageIndex,
            docker::CONFIG => MediaType::ImageConfig,
            docker::LAYER => MediaType::ImageLayer,
            docker::LAYER_GZIP => MediaType::ImageLayerGzip,
            docker::LAYER_ZSTD => MediaType::ImageLayerZstd,
            docker::LAYER_FOREIGN_GZIP => MediaType::ImageLayerNonDistributableGzip,
            _ => self.clone(),
        }
    }
}
