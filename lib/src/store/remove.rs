//! Deleting what may belong to other users.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

/// Deletes a file or a directory with all that is in it. What is not there is deleted already.
///
/// As an ordinary user, unpacked layers hold files of subordinate ids, which only a process in the user namespace can
/// delete; [`Plain`] cannot.
pub trait Remover {
    /// Deletes `path`.
    ///
    /// # Errors
    /// If something is left.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

impl<F: Fn(&Path) -> io::Result<()>> Remover for F {
    fn remove(&self, path: &Path) -> io::Result<()> {
        self(path)
    }
}

/// Deletes as this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Remover for Plain {
    fn remove(&self, path: &Path) -> io::Result<()> {
        remove_plainly(path)
    }
}

pub(super) fn remove_plainly(path: &Path) -> io::Result<()> {
    let gone = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            Ok(())
        } else {
            Err(error)
        }
    };
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_dir() => return fs::remove_file(path).or_else(gone),
        Ok(_) => {}
        Err(error) => return gone(error),
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // Directories may forbid their owner to write.
            open_up(path);
            fs::remove_dir_all(path).or_else(gone)
        }
        result => result.or_else(gone),
    }
}

/// Lets the owner into all directories below `path`.
fn open_up(path: &Path) {
    let mut pending = vec![path.to_owned()];
    while let Some(dir) = pending.pop() {
        let _ = fs::set_permissions(&dir, fs::Permissions::from_mode(0o700));
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        let directories = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        pending.extend(directories.map(|entry| entry.path()));
    }
}
