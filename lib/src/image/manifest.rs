//! Manifests and indexes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Descriptor, Error, MediaType, MediaTypeExt, Platform, config::null_is_default, docker};
use crate::Digest;

/// The manifest of one image, OCI's or docker's schema 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// What the manifest is, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The image's config.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Anything, by name.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// Fields that have no name here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A list of manifests: images of several platforms, or of several names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// What the index is, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// What it lists.
    #[serde(default, deserialize_with = "null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Anything, by name.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// Fields that have no name here.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// No kernel mounts as many layers as this.
const MOST_LAYERS: usize = 1000;
const MOST_IMAGES: usize = 10_000;

/// Refuses what is only there to keep its reader busy.
fn few(what: &'static str, bytes: &[u8], count: usize, limit: usize) -> Result<(), Error> {
    match count > limit {
        true => Err(Error::TooMany {
            what,
            digest: Digest::of(bytes),
            count,
            limit,
        }),
        false => Ok(()),
    }
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`Error::Json`] if it is no manifest, [`Error::MediaType`] if it is one of docker's schema 1.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        refuse_schema_1(bytes)?;
        let manifest: Self = parse("manifest", bytes)?;
        few("manifest", bytes, manifest.layers.len(), MOST_LAYERS)?;
        Ok(manifest)
    }
}

impl Index {
    /// An index of these images.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::ImageIndex),
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
            other: Map::new(),
        }
    }

    /// Reads an index.
    ///
    /// # Errors
    /// [`Error::Json`] if it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let index: Self = parse("index", bytes)?;
        few("index", bytes, index.manifests.len(), MOST_IMAGES)?;
        Ok(index)
    }

    /// The entry that serves a platform best; the first among equals. `digest` is that of the index, for the error.
    ///
    /// An only entry that names no platform is taken for any.
    ///
    /// # Errors
    /// [`Error::NoPlatform`].
    pub fn select(&self, wanted: &Platform, digest: Digest) -> Result<&Descriptor, Error> {
        let images = || self.manifests.iter().filter(|entry| !entry.is_attestation());
        let mut best: Option<(u32, &Descriptor)> = None;
        for entry in images() {
            let Some(rank) = entry
                .platform
                .as_ref()
                .and_then(|platform| platform.serves(wanted))
            else {
                continue;
            };
            if best.is_none_or(|(other, _)| rank > other) {
                best = Some((rank, entry));
            }
        }
        if let Some((_, entry)) = best {
            return Ok(entry);
        }
        let mut all = images();
        if let (Some(only), None) = (all.next(), all.next())
            && only.platform.is_none()
        {
            return Ok(only);
        }
        Err(Error::NoPlatform {
            wanted: Box::new(wanted.clone()),
            index: digest,
            available: images().filter_map(|entry| entry.platform.clone()).collect(),
        })
    }
}

/// Which of the two a document is, by what it holds; `said` is the type that a descriptor or a header gives it.
pub(crate) fn is_index(said: &MediaType, bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Probe {
        media_type: Option<MediaType>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    if said.is_index() || said.is_manifest() {
        return said.is_index();
    }
    match serde_json::from_slice::<Probe>(bytes) {
        Ok(Probe {
            media_type: Some(media_type),
            ..
        }) => media_type.is_index(),
        Ok(Probe { manifests, .. }) => manifests.is_some(),
        Err(_) => false,
    }
}

fn parse<T: for<'de> Deserialize<'de>>(what: &'static str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|source| Error::Json {
        what,
        digest: Digest::of(bytes),
        source,
    })
}

fn refuse_schema_1(bytes: &[u8]) -> Result<(), Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Probe {
        schema_version: u32,
    }
    match serde_json::from_slice::<Probe>(bytes) {
        Ok(Probe { schema_version: 1 }) => Err(Error::MediaType {
            digest: Digest::of(bytes),
            media_type: docker::SCHEMA_1.to_owned(),
            why: "docker's schema 1, which is not supported; push the image again with a current tool",
        }),
        _ => Ok(()),
    }
}
