//! Paths as bytes, before anybody looks for what they lead to.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use rustix::io::Errno;

/// The longest path that Linux takes, with its NUL.
pub const MAX_PATH: usize = 4096;

/// Whether Linux takes a path at all.
///
/// # Errors
/// ENOENT, ENAMETOOLONG.
pub fn check(path: &[u8]) -> Result<(), Errno> {
    match path {
        [] => Err(Errno::NOENT),
        path if path.len() >= MAX_PATH => Err(Errno::NAMETOOLONG),
        _ => Ok(()),
    }
}

/// Its names.
pub fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
}

/// The path of the directory, as it stands, and a name in it; none if the last component is no plain name.
pub fn split(path: &[u8]) -> Option<(&[u8], &OsStr)> {
    let start = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    let (parent, name) = path.split_at_checked(start)?;
    let plain = !matches!(name, b"" | b"." | b"..");
    plain.then(|| (trimmed(parent), OsStr::from_bytes(name)))
}

/// Without slashes at the end, unless it is the root.
fn trimmed(path: &[u8]) -> &[u8] {
    let end = path
        .iter()
        .rposition(|byte| *byte != b'/')
        .map_or(usize::from(!path.is_empty()), |last| last + 1);
    path.get(..end).unwrap_or_default()
}

/// A path below the root of a mount, clean and relative.
pub fn below<'p>(path: &'p Path, root: &Path) -> Option<&'p Path> {
    path.strip_prefix(root).ok()
}
