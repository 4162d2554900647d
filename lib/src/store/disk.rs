//! Publishing files, and errors that carry their path.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::Error;

/// Says what was done to which path when an operation failed.
pub(crate) trait IoContext<T> {
    /// `action` is a verb: `write`.
    fn at(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            action,
            path: path.to_owned(),
            source,
        })
    }
}

/// An I/O error of the same kind that names the path; for where only an [`io::Error`] can be given.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
struct PathError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Adds the path to an I/O error and keeps its kind.
pub(crate) fn name(source: io::Error, action: &'static str, path: &Path) -> io::Error {
    io::Error::new(
        source.kind(),
        PathError {
            action,
            path: path.to_owned(),
            source,
        },
    )
}

/// A file with a lock, which is let go of when this is dropped. Closing it would not be enough: a child that another thread
/// has just forked has a copy of the descriptor until it runs its program.
#[derive(Debug)]
pub(crate) struct Locked(pub File);

impl Drop for Locked {
    fn drop(&mut self) {
        // If this fails, closing may still be enough.
        let _ = self.0.unlock();
    }
}

/// Whether a file's bytes must survive a power failure once it is published.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// They must.
    Synced,
    /// They can be rebuilt.
    Rebuildable,
}

/// A new file in `dir`, removed when dropped. Permissions are those that `umask` leaves.
pub(crate) fn temporary(dir: &Path) -> Result<NamedTempFile, Error> {
    // Not `tempfile_in`: its errors name the file, and nobody chose that name.
    let create = |path: &Path| File::options().read(true).write(true).create_new(true).open(path);
    tempfile::Builder::new()
        .prefix(".rbuild-")
        .make_in(dir, create)
        .at("create a file in", dir)
}

/// Writes a file under a temporary name in `tmp` and renames it to `path`: nobody ever sees half of it.
pub(crate) fn publish(tmp: &Path, path: &Path, bytes: &[u8], durability: Durability) -> Result<(), Error> {
    let mut file = temporary(tmp)?;
    file.write_all(bytes).at("write", path)?;
    persist(file, path, durability)
}

/// As [`publish`], but what is there stays.
pub(crate) fn publish_new(tmp: &Path, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if path.try_exists().at("find", path)? {
        return Ok(());
    }
    let mut file = temporary(tmp)?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_data())
        .at("write", path)?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error.error).at("create", path)
        }
        _ => Ok(()),
    }
}

/// Renames a temporary file to `path`.
pub(crate) fn persist(file: NamedTempFile, path: &Path, durability: Durability) -> Result<(), Error> {
    if durability == Durability::Synced {
        file.as_file().sync_data().at("sync", path)?;
    }
    match file.persist(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.error).at("rename a file to", path),
    }
}

/// Makes the renames into a directory survive a power failure.
pub(crate) fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|dir| dir.sync_all()).at("sync", path)
}

/// A document of a layout: what is larger than 64 MiB is none.
pub(crate) fn read_document(path: &Path) -> io::Result<Vec<u8>> {
    const LIMIT: u64 = 64 << 20;
    let mut bytes = Vec::new();
    File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LIMIT {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
}

/// Removes a file, if it is there.
pub(crate) fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_while_copies_of_its_descriptor_are_open() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("lock");
        let locked = Locked(File::create(&path).unwrap());
        locked.0.lock().unwrap();
        let copy = locked.0.try_clone().unwrap();
        let other = File::open(&path).unwrap();
        assert!(other.try_lock().is_err());
        drop(locked);
        other.try_lock().unwrap();
        drop(copy);
    }
}
