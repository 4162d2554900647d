//! Work in progress: one directory of `tmp` for each process that works, with a locked file in it.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use super::{Error, Remover, Store, disk::IoContext as _, remove::remove_plainly};

/// The file whose lock says that the directory is in use.
const LOCK: &str = "lock";

/// A directory in `tmp` that is this process's own.
pub(super) struct Session {
    dir: PathBuf,
    /// Held for its lock.
    _lock: File,
    next: AtomicU64,
}

/// A directory for work in progress, on the file system of the store. Removed when dropped, as far as that goes; what
/// belongs to other users is removed by [`remove`](Self::remove), or by the next [`sweep`](Store::sweep).
pub struct TmpDir {
    path: PathBuf,
    session: Arc<Session>,
}

impl Session {
    pub(super) fn new(tmp: &Path) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let dir = tmp.join(format!("{}-{number}", std::process::id()));
            match fs::create_dir(&dir) {
                Ok(()) => {}
                // Of a dead process, or one of another PID namespace.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error).at("create", &dir),
            }
            spread(&dir);
            if let Some(lock) = claim(&dir)? {
                return Ok(Self {
                    dir,
                    _lock: lock,
                    next: AtomicU64::new(0),
                });
            }
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path in the session's directory where nothing is.
    pub(super) fn fresh(&self) -> PathBuf {
        self.dir
            .join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = remove_plainly(&self.dir);
    }
}

/// Has ext4 put each directory in this one where it has the most room: it would else make all files close to one another,
/// and where many were just removed that takes it several times as long. Other file systems know nothing of it.
fn spread(dir: &Path) {
    let _ = File::open(dir).and_then(|dir| {
        let flags = ioctl_getflags(&dir)?;
        Ok(ioctl_setflags(&dir, flags | IFlags::TOPDIR)?)
    });
}

/// Locks a new session directory; nothing if somebody who sweeps was faster, and removed it.
fn claim(dir: &Path) -> Result<Option<File>, Error> {
    let path = dir.join(LOCK);
    let file = match File::create(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("create", &path),
    };
    file.lock().at("lock", &path)?;
    Ok(path.try_exists().at("find", &path)?.then_some(file))
}

impl TmpDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, through someone who can.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(self, remover: &dyn Remover) -> Result<(), Error> {
        remover.remove(&self.path).at("remove", &self.path)
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }
}

impl Drop for TmpDir {
    fn drop(&mut self) {
        let _ = remove_plainly(&self.path);
    }
}

impl Store {
    /// An empty directory for work in progress.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn tmp_dir(&self) -> Result<TmpDir, Error> {
        let session = self.session()?;
        let path = session.fresh();
        fs::create_dir(&path).at("create", &path)?;
        Ok(TmpDir { path, session })
    }

    /// Removes what dead processes left. Quick when there is nothing.
    ///
    /// # Errors
    /// If something cannot be listed or removed.
    pub fn sweep(&self, remover: &dyn Remover) -> Result<(), Error> {
        let tmp = self.root().join("tmp");
        for entry in fs::read_dir(&tmp).at("list", &tmp)? {
            let path = entry.at("list", &tmp)?.path();
            if let Some(_lock) = lock_stale(&path)? {
                remover.remove(&path).at("remove", &path)?;
            }
        }
        Ok(())
    }
}

/// The lock of a directory that nobody uses; nothing if somebody does, or it is gone.
fn lock_stale(dir: &Path) -> Result<Option<Option<File>>, Error> {
    let path = dir.join(LOCK);
    let mut file = File::open(&path);
    if is_missing(&file) {
        // Just made, or left by one that died right then. If it is empty its maker will notice and make another.
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            _ => return Ok(None),
        }
        // Its maker has made the lock meanwhile; or somebody died while sweeping it, and the lock was gone first.
        file = File::open(&path);
        if is_missing(&file) {
            return Ok(dir.exists().then_some(None));
        }
    }
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Some(None)),
        Err(error) => return Err(error).at("open", &path),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(Some(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).at("lock", &path),
    }
}

fn is_missing(file: &io::Result<File>) -> bool {
    file.as_ref()
        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}
