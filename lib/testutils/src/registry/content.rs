//! Repositories, blobs, manifests, uploads: all in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

/// The digest of some bytes, as `sha256:HEX`.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// A manifest as it was put.
#[derive(Clone)]
pub struct Manifest {
    pub media_type: String,
    pub bytes: Arc<[u8]>,
}

#[derive(Default)]
struct Repository {
    blobs: HashMap<String, Arc<[u8]>>,
    manifests: BTreeMap<String, Manifest>,
    tags: BTreeMap<String, String>,
}

#[derive(Default)]
pub struct Content {
    repositories: HashMap<String, Repository>,
    uploads: HashMap<String, Vec<u8>>,
    next_upload: u64,
}

impl Content {
    pub fn put_blob(&mut self, repository: &str, bytes: Vec<u8>) -> String {
        let digest = digest(&bytes);
        self.of(repository).blobs.insert(digest.clone(), bytes.into());
        digest
    }

    pub fn put_blob_as(&mut self, repository: &str, digest: &str, bytes: Vec<u8>) {
        let blobs = &mut self.of(repository).blobs;
        blobs.insert(digest.to_owned(), bytes.into());
    }

    pub fn blob(&self, repository: &str, digest: &str) -> Option<Arc<[u8]>> {
        self.repositories.get(repository)?.blobs.get(digest).cloned()
    }

    pub fn delete_blob(&mut self, repository: &str, digest: &str) -> bool {
        self.of(repository).blobs.remove(digest).is_some()
    }

    /// True if the blob was there to be mounted.
    pub fn mount(&mut self, repository: &str, digest: &str, from: &str) -> bool {
        let Some(bytes) = self.blob(from, digest) else {
            return false;
        };
        self.of(repository).blobs.insert(digest.to_owned(), bytes);
        true
    }

    pub fn put_manifest(&mut self, repository: &str, name: &str, media_type: &str, bytes: Vec<u8>) -> String {
        let digest = digest(&bytes);
        let manifest = Manifest {
            media_type: media_type.to_owned(),
            bytes: bytes.into(),
        };
        let repository = self.of(repository);
        repository.manifests.insert(digest.clone(), manifest);
        if !name.starts_with("sha256:") {
            repository.tags.insert(name.to_owned(), digest.clone());
        }
        digest
    }

    pub fn manifest(&self, repository: &str, name: &str) -> Option<Manifest> {
        let repository = self.repositories.get(repository)?;
        let digest = repository.tags.get(name).map_or(name, String::as_str);
        repository.manifests.get(digest).cloned()
    }

    /// Takes away a tag, or a manifest and all its tags.
    pub fn delete_manifest(&mut self, repository: &str, name: &str) -> bool {
        let repository = self.of(repository);
        if repository.tags.remove(name).is_some() {
            return true;
        }
        repository.tags.retain(|_, digest| digest != name);
        repository.manifests.remove(name).is_some()
    }

    pub fn tags(&self, repository: &str) -> Option<Vec<String>> {
        Some(self.repositories.get(repository)?.tags.keys().cloned().collect())
    }

    /// Digest, media type and parsed form of all manifests whose subject is this one.
    pub fn referrers(&self, repository: &str, subject: &str) -> Vec<(String, Manifest, serde_json::Value)> {
        let manifests = self
            .repositories
            .get(repository)
            .into_iter()
            .flat_map(|repository| &repository.manifests);
        manifests
            .filter_map(|(digest, manifest)| {
                let parsed: serde_json::Value = serde_json::from_slice(&manifest.bytes).ok()?;
                (parsed["subject"]["digest"] == subject).then(|| (digest.clone(), manifest.clone(), parsed))
            })
            .collect()
    }

    /// The digest of a blob or manifest that this manifest names and the repository lacks.
    pub fn missing(&self, repository: &str, manifest: &[u8]) -> Result<Option<String>, serde_json::Error> {
        let parsed: serde_json::Value = serde_json::from_slice(manifest)?;
        let list = |key: &str| parsed[key].as_array().cloned().unwrap_or_default();
        let digest = |item: &serde_json::Value| item["digest"].as_str().map(str::to_owned);
        let blobs = list("layers")
            .iter()
            .chain([&parsed["config"]])
            .filter_map(digest)
            .collect::<Vec<_>>();
        let manifests = list("manifests").iter().filter_map(digest).collect::<Vec<_>>();
        let blob = blobs
            .into_iter()
            .find(|digest| self.blob(repository, digest).is_none());
        Ok(blob.or_else(|| {
            manifests
                .into_iter()
                .find(|digest| self.manifest(repository, digest).is_none())
        }))
    }

    pub fn begin_upload(&mut self) -> String {
        self.next_upload += 1;
        let id = format!("upload-{}", self.next_upload);
        self.uploads.insert(id.clone(), Vec::new());
        id
    }

    pub fn upload(&mut self, id: &str) -> Option<&mut Vec<u8>> {
        self.uploads.get_mut(id)
    }

    pub fn end_upload(&mut self, id: &str) -> Option<Vec<u8>> {
        self.uploads.remove(id)
    }

    fn of(&mut self, repository: &str) -> &mut Repository {
        self.repositories.entry(repository.to_owned()).or_default()
    }
}
