//! Images in memory, for tests.

use std::{
    collections::HashMap,
    io::{Cursor, Read, Write as _},
    sync::Mutex,
};

use flate2::{Compression, write::GzEncoder};

use super::{
    BlobError, Blobs, Descriptor, Encoded, History, Image, Index, Layer, MediaType, Platform, Verified,
    docker,
};
use crate::Digest;

/// Blobs in memory.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<Digest, Vec<u8>>>);

impl Memory {
    pub(crate) fn put(&self, media_type: MediaType, bytes: &[u8]) -> Descriptor {
        self.0.lock().unwrap().insert(Digest::of(bytes), bytes.to_vec());
        Descriptor::of(media_type, bytes)
    }

    /// Puts other bytes in the place of a blob.
    pub(crate) fn damage(&self, digest: &Digest, bytes: &[u8]) {
        self.0.lock().unwrap().insert(*digest, bytes.to_vec());
    }

    pub(crate) fn bytes(&self, digest: &Digest) -> Vec<u8> {
        self.0.lock().unwrap()[digest].clone()
    }

    pub(crate) fn forget(&self, digest: &Digest) {
        self.0.lock().unwrap().remove(digest);
    }

    /// A layer of one file, with gzip.
    pub(crate) fn layer(&self, name: &str, content: &str) -> Layer {
        let tar = tar(&[(name, content.as_bytes())]);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&tar).unwrap();
        let descriptor = self.put(MediaType::ImageLayerGzip, &gzip.finish().unwrap());
        Layer {
            descriptor,
            diff_id: Digest::of(&tar),
        }
    }

    /// An image with one layer for each text.
    pub(crate) fn image(&self, platform: &str, texts: &[&str]) -> Image {
        let platform: Platform = platform.parse().unwrap();
        let mut image = Image::scratch(&platform);
        for (number, text) in texts.iter().enumerate() {
            let history = History {
                created_by: format!("COPY {text} /"),
                ..History::default()
            };
            image.append(self.layer(&format!("file{number}"), text), history);
        }
        image.config_mut().config.cmd = Some(vec!["/file0".to_owned()]);
        image
    }

    pub(crate) fn put_image(&self, image: &Image) -> Descriptor {
        let encoded = image.encode().unwrap();
        let Encoded {
            manifest,
            config,
            descriptor,
            ..
        } = &*encoded;
        self.put(MediaType::ImageConfig, config);
        self.put(MediaType::ImageManifest, manifest);
        descriptor.clone()
    }

    pub(crate) fn put_index(&self, entries: Vec<Descriptor>) -> Descriptor {
        self.put(
            MediaType::ImageIndex,
            &serde_json::to_vec(&Index::new(entries)).unwrap(),
        )
    }

    /// An image with docker's media types, indented, with a field that nobody knows.
    pub(crate) fn docker_image(&self) -> Descriptor {
        let layer = self.layer("etc/motd", "hello");
        let config = format!(
            r#"{{ "os": "linux", "architecture": "amd64", "config": {{"Cmd": null, "Surprise": 1}},
                 "rootfs": {{"type": "layers", "diff_ids": ["{}"]}}, "docker_version": "1.2" }}"#,
            layer.diff_id
        );
        let config = self.put(MediaType::Other(docker::CONFIG.to_owned()), config.as_bytes());
        let manifest = format!(
            r#"{{ "schemaVersion": 2, "mediaType": "{}",
                 "config": {{"mediaType": "{}", "size": {}, "digest": "{}"}},
                 "layers": [{{"mediaType": "{}", "size": {}, "digest": "{}", "urls": ["x:"]}}] }}"#,
            docker::MANIFEST,
            docker::CONFIG,
            config.size,
            config.digest,
            docker::LAYER_GZIP,
            layer.descriptor.size,
            layer.descriptor.digest
        );
        self.put(MediaType::Other(docker::MANIFEST.to_owned()), manifest.as_bytes())
    }
}

impl Blobs for Memory {
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        let place = "memory".to_owned();
        match self.0.lock().unwrap().get(&blob.digest) {
            Some(bytes) => Ok(Box::new(Verified::new(Cursor::new(bytes.clone()), blob, place))),
            None => Err(BlobError::Missing {
                digest: blob.digest,
                place,
            }),
        }
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, BlobError> {
        Ok(self.0.lock().unwrap().contains_key(&blob.digest))
    }
}

/// A tar of regular files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}
