//! Docker archives: `manifest.json`, and for each image a config and the tars of its layers.
//!
//! They have no manifests, so one is made for each image. Its layers are the tars as they lie in the archive: named by
//! diff ID if not compressed.

use std::{collections::HashMap, io::Read};

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::{
    Error,
    read::Entry,
    tar_file::{Span, TarFile, is_compressed},
};
use crate::{
    Digest, Hasher,
    image::{BlobError, Blobs, Config, Descriptor, Manifest, MediaType, Verified, to_json},
    store::disk::IoContext as _,
};

pub(super) const MANIFEST: &str = "manifest.json";

/// An entry of `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub config: String,
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub layers: Option<Vec<String>>,
}

/// The blobs of a docker archive, and the manifests made for it.
pub(super) struct DockerTar {
    tar: TarFile,
    layers: HashMap<Digest, Span>,
    documents: HashMap<Digest, Vec<u8>>,
}

/// Reads `manifest.json` and the configs.
pub(super) fn read(tar: TarFile) -> Result<(DockerTar, Vec<Entry>), Error> {
    let Some(bytes) = tar.read(MANIFEST)? else {
        return Err(damaged(&tar, format!("it has no file {MANIFEST}")));
    };
    let listed: Vec<Listed> = serde_json::from_slice(&bytes).map_err(|source| Error::Json {
        path: tar.path().to_owned(),
        entry: MANIFEST.to_owned(),
        source,
    })?;
    let mut docker = DockerTar {
        tar,
        layers: HashMap::new(),
        documents: HashMap::new(),
    };
    let mut known = HashMap::new();
    let entries = listed.into_iter().map(|listed| docker.add(listed, &mut known));
    let entries = entries.collect::<Result<_, _>>()?;
    Ok((docker, entries))
}

impl DockerTar {
    /// Makes the manifest of an image. `known` are the layers of images before.
    fn add(&mut self, listed: Listed, known: &mut HashMap<Span, Descriptor>) -> Result<Entry, Error> {
        let missing = |name: &str| {
            damaged(
                &self.tar,
                format!("{MANIFEST} names {name:?}, which it does not have"),
            )
        };
        let config = self
            .tar
            .read(&listed.config)?
            .ok_or_else(|| missing(&listed.config))?;
        let parsed = Config::parse(&config)?;
        let names = listed.layers.unwrap_or_default();
        let diff_ids = &parsed.rootfs.diff_ids;
        if names.len() != diff_ids.len() {
            let config = Digest::of(&config);
            return Err(crate::image::Error::LayerCount {
                config,
                layers: names.len(),
                diff_ids: diff_ids.len(),
            }
            .into());
        }
        let mut layers = Vec::new();
        for (name, diff_id) in names.iter().zip(diff_ids) {
            let span = self.tar.find(name).ok_or_else(|| missing(name))?;
            let layer = match known.get(&span) {
                Some(layer) => layer.clone(),
                None => self.describe(span, *diff_id)?,
            };
            self.layers.insert(layer.digest, span);
            known.insert(span, layer.clone());
            layers.push(layer);
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MediaType::ImageManifest),
            config: Descriptor::of(MediaType::ImageConfig, &config),
            layers,
            subject: None,
            annotations: Default::default(),
            other: Map::new(),
        };
        let bytes = to_json("manifest", &manifest)?;
        let mut image = Descriptor::of(MediaType::ImageManifest, &bytes);
        image.platform = Some(parsed.platform());
        self.documents.insert(manifest.config.digest, config);
        self.documents.insert(image.digest, bytes);
        Ok(Entry {
            names: listed.repo_tags.unwrap_or_default(),
            image,
        })
    }

    /// What a layer is: a tar whose digest the config says, or, if it is compressed, something to be read through.
    fn describe(&self, span: Span, diff_id: Digest) -> Result<Descriptor, Error> {
        let path = self.tar.path();
        let mut magic = Vec::new();
        self.tar
            .reader(span)
            .take(6)
            .read_to_end(&mut magic)
            .at("read", path)?;
        if !is_compressed(&magic) {
            return Ok(Descriptor::new(MediaType::ImageLayer, diff_id, span.size));
        }
        let mut hasher = Hasher::new();
        std::io::copy(&mut self.tar.reader(span), &mut hasher).at("read", path)?;
        let media_type = if magic.starts_with(b"\x28\xb5\x2f\xfd") {
            MediaType::ImageLayerZstd
        } else {
            MediaType::ImageLayerGzip
        };
        Ok(Descriptor::new(media_type, hasher.finish(), span.size))
    }
}

impl Blobs for DockerTar {
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        let place = self.tar.path().display().to_string();
        if let Some(bytes) = self.documents.get(&blob.digest) {
            return Ok(Box::new(Verified::new(
                std::io::Cursor::new(bytes.clone()),
                blob,
                place,
            )));
        }
        match self.layers.get(&blob.digest) {
            Some(span) => Ok(Box::new(Verified::new(self.tar.reader(*span), blob, place))),
            None => Err(BlobError::Missing {
                digest: blob.digest,
                place,
            }),
        }
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, BlobError> {
        let document = self.documents.get(&blob.digest).map(|bytes| bytes.len() as u64);
        let size = document.or_else(|| self.layers.get(&blob.digest).map(|span| span.size));
        Ok(size == Some(blob.size))
    }
}

fn damaged(tar: &TarFile, why: String) -> Error {
    Error::Damaged {
        path: tar.path().to_owned(),
        kind: "a docker archive",
        why,
    }
}
