//! The contents of a layer's files, each in a file of its own.
//!
//! Names, owners and modes are left to the [`Tree`](crate::tree::Tree): whoever makes files of these contents knows them
//! from there, with where the bytes begin in the tar ([`Origin::Layer`]), which is what a file is named by.

use std::{
    fs,
    io::{BufReader, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, fchmod, futimens, openat, utimensat},
    io::Errno,
};

use super::place::times;
use crate::{
    layer::{Error, index::BUFFER, tar::Entries},
    tree::{Change, Kind, Node, Origin, What},
};

/// What the disk says of every file: its owner may do everything with it.
const MODE: Mode = Mode::RWXU;

/// Where in a directory of contents the bytes are that begin at an offset of the tar.
pub fn content_path(root: &Path, offset: u64) -> PathBuf {
    root.join(format!("{offset:x}"))
}

/// Puts the contents of a plain tar's files into an empty directory, each with the file's modification time.
///
/// # Errors
/// [`Error::Tar`] as for [`index`](fn@crate::layer::index), and [`Error::Disk`].
pub fn unpack_contents(tar: impl Read, root: &Path) -> Result<(), Error> {
    // It was indexed before, for a layer or for a context, and what is wrong with it was said then.
    let mut entries = Entries::new(BufReader::with_capacity(BUFFER, tar)).lenient();
    while let Some(Change { what, .. }) = entries.next()? {
        let What::Node(Node {
            metadata,
            kind: Kind::File(content),
        }) = what
        else {
            continue;
        };
        let Origin::Layer { offset, .. } = content.origin else {
            continue;
        };
        let path = content_path(root, offset);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(CWD, &path, flags, MODE).map_err(Error::disk("cannot create", &path))?;
        entries.data(|piece| write_all(&file, piece).map_err(Error::disk("cannot write", &path)))?;
        fchmod(&file, MODE)
            .and_then(|()| futimens(&file, &times(metadata.mtime)))
            .map_err(Error::disk("cannot set mode or time of", &path))?;
    }
    entries.finish()
}

fn write_all(file: impl std::os::fd::AsFd, mut piece: &[u8]) -> Result<(), Errno> {
    while !piece.is_empty() {
        match rustix::io::write(&file, piece) {
            Ok(length) => piece = piece.get(length..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What [`collect_contents`] may do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has one name and will not be written again: it can be linked to, and its time set.
    Free,
    /// Others have it already: it can be linked to as it is.
    Shared,
    /// It may be written again.
    Busy,
}

/// Puts files that a layer was just made of where [`unpack_contents`] would put their contents: by hard links where
/// that is possible, else by copies. `changes` are those of the layer's index; all files are below `files`.
///
/// # Errors
/// [`Error::Disk`].
pub fn collect_contents(
    files: &Path,
    changes: &[Change],
    root: &Path,
    standing: &mut dyn FnMut(&Path) -> Standing,
) -> Result<(), Error> {
    for Change { path, what } in changes {
        let What::Node(Node {
            metadata,
            kind: Kind::File(content),
        }) = what
        else {
            continue;
        };
        let Origin::Layer { offset, .. } = content.origin else {
            continue;
        };
        let (from, to) = (files.join(path), content_path(root, offset));
        let link = match standing(&from) {
            Standing::Free => true,
            Standing::Shared => has_time(&from, metadata.mtime),
            Standing::Busy => false,
        };
        if !link || fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).map_err(Error::disk("cannot copy", &from))?;
        }
        if !has_time(&to, metadata.mtime) {
            utimensat(CWD, &to, &times(metadata.mtime), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(Error::disk("cannot set times of", &to))?;
        }
    }
    Ok(())
}

fn has_time(path: &Path, mtime: i64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|stat| (stat.mtime(), stat.mtime_nsec()) == (mtime, 0))
}
