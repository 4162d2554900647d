//! Everything that an image says of itself, computed again.

use std::{
    collections::HashSet,
    fmt,
    io::{self, Read},
};

use crate::{
    Digest,
    image::{
        BlobError, Blobs, Config, Descriptor, Index, Manifest, MediaType, MediaTypeExt, is_index, read_small,
    },
    in_words, layer,
};

/// Indexes may lie in indexes this deep.
const DEEPEST: usize = 8;

/// What was looked at, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validation {
    /// Everything that is wrong, in the order of the image.
    pub findings: Vec<Finding>,
    /// Manifests that were read.
    pub manifests: usize,
    /// Layers, configs and other blobs that were read to their end.
    pub blobs: usize,
    /// In bytes: all of it.
    pub bytes: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The manifest, config or layer.
    pub blob: Digest,
    /// In words.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.blob, self.what)
    }
}

/// Reads an image, or an index with all its images, and checks sizes, digests, diff IDs, the tars of layers, and whether
/// manifest, config and history agree. Goes on after what is wrong.
pub fn validate(blobs: &dyn Blobs, image: &Descriptor) -> Validation {
    let mut check = Check {
        blobs,
        seen: HashSet::new(),
        result: Validation::default(),
    };
    check.visit(image, 0);
    check.result
}

struct Check<'a> {
    blobs: &'a dyn Blobs,
    seen: HashSet<Digest>,
    result: Validation,
}

impl Check<'_> {
    fn wrong(&mut self, blob: Digest, what: impl Into<String>) {
        let what = what.into();
        self.result.findings.push(Finding { blob, what });
    }

    fn visit(&mut self, manifest: &Descriptor, depth: usize) {
        let digest = manifest.digest;
        if !self.seen.insert(digest) {
            return;
        }
        if depth > DEEPEST {
            return self.wrong(digest, "indexes are nested too deep");
        }
        let Some(bytes) = self.document(manifest) else {
            return;
        };
        self.result.manifests += 1;
        match is_index(&manifest.media_type, &bytes) {
            true => self.index(manifest, &bytes, depth),
            false => self.manifest(manifest, &bytes),
        }
    }

    /// The bytes of a manifest or a config, if they are what the descriptor says.
    fn document(&mut self, blob: &Descriptor) -> Option<Vec<u8>> {
        match read_small(self.blobs, blob) {
            Ok(bytes) => {
                self.result.bytes += bytes.len() as u64;
                Some(bytes)
            }
            Err(error) => {
                self.wrong(blob.digest, in_words(&error));
                None
            }
        }
    }

    fn index(&mut self, descriptor: &Descriptor, bytes: &[u8], depth: usize) {
        let index = match Index::parse(bytes) {
            Ok(index) => index,
            Err(error) => return self.wrong(descriptor.digest, in_words(&error)),
        };
        self.head(descriptor, index.schema_version, index.media_type.as_ref());
        for entry in &index.manifests {
            self.visit(entry, depth + 1);
        }
    }

    /// What a document says of itself is what is said of it.
    fn head(&mut self, descriptor: &Descriptor, version: u32, own: Option<&MediaType>) {
        if version != 2 {
            self.wrong(
                descriptor.digest,
                format!("its schemaVersion is {version}, not 2"),
            );
        }
        let said = &descriptor.media_type;
        if let Some(own) = own.filter(|own| *own != said && !said.as_ref().is_empty()) {
            self.wrong(
                descriptor.digest,
                format!("it calls itself {own}, and what names it says {said}"),
            );
        }
    }

    fn manifest(&mut self, descriptor: &Descriptor, bytes: &[u8]) {
        let manifest = match Manifest::parse(bytes) {
            Ok(manifest) => manifest,
            Err(error) => return self.wrong(descriptor.digest, in_words(&error)),
        };
        self.head(descriptor, manifest.schema_version, manifest.media_type.as_ref());
        if !manifest.config.media_type.is_config() {
            return self.artifact(&manifest);
        }
        let config = self.config(descriptor, &manifest);
        let diff_ids = config.map(|config| config.rootfs.diff_ids).unwrap_or_default();
        for (number, layer) in manifest.layers.iter().enumerate() {
            self.layer(layer, diff_ids.get(number));
        }
    }

    /// No image: of its blobs nothing is known but size and digest.
    fn artifact(&mut self, manifest: &Manifest) {
        for blob in [&manifest.config].into_iter().chain(&manifest.layers) {
            if self.seen.insert(blob.digest)
                && let Some(mut reader) = self.open(blob)
            {
                let read = io::copy(&mut reader, &mut io::sink()).map(drop);
                self.done(blob, read);
            }
        }
    }

    fn config(&mut self, image: &Descriptor, manifest: &Manifest) -> Option<Config> {
        let digest = manifest.config.digest;
        let bytes = self.document(&manifest.config)?;
        self.result.blobs += usize::from(self.seen.insert(digest));
        let config = match Config::parse(&bytes) {
            Ok(config) => config,
            Err(error) => {
                self.wrong(digest, in_words(&error));
                return None;
            }
        };
        let layers = manifest.layers.len();
        let diff_ids = config.rootfs.diff_ids.len();
        if diff_ids != layers {
            self.wrong(
                digest,
                format!("it has {diff_ids} diff IDs, and the manifest {layers} layers"),
            );
        }
        let made = config.history.iter().filter(|entry| !entry.empty_layer).count();
        if made != layers && !config.history.is_empty() {
            self.wrong(
                digest,
                format!("its history tells of {made} layers, and the manifest has {layers}"),
            );
        }
        let platform = config.platform();
        if let Some(said) = &image.platform
            && platform.serves(said).is_none()
        {
            self.wrong(digest, format!("it is for {platform}, and the index says {said}"));
        }
        Some(config)
    }

    fn layer(&mut self, blob: &Descriptor, diff_id: Option<&Digest>) {
        // The same layer may be in many images.
        if !self.seen.insert(blob.digest) {
            return;
        }
        let media_type = &blob.media_type;
        if !media_type.is_layer() {
            self.wrong(blob.digest, format!("{media_type} is no layer"));
        }
        let Some(mut reader) = self.open(blob) else { return };
        let index = layer::decompress(&mut reader).and_then(|tar| layer::index(tar, None));
        // What the decompressor had no need of belongs to the blob as well.
        let read = io::copy(&mut reader, &mut io::sink()).map(drop);
        match (&read, index) {
            // Whatever is in it: these are not the bytes that were meant.
            (Err(_), _) => {}
            (Ok(()), Err(error)) => self.wrong(blob.digest, in_words(&error)),
            (Ok(()), Ok(index)) if diff_id.is_some_and(|diff_id| *diff_id != index.diff_id) => {
                let found = index.diff_id;
                let said = diff_id.map(Digest::to_string).unwrap_or_default();
                self.wrong(
                    blob.digest,
                    format!("its diff ID is {found}, and the config says {said}"),
                );
            }
            (Ok(()), Ok(_)) => {}
        }
        self.done(blob, read);
    }

    fn open(&mut self, blob: &Descriptor) -> Option<Reader> {
        match self.blobs.open(blob) {
            Ok(inner) => Some(Reader { inner, failed: None }),
            Err(error) => {
                self.wrong(blob.digest, in_words(&error));
                None
            }
        }
    }

    fn done(&mut self, blob: &Descriptor, read: io::Result<()>) {
        match read {
            Ok(()) => {
                self.result.blobs += 1;
                self.result.bytes += blob.size;
            }
            Err(error) => {
                let error = BlobError::from_read(error, blob.digest, "the image");
                self.wrong(blob.digest, in_words(&error));
            }
        }
    }
}

/// Fails again and again where it failed once, so that a failure that a decompressor met is found afterwards.
struct Reader {
    inner: Box<dyn Read + Send>,
    failed: Option<String>,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(failed) = &self.failed {
            return Err(io::Error::other(failed.clone()));
        }
        let result = self.inner.read(buffer);
        if let Err(error) = &result
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.failed = Some(error.to_string());
        }
        result
    }
}
