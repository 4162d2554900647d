//! What rbuild keeps on disk: blobs and names, which are an OCI image layout, and caches, which can always be rebuilt.
//!
//! ```text
//! oci-layout  index.json  blobs/sha256/HEX     an OCI image layout: `skopeo copy oci:STORE:NAME …` works
//! steps/KEY                                    results of steps
//! trees/DIFF-ID                                indexes of layers
//! layers/FORMAT/DIFF-ID/{root/,stamp}          unpacked layers
//! why/KEY  contexts/KEY                        other records
//! mounts/FORMAT/ID-N, .lock                    contents of cache mounts
//! tmp/PROCESS/                                 work in progress
//! lock                                         shared while something builds, exclusive while something is deleted
//! ```
//!
//! Nothing is half there. A blob is written to `tmp`, synced, and renamed into place; `index.json` is replaced the same
//! way, under a lock on `oci-layout`. Cache records are not synced, since they can be rebuilt: each ends with its
//! digest, and one that a power failure tore reads as absent. Unpacked layers are not synced either, and are trusted
//! only until the next boot. What a killed process leaves in `tmp` is swept by the next one: a live process holds a lock
//! there.
//!
//! - `disk`: publishing, errors that carry their path
//! - `layout`: OCI image layouts, this one and others
//! - `names`: tags
//! - `cache`: records; `live`: those that are read in parts
//! - `unpacked`: unpacked layers
//! - `session`: work in progress
//! - `remove`: deleting what may belong to other users
//! - `reach`: what refers to what
//! - `usage`: what takes how much space, and what nothing refers to
//! - `prune`: deleting what was not used for longest

mod cache;
pub(crate) mod disk;
mod error;
mod layout;
mod live;
mod names;
mod prune;
mod reach;
mod remove;
mod session;
mod unpacked;
mod usage;

use std::{
    env, fs,
    fs::File,
    io::Read,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

pub use cache::{Cache, Record};
pub use error::Error;
pub use layout::{Incoming, Layout};
pub(crate) use layout::{check_marker, marker_bytes};
pub use names::Named;
pub(crate) use names::put as put_entry;
pub use prune::Pruned;
pub use remove::{Plain, Remover};
pub use session::TmpDir;
pub use unpacked::LayerDir;
pub use usage::{Part, Usage};

use crate::{
    Digest,
    image::{BlobError, Blobs, Descriptor, Image},
};
use disk::IoContext as _;
pub(crate) use disk::Locked;
use session::Session;

/// A store. Clones share it; several processes may use one at the same time.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    session: Mutex<Option<Arc<Session>>>,
}

/// While this lives, nothing is deleted from the store.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "held for its lock")] Locked);

/// The directories of a store, and files that may lie at its top.
const DIRECTORIES: [&str; 8] = [
    "blobs/sha256",
    "steps",
    "trees",
    "layers",
    "why",
    "contexts",
    "mounts",
    "tmp",
];
const OURS: [&str; 11] = [
    "blobs",
    "steps",
    "trees",
    "layers",
    "why",
    "contexts",
    "mounts",
    "tmp",
    "lock",
    "index.json",
    "lost+found",
];

impl Store {
    /// Opens a store, and makes it if there is none.
    ///
    /// # Errors
    /// If the directory holds something else, or cannot be written.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, Error> {
        let root = std::path::absolute(root.as_ref()).at("find", root.as_ref())?;
        let layout = match Layout::open(&root) {
            Ok(layout) => layout,
            Err(Error::NotALayout { .. }) => make(&root)?,
            Err(error) => return Err(error),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                layout,
                session: Mutex::new(None),
            }),
        })
    }

    /// Opens the store in `$RBUILD_ROOT`, or else in the user's data directory (XDG).
    ///
    /// # Errors
    /// As [`open`](Self::open), and if neither that nor `XDG_DATA_HOME` nor `HOME` is set.
    pub fn open_default() -> Result<Self, Error> {
        Self::open(default_root(|name| env::var_os(name).map(PathBuf::from))?)
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        self.inner.layout.root()
    }

    /// The blobs and names, as the OCI layout that they are.
    pub fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    /// Keeps [`prune`](Self::prune) from deleting anything; every build holds this. Waits for one that runs.
    ///
    /// # Errors
    /// If the lock cannot be taken.
    pub fn hold(&self) -> Result<Hold, Error> {
        let (file, path) = self.lock_file()?;
        file.lock_shared().at("lock", &path)?;
        Ok(Hold(Locked(file)))
    }

    /// Begins a blob.
    ///
    /// # Errors
    /// If no file can be made.
    pub fn new_blob(&self) -> Result<Incoming, Error> {
        self.layout().incoming_in(self.session()?.dir())
    }

    /// An empty file without a name, for work in progress, and the directory that its space is in. The space is free again
    /// when the file is closed.
    ///
    /// # Errors
    /// If no file can be made.
    pub fn scratch_file(&self) -> Result<(File, PathBuf), Error> {
        let place = self.root().join("tmp");
        let file = tempfile::tempfile_in(self.session()?.dir()).at("create a file in", &place)?;
        Ok((file, place))
    }

    /// Stores a blob that is in memory.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        if !self.layout().holds(&digest, bytes.len() as u64) {
            let mut incoming = self.new_blob()?;
            incoming.write_bytes(bytes)?;
            incoming.commit(&digest)?;
        }
        Ok(digest)
    }

    /// Stores a blob that is read from somewhere else; does nothing if it is there.
    ///
    /// # Errors
    /// If it cannot be read or written, or is not what its descriptor says.
    pub fn fetch(&self, from: &dyn Blobs, blob: &Descriptor) -> Result<(), Error> {
        self.layout().fetch(from, blob, || self.new_blob())
    }

    /// Drops a blob that was found damaged, so that it can be stored again.
    ///
    /// # Errors
    /// If it is there and cannot be removed.
    pub fn discard_blob(&self, digest: &Digest) -> Result<(), Error> {
        disk::remove_file(&self.layout().blob_path(digest))
    }

    /// Stores the manifest and the config of an image; its layers are there, or nobody will need them here.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn put_image(&self, image: &Image) -> Result<Descriptor, Error> {
        let encoded = image.encode()?;
        self.put_blob(&encoded.config)?;
        self.put_blob(&encoded.manifest)?;
        Ok(encoded.descriptor.clone())
    }

    fn lock_file(&self) -> Result<(File, PathBuf), Error> {
        let path = self.root().join("lock");
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .at("open", &path)?;
        Ok((file, path))
    }

    fn session(&self) -> Result<Arc<Session>, Error> {
        let mut session = self
            .inner
            .session
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(session) = &*session {
            return Ok(session.clone());
        }
        let new = Arc::new(Session::new(&self.root().join("tmp"))?);
        *session = Some(new.clone());
        Ok(new)
    }
}

impl Blobs for Store {
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        self.layout().open_blob(blob)
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, BlobError> {
        Ok(self.layout().holds(&blob.digest, blob.size))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.root()).finish()
    }
}

/// Makes a store, or completes one that was begun. Readable by its owner alone: its layers may hold set-id programs.
fn make(root: &Path) -> Result<Layout, Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .at("create", root)?;
    for entry in fs::read_dir(root).at("list", root)? {
        let name = entry.at("list", root)?.file_name();
        if name != "oci-layout" && !OURS.iter().any(|ours| name == *ours) {
            return Err(Error::NotAStore {
                path: root.to_owned(),
                found: name.display().to_string(),
            });
        }
    }
    for name in DIRECTORIES {
        let path = root.join(name);
        fs::create_dir_all(&path).at("create", &path)?;
    }
    Layout::create_in(root, Session::new(&root.join("tmp"))?.dir())
}

fn default_root(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, Error> {
    let set = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    if let Some(root) = set("RBUILD_ROOT") {
        return Ok(root);
    }
    // XDG base directory specification: relative paths are to be ignored.
    let data = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let data = data.or_else(|| Some(set("HOME")?.join(".local/share")));
    Ok(data.ok_or(Error::NoHome)?.join("rbuild"))
}

#[cfg(test)]
mod tests;
