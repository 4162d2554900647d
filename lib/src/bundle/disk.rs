//! What is in a directory.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{Error, error::At};
use crate::layer::attributes;

/// What is found on the way through a directory: directories before what is in them, other files before directories.
pub(super) enum Step {
    Enter(Found),
    File(Found),
    Leave,
}

/// One name.
pub(super) struct Found {
    /// From the root; empty for it.
    pub path: PathBuf,
    pub metadata: Metadata,
    /// Of a symbolic link.
    pub link: Option<OsString>,
    pub xattrs: BTreeMap<OsString, Vec<u8>>,
}

impl Found {
    pub fn mode(&self) -> u32 {
        self.metadata.mode() & 0o7777
    }

    /// The word that lists of files have for it; none for what no image has.
    pub fn kind(&self) -> Option<&'static str> {
        let kind = self.metadata.file_type();
        Some(match () {
            () if kind.is_dir() => "dir",
            () if kind.is_file() => "file",
            () if kind.is_symlink() => "link",
            () if kind.is_fifo() => "fifo",
            () if kind.is_char_device() => "char",
            () if kind.is_block_device() => "block",
            () => return None,
        })
    }
}

/// Files that had to be made readable, until this is dropped.
#[derive(Default)]
pub(super) struct Opened(Vec<(PathBuf, u32)>);

impl Opened {
    /// Lets the caller read a file of his.
    pub fn open(&mut self, path: &Path, metadata: &Metadata) -> io::Result<()> {
        let mode = metadata.mode() & 0o7777;
        let wanted = if metadata.is_dir() { 0o500 } else { 0o400 };
        if mode & wanted == wanted || rustix::process::geteuid().is_root() {
            return Ok(());
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode | wanted))?;
        self.0.push((path.to_owned(), mode));
        Ok(())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // The innermost first, as long as the way there is open.
        for (path, mode) in self.0.drain(..).rev() {
            let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode));
        }
    }
}

/// Goes through a directory, sorted by name. Sockets are passed over. Unreadable files are made readable meanwhile.
pub(super) fn walk(root: &Path, opened: &mut Opened) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    let mut pending = vec![Some(PathBuf::new())];
    while let Some(next) = pending.pop() {
        let Some(path) = next else {
            steps.push(Step::Leave);
            continue;
        };
        let directory = look(root, path)?;
        let full = root.join(&directory.path);
        opened.open(&full, &directory.metadata).at("cannot open", &full)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&full).at("cannot read", &full)? {
            names.push(entry.at("cannot read", &full)?.file_name());
        }
        names.sort();
        let mut below = Vec::new();
        let parent = directory.path.clone();
        steps.push(Step::Enter(directory));
        for name in names {
            let found = look(root, parent.join(name))?;
            match found.metadata.is_dir() {
                true => below.push(Some(found.path)),
                false if found.kind().is_none() => {}
                false => {
                    if found.metadata.is_file() {
                        let full = root.join(&found.path);
                        opened.open(&full, &found.metadata).at("cannot open", &full)?;
                    }
                    steps.push(Step::File(found));
                }
            }
        }
        pending.push(None);
        pending.extend(below.into_iter().rev());
    }
    Ok(steps)
}

fn look(root: &Path, path: PathBuf) -> Result<Found, Error> {
    let full = root.join(&path);
    let metadata = fs::symlink_metadata(&full).at("cannot read", &full)?;
    let link = match metadata.is_symlink() {
        true => Some(fs::read_link(&full).at("cannot read", &full)?.into_os_string()),
        false => None,
    };
    let xattrs = match attributes::read(&full) {
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => BTreeMap::new(),
        read => read.at("cannot read the attributes of", &full)?,
    };
    Ok(Found {
        path,
        metadata,
        link,
        xattrs,
    })
}
