//! OCI image layouts: a directory of blobs and an index of the images in it (OCI image-spec `image-layout.md`).

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{
    Error,
    disk::{self, Durability, IoContext as _},
};
use crate::{
    Digest,
    image::{BlobError, Blobs, Descriptor, Index, Verified},
};

const MARKER: &str = "oci-layout";
const INDEX: &str = "index.json";
const EMPTY_INDEX: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// An OCI image layout on disk.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

/// A blob that is being written; gone unless committed.
///
/// Not buffered: write blocks.
pub struct Incoming {
    file: NamedTempFile,
    blobs: PathBuf,
    written: u64,
}

impl Layout {
    /// Opens a layout that is there.
    ///
    /// # Errors
    /// If there is none, or one of a version that is not known.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = root.into();
        let path = root.join(MARKER);
        let not = |why: String| Error::NotALayout {
            path: root.clone(),
            why,
        };
        let marker = match disk::read_document(&path) {
            Ok(marker) => marker,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Err(not(format!("there is no file {MARKER}")));
            }
            Err(error) => return Err(error).at("read", &path),
        };
        check_marker(&marker).map_err(not)?;
        Ok(Self { root })
    }

    /// Opens a layout, and makes it if there is none. Several may do so at once.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = root.into();
        Self::create_in(&root, &root)
    }

    /// As [`create`](Self::create), with temporary files elsewhere.
    pub(super) fn create_in(root: &Path, tmp: &Path) -> Result<Self, Error> {
        let layout = Self {
            root: root.to_owned(),
        };
        let blobs = layout.blobs();
        fs::create_dir_all(&blobs).at("create", &blobs)?;
        disk::publish_new(tmp, &layout.root.join(INDEX), EMPTY_INDEX)?;
        // Never in place of one that is there: it is what `edit` locks.
        disk::publish_new(tmp, &layout.root.join(MARKER), marker_bytes())?;
        Self::open(layout.root)
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The images.
    ///
    /// # Errors
    /// If the index cannot be read. None is an empty one.
    pub fn index(&self) -> Result<Index, Error> {
        let path = self.root.join(INDEX);
        match disk::read_document(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| Error::Json { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Index::new(Vec::new())),
            Err(error) => Err(error).at("read", &path),
        }
    }

    /// Changes the index, while nobody else does. Blobs that it will name are to be committed before.
    ///
    /// # Errors
    /// If it cannot be read or written; then it is as it was.
    pub fn edit<T>(&self, change: impl FnOnce(&mut Index) -> T) -> Result<T, Error> {
        self.edit_in(&self.root, change)
    }

    /// As [`edit`](Self::edit), with temporary files elsewhere.
    pub(super) fn edit_in<T>(&self, tmp: &Path, change: impl FnOnce(&mut Index) -> T) -> Result<T, Error> {
        let marker = self.root.join(MARKER);
        // Some file systems (NFS) lock only what is open for writing.
        let lock = File::options()
            .read(true)
            .append(true)
            .open(&marker)
            .at("open", &marker)?;
        lock.lock().at("lock", &marker)?;
        let before = self.index()?;
        let mut index = before.clone();
        let result = change(&mut index);
        if index != before {
            let path = self.root.join(INDEX);
            let bytes = serde_json::to_vec(&index).map_err(|source| Error::Json {
                path: path.clone(),
                source,
            })?;
            disk::sync_directory(&self.blobs())?;
            disk::publish(tmp, &path, &bytes, Durability::Synced)?;
            disk::sync_directory(&self.root)?;
        }
        Ok(result)
    }

    /// Where a blob lies, or would.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// Whether there is a blob of this size.
    pub fn holds(&self, digest: &Digest, size: u64) -> bool {
        fs::metadata(self.blob_path(digest))
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
    }

    /// Begins a blob; its file is in the layout until it is committed.
    ///
    /// # Errors
    /// If no file can be made.
    pub fn new_blob(&self) -> Result<Incoming, Error> {
        self.incoming_in(&self.root)
    }

    /// Begins a blob in some directory of the same file system.
    pub(super) fn incoming_in(&self, dir: &Path) -> Result<Incoming, Error> {
        Ok(Incoming {
            file: disk::temporary(dir)?,
            blobs: self.blobs(),
            written: 0,
        })
    }

    /// Stores a blob that is read from somewhere else into what `begin` makes; does nothing if it is there.
    pub(crate) fn fetch(
        &self,
        from: &dyn Blobs,
        blob: &Descriptor,
        begin: impl FnOnce() -> Result<Incoming, Error>,
    ) -> Result<(), Error> {
        if self.holds(&blob.digest, blob.size) {
            return Ok(());
        }
        let mut incoming = begin()?;
        incoming.copy_from(from, blob)?;
        incoming.commit(&blob.digest)
    }

    pub(super) fn open_blob(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        let place = || self.root.display().to_string();
        let digest = blob.digest;
        match File::open(self.blob_path(&digest)) {
            Ok(file) => Ok(Box::new(Verified::new(file, blob, place()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BlobError::Missing {
                digest,
                place: place(),
            }),
            Err(source) => Err(BlobError::Io {
                digest,
                place: place(),
                source,
            }),
        }
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }
}

impl Blobs for Layout {
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        self.open_blob(blob)
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, BlobError> {
        Ok(self.holds(&blob.digest, blob.size))
    }
}

impl Incoming {
    /// A file in `tmp` that will be one in `blobs`.
    pub(crate) fn new(tmp: &Path, blobs: &Path) -> Result<Self, Error> {
        Ok(Self {
            file: disk::temporary(tmp)?,
            blobs: blobs.to_owned(),
            written: 0,
        })
    }

    /// Appends a blob that is read from somewhere else.
    pub(crate) fn copy_from(&mut self, from: &dyn Blobs, blob: &Descriptor) -> Result<(), Error> {
        let mut source = from.open(blob)?;
        let mut buffer = vec![0; 1 << 17];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.write_bytes(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(BlobError::from_read(error, blob.digest, "its source").into()),
            }
        }
    }

    /// Appends; the error says where to.
    ///
    /// # Errors
    /// If the disk is full, or worse.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        // Through the file itself, whose errors do not name a path that nobody will find.
        self.file
            .as_file_mut()
            .write_all(bytes)
            .at("write to", &self.blobs)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Bytes so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Publishes the blob, in place of one that is there. The caller vouches for its digest.
    ///
    /// # Errors
    /// If it cannot be synced or renamed.
    pub fn commit(self, digest: &Digest) -> Result<(), Error> {
        self.commit_as(&digest.hex())
    }

    /// Publishes the file under a name.
    pub(crate) fn commit_as(self, name: &str) -> Result<(), Error> {
        disk::persist(self.file, &self.blobs.join(name), Durability::Synced)
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self
            .file
            .as_file_mut()
            .write(bytes)
            .map_err(|error| disk::name(error, "write to", &self.blobs))?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes of the file `oci-layout`.
pub(crate) fn marker_bytes() -> &'static [u8] {
    br#"{"imageLayoutVersion":"1.0.0"}"#
}

/// Whether a file `oci-layout` is one, and if not, why.
pub(crate) fn check_marker(bytes: &[u8]) -> Result<(), String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Marker {
        image_layout_version: String,
    }
    let marker: Marker =
        serde_json::from_slice(bytes).map_err(|error| format!("the file {MARKER} is not valid: {error}"))?;
    match marker.image_layout_version.as_str() {
        "1.0.0" => Ok(()),
        other => Err(format!("its version is {other:?}, and only 1.0.0 is known")),
    }
}
