//! Extended attributes of files, read and set.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{XattrFlags, fsetxattr, lgetxattr, llistxattr, lsetxattr},
    io::Errno,
};

type Attributes = BTreeMap<OsString, Vec<u8>>;

/// All attributes of a file that the caller may see; none where the file system has none.
pub(crate) fn read(path: &Path) -> Result<Attributes, Errno> {
    let names = match grow(|buffer| llistxattr(path, buffer)) {
        Ok(names) => names,
        Err(Errno::NOTSUP) => return Ok(Attributes::new()),
        Err(error) => return Err(error),
    };
    let mut attributes = Attributes::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        match grow(|buffer| lgetxattr(path, name, buffer)) {
            Ok(value) => _ = attributes.insert(OsStr::from_bytes(name).to_owned(), value),
            // Some are listed that may not be read.
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::NOTSUP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(attributes)
}

/// Calls with a larger buffer until the result fits.
fn grow(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 256];
    loop {
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 8, 0),
            Err(error) => return Err(error),
        }
    }
}

/// Sets attributes of a file, symbolic links not followed. Those that the file system or the kernel does not let the
/// caller set stay in the Tree alone.
pub(crate) fn set(path: &Path, attributes: &Attributes) -> Result<(), Errno> {
    set_each(attributes, |name, value| {
        lsetxattr(path, name, value, XattrFlags::empty())
    })
}

/// The same for an open file.
pub(crate) fn set_open(file: impl AsFd, attributes: &Attributes) -> Result<(), Errno> {
    set_each(attributes, |name, value| {
        fsetxattr(&file, name, value, XattrFlags::empty())
    })
}

fn set_each(attributes: &Attributes, set: impl Fn(&OsStr, &[u8]) -> Result<(), Errno>) -> Result<(), Errno> {
    for (name, value) in attributes {
        match set(name, value) {
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM | Errno::ACCESS | Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The path of `name` in an open directory, for calls that have no form with a descriptor.
pub(crate) fn path_in(directory: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(name)
}
