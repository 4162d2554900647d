//! Unpacked layers: `layers/FORMAT/DIFF-ID/root`, and beside it a file `stamp`.
//!
//! Syncing thousands of files would take longer than unpacking them again, so they are trusted only in the boot that
//! wrote them, which the stamp names. The stamp's time is when the layer was last used.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::{Error, Store, TmpDir, cache::touch, disk::IoContext as _};
use crate::Digest;

/// A layer that is being unpacked; gone unless published.
pub struct LayerDir {
    tmp: TmpDir,
    layers: PathBuf,
}

impl Store {
    /// Begins an unpacked layer: an empty directory to fill.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new_layer_dir(&self) -> Result<LayerDir, Error> {
        let layer = LayerDir {
            tmp: self.tmp_dir()?,
            layers: self.root().join("layers"),
        };
        let root = layer.root();
        fs::create_dir(&root).at("create", &root)?;
        Ok(layer)
    }

    /// The directory of an unpacked layer, if there is one. It counts as used now.
    ///
    /// `format` is a directory name for how whiteouts and owners are kept on disk.
    pub fn layer_dir(&self, format: &str, diff_id: &Digest) -> Option<PathBuf> {
        let dir = self.root().join("layers").join(format).join(diff_id.hex());
        if !is_valid(&dir) {
            return None;
        }
        touch(&dir.join("stamp"));
        Some(dir.join("root"))
    }
}

impl LayerDir {
    /// The directory to fill. Its own mode and owner may be changed.
    pub fn root(&self) -> PathBuf {
        self.tmp.path().join("root")
    }

    /// Puts the layer where [`Store::layer_dir`] finds it, and says where that is. If another process was faster, its
    /// layer is taken, and this one dropped.
    ///
    /// # Errors
    /// If it cannot be renamed.
    pub fn publish(self, format: &str, diff_id: &Digest) -> Result<PathBuf, Error> {
        let parent = self.layers.join(format);
        fs::create_dir_all(&parent).at("create", &parent)?;
        self.write_stamp()?;
        let target = parent.join(diff_id.hex());
        loop {
            match fs::rename(self.tmp.path(), &target) {
                Ok(()) => return Ok(target.join("root")),
                Err(error) if is_taken(&error) && is_valid(&target) => return Ok(target.join("root")),
                // Of an earlier boot.
                Err(error) if is_taken(&error) => self.put_aside(&target)?,
                Err(error) => return Err(error).at("rename a directory to", &target),
            }
        }
    }

    fn write_stamp(&self) -> Result<(), Error> {
        let path = self.tmp.path().join("stamp");
        let stamp = match boot() {
            Some(boot) => boot,
            None => {
                let root = self.root();
                let dir = File::open(&root).at("open", &root)?;
                rustix::fs::syncfs(dir)
                    .map_err(io::Error::from)
                    .at("sync", &root)?;
                SYNCED
            }
        };
        fs::write(&path, stamp).at("write", &path)
    }

    fn put_aside(&self, target: &Path) -> Result<(), Error> {
        match fs::rename(target, self.tmp.session().fresh()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("rename", target),
            _ => Ok(()),
        }
    }
}

/// The stamp of a layer that survives a power failure.
const SYNCED: &str = "synced\n";

/// Whether a published layer is whole.
pub(super) fn is_valid(dir: &Path) -> bool {
    let stamp = fs::read_to_string(dir.join("stamp"));
    stamp.is_ok_and(|stamp| stamp == SYNCED || Some(stamp.as_str()) == boot())
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
    )
}

/// Names this boot of the machine; nothing where the kernel does not tell.
pub(super) fn boot() -> Option<&'static str> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .ok()
            .filter(|id| id.len() > 30)
    };
    BOOT.get_or_init(read).as_deref()
}
