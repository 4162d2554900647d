//! [`Image`] and its changes.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Map;

use super::{
    BASE_DIGEST, BASE_NAME, Config, Descriptor, Error, History, Manifest, MediaType, MediaTypeExt, Platform,
    RootFs,
};
use crate::{Digest, Reference};

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Layer {
    /// The blob: a tar, compressed or not.
    pub descriptor: Descriptor,
    /// Digest of the tar.
    pub diff_id: Digest,
}

/// An image: its config and its layers, and the bytes it was read from, as long as nothing is changed.
#[derive(Clone, Debug)]
pub struct Image {
    config: Config,
    layers: Vec<Layer>,
    annotations: BTreeMap<String, String>,
    encoded: Option<Arc<Encoded>>,
}

/// The bytes of an image, without its layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Names the manifest; has the platform.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: Vec<u8>,
    /// Names the config.
    pub config_descriptor: Descriptor,
    /// The config.
    pub config: Vec<u8>,
}

impl Image {
    /// An image of nothing.
    pub fn scratch(platform: &Platform) -> Self {
        let config = Config {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            os_version: platform.os_version.clone(),
            variant: platform.variant.clone(),
            ..Config::default()
        };
        Self {
            config,
            layers: Vec::new(),
            annotations: BTreeMap::new(),
            encoded: None,
        }
    }

    /// The image of this manifest and this config; `descriptor` names the manifest.
    ///
    /// # Errors
    /// If they are not valid, or do not belong together, or are not of an image that can be run.
    pub fn parse(descriptor: Descriptor, manifest: Vec<u8>, config: Vec<u8>) -> Result<Self, Error> {
        let parsed = Manifest::parse(&manifest)?;
        let found = Digest::of(&config);
        if found != parsed.config.digest {
            return Err(Error::ConfigDigest {
                named: parsed.config.digest,
                found,
            });
        }
        if !parsed.config.media_type.is_config() {
            return Err(Error::MediaType {
                digest: descriptor.digest,
                media_type: parsed.config.media_type.to_string(),
                why: "an artifact and not an image",
            });
        }
        let value = Config::parse(&config)?;
        let diff_ids = &value.rootfs.diff_ids;
        if diff_ids.len() != parsed.layers.len() {
            return Err(Error::LayerCount {
                config: found,
                layers: parsed.layers.len(),
                diff_ids: diff_ids.len(),
            });
        }
        let layers = parsed.layers.into_iter().zip(diff_ids);
        let layers = layers
            .map(|(descriptor, diff_id)| Layer {
                descriptor,
                diff_id: *diff_id,
            })
            .collect();
        let encoded = Encoded {
            descriptor,
            manifest,
            config_descriptor: parsed.config,
            config,
        };
        Ok(Self {
            config: value,
            layers,
            annotations: parsed.annotations,
            encoded: Some(Arc::new(encoded)),
        })
    }

    /// The config. Its diff IDs are those of [`layers`](Self::layers) once the image is encoded.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The layers, lowest first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Annotations of the manifest.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// What the image runs on.
    pub fn platform(&self) -> Platform {
        self.config.platform()
    }

    /// Adds a layer on top, and says how it came to be.
    pub fn append(&mut self, layer: Layer, history: History) {
        self.layers.push(layer);
        self.config.history.push(History {
            empty_layer: false,
            ..history
        });
        self.encoded = None;
    }

    /// Exchanges the blob of a layer, wherever it is in the image: the same layer, compressed in another way.
    pub(crate) fn replace_blob(&mut self, layer: &Layer, blob: Descriptor) {
        for known in self.layers.iter_mut().filter(|known| *known == layer) {
            known.descriptor = blob.clone();
            self.encoded = None;
        }
    }

    /// Adds a history entry that made no layer.
    pub fn note(&mut self, history: History) {
        self.config.history.push(History {
            empty_layer: true,
            ..history
        });
        self.encoded = None;
    }

    /// The config, to be changed. The layers are not changed through it.
    pub fn config_mut(&mut self) -> &mut Config {
        self.encoded = None;
        &mut self.config
    }

    /// The annotations, to be changed.
    pub fn annotations_mut(&mut self) -> &mut BTreeMap<String, String> {
        self.encoded = None;
        &mut self.annotations
    }

    /// Notes that what is added from now on is built on the image as it is, which is the one of this name (OCI image-spec
    /// `annotations.md`): for those who look for a newer base, or for layers that were never fetched.
    ///
    /// # Errors
    /// If the image cannot be put into JSON.
    pub fn record_base(&mut self, name: &Reference) -> Result<(), Error> {
        let digest = self.encode()?.descriptor.digest;
        let annotations = self.annotations_mut();
        annotations.insert(BASE_NAME.to_owned(), name.to_string());
        annotations.insert(BASE_DIGEST.to_owned(), digest.to_string());
        Ok(())
    }

    /// The bytes: those that were read, if nothing has been changed since, and OCI's forms otherwise.
    ///
    /// # Errors
    /// None that can be named: encoding to memory does not fail.
    pub fn encode(&self) -> Result<Arc<Encoded>, Error> {
        if let Some(encoded) = &self.encoded {
            return Ok(encoded.clone());
        }
        let diff_ids = self.layers.iter().map(|layer| layer.diff_id).collect();
        let rootfs = RootFs {
            diff_ids,
            ..RootFs::default()
        };
        let config = to_json(
            "config",
            &Config {
                rootfs,
                ..self.config.clone()
            },
        )?;
        let config_descriptor = Descriptor::of(MediaType::ImageConfig, &config);
        let layers = self.layers.iter().map(|layer| Descriptor {
            media_type: layer.descriptor.media_type.to_oci(),
            ..layer.descriptor.clone()
        });
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MediaType::ImageManifest),
            config: config_descriptor.clone(),
            layers: layers.collect(),
            subject: None,
            annotations: self.annotations.clone(),
            other: Map::new(),
        };
        let manifest = to_json("manifest", &manifest)?;
        let mut descriptor = Descriptor::of(MediaType::ImageManifest, &manifest);
        descriptor.platform = Some(self.platform());
        Ok(Arc::new(Encoded {
            descriptor,
            manifest,
            config_descriptor,
            config,
        }))
    }
}

pub(crate) fn to_json(what: &'static str, value: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|source| Error::Json {
        what,
        digest: Digest::of(""),
        source,
    })
}
