//! Images that strangers could make, in OCI layouts: each lies, or tries to get out of where it is unpacked.

use std::{fs, io::Write as _, path::Path};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::registry::digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What is made wrong about a document.
type Change = Box<dyn Fn(&mut Value)>;

/// An image to be written as a layout, right in all that is not made wrong on purpose.
#[derive(Default)]
pub struct Image {
    layers: Vec<Vec<u8>>,
    manifest: Option<Change>,
    config: Option<Change>,
}

impl Image {
    /// Adds a layer of this tar.
    pub fn layer(mut self, tar: Tar) -> Self {
        self.layers.push(tar.end());
        self
    }

    /// Adds a layer of these bytes.
    pub fn bytes(mut self, bytes: Vec<u8>) -> Self {
        self.layers.push(bytes);
        self
    }

    /// Changes the manifest before it is written.
    pub fn manifest(mut self, change: impl Fn(&mut Value) + 'static) -> Self {
        self.manifest = Some(Box::new(change));
        self
    }

    /// Changes the config before it is written; the manifest has its digest then.
    pub fn config(mut self, change: impl Fn(&mut Value) + 'static) -> Self {
        self.config = Some(Box::new(change));
        self
    }

    /// Writes the layout.
    pub fn write(&self, layout: &Path) {
        let blobs = layout.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("a directory for the layout");
        let put = |media_type: &str, bytes: &[u8]| {
            let digest = digest(bytes);
            fs::write(blobs.join(&digest[7..]), bytes).expect("to write a blob");
            json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
        };
        let diff_ids: Vec<String> = self.layers.iter().map(|layer| digest(&plain(layer))).collect();
        let mut config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        if let Some(change) = &self.config {
            change(&mut config);
        }
        let layers: Vec<Value> = self.layers.iter().map(|layer| put(LAYER, layer)).collect();
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": put(CONFIG, config.to_string().as_bytes()), "layers": layers,
        });
        if let Some(change) = &self.manifest {
            change(&mut manifest);
        }
        let entry = put(MANIFEST, manifest.to_string().as_bytes());
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
        fs::write(layout.join("index.json"), index.to_string()).expect("to write the index");
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
            .expect("to write the marker");
    }
}

/// What gzip holds, or the bytes themselves.
fn plain(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut plain) {
        Ok(_) => plain,
        Err(_) => bytes.to_vec(),
    }
}

/// The bytes compressed as well as gzip can.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes).expect("writing to memory does not fail");
    gzip.finish().expect("writing to memory does not fail")
}

/// A tar in which names are what one likes.
#[derive(Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// A file.
    pub fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(b'0', name, "", data)
    }

    /// A directory.
    pub fn directory(self, name: &str) -> Self {
        self.entry(b'5', name, "", b"")
    }

    /// A symbolic link.
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name, target, b"")
    }

    /// A hard link.
    pub fn link(self, name: &str, target: &str) -> Self {
        self.entry(b'1', name, target, b"")
    }

    /// A character device: `/dev/null`.
    pub fn device(self, name: &str) -> Self {
        self.entry(b'3', name, "", b"")
    }

    /// Records for the next entry.
    pub fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut data = String::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest..).find(|length| rest + length.to_string().len() == *length);
            data += &format!("{} {key}={value}\n", length.unwrap_or(rest));
        }
        self.entry(b'x', "pax", "", data.as_bytes())
    }

    /// Anything.
    pub fn entry(mut self, kind: u8, name: &str, link: &str, data: &[u8]) -> Self {
        let mut block = [0u8; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &name.as_bytes()[..name.len().min(100)]);
        put(100, b"0000644\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", data.len()).as_bytes());
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[kind]);
        put(157, &link.as_bytes()[..link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, b"0000001\0");
        put(337, b"0000003\0");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The bytes.
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}
