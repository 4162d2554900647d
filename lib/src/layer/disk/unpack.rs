//! A tar to a lower directory.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::BufRead,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, fstat, linkat, makedev, mkdirat, mknodat},
    io::Errno,
};

use super::{
    directories::{Directories, Missing, There, remove, set_opaque, there},
    place::Placer,
};
use crate::{
    layer::{Error, tar::Entries},
    tree::{Change, Kind, Metadata, Node, What},
};

/// How overlayfs is told that something of a lower layer is gone: a character device 0:0, and for opaque directories
/// an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whiteouts {
    /// `trusted.overlay.opaque`: for mounts made by real root.
    Trusted,
    /// `user.overlay.opaque`: for mounts with `userxattr`, as in a user namespace.
    User,
}

impl Whiteouts {
    /// What all of overlayfs's attributes begin with.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.",
            Self::User => "user.overlay.",
        }
    }

    /// The attribute of opaque directories.
    pub(super) fn opaque(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }
}

/// Whose files are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ids {
    /// The owners that the layer says; the caller has the capabilities of root, if only in its user namespace.
    Set,
    /// The caller's, whatever the layer says. Its owner can read and write everything; devices are left out.
    Keep,
}

/// Unpacks a plain tar into an empty directory, as one lower layer of an overlay mount.
///
/// Directories that the layer does not describe are root's, 0755; hard links to files of other layers are left out
/// (see [`LayerIndex`](crate::layer::LayerIndex)). Extended attributes of overlayfs itself are never set, others are where
/// the file system and the kernel allow them, and devices are made where the kernel allows them.
///
/// Spawns no threads, and does not touch the environment, the working directory or the standard streams: fit for a
/// forked child.
///
/// # Errors
/// [`Error::Tar`] as for [`index`](fn@crate::layer::index), and [`Error::Disk`].
pub fn unpack(tar: impl BufRead, root: &Path, format: Whiteouts, ids: Ids) -> Result<(), Error> {
    let directories = Directories::new(root, format)?;
    let stat = fstat(directories.root()).map_err(Error::disk("cannot look at", root))?;
    let mut unpacker = Unpacker {
        entries: Entries::new(tar),
        directories,
        targets: Directories::new(root, format)?,
        late: BTreeMap::new(),
        placer: Placer::new(ids, &stat),
        format,
    };
    while let Some(change) = unpacker.entries.next()? {
        unpacker.change(change)?;
    }
    unpacker.finish()
}

struct Unpacker<R> {
    entries: Entries<R>,
    directories: Directories,
    /// The same for the other side of hard links.
    targets: Directories,
    /// What directories become when nothing is put into them any more: writing into them changes their time, and their
    /// attributes may change what is written.
    late: BTreeMap<PathBuf, Metadata>,
    placer: Placer,
    format: Whiteouts,
}

impl<R: BufRead> Unpacker<R> {
    fn change(&mut self, Change { path, what }: Change) -> Result<(), Error> {
        match what {
            What::Opaque => self.opaque(&path),
            What::Node(Node {
                metadata,
                kind: Kind::Directory,
            }) => {
                self.directory(&path)?;
                self.late.insert(path, metadata);
                Ok(())
            }
            What::Node(node) => self.file(&path, &node),
            What::Whiteout => self.whiteout(&path),
            What::HardLink(target) => self.link(&path, &target),
        }
    }

    /// Does something at a name in its parent, which is made if it is missing.
    fn at<T>(
        &mut self,
        path: &Path,
        action: &'static str,
        work: impl FnOnce(BorrowedFd<'_>, &OsStr) -> Result<T, Errno>,
    ) -> Result<T, Error> {
        let result = match self.directories.enter(parent(path), Missing::Make)? {
            Some(parent) => work(parent, name(path)),
            None => Err(Errno::NOENT),
        };
        result.map_err(|error| Error::disk(action, self.directories.path(path))(error))
    }

    /// Makes way for something at a path.
    fn clear(&mut self, path: &Path) -> Result<(), Error> {
        self.targets.forget();
        self.late.retain(|below, _| !below.starts_with(path));
        self.at(path, "cannot replace", |parent, name| {
            match remove(parent, name) {
                Err(Errno::NOENT) => Ok(()),
                done => done,
            }
        })
    }

    /// What the layer itself has stays, before or after; where it is a directory, it is all there is.
    fn whiteout(&mut self, path: &Path) -> Result<(), Error> {
        let Some(parent) = self.directories.enter(parent(path), Missing::MakeUnlessTaken)? else {
            return Ok(());
        };
        let made = match mknodat(
            parent,
            name(path),
            FileType::CharacterDevice,
            Mode::empty(),
            makedev(0, 0),
        ) {
            Err(Errno::EXIST) => match there(parent, name(path)) {
                Ok(There::Directory) => set_opaque(parent, name(path), self.format),
                other => other.map(|_| ()),
            },
            made => made,
        };
        made.map_err(Error::disk("cannot make whiteout", self.directories.path(path)))
    }

    fn opaque(&mut self, path: &Path) -> Result<(), Error> {
        let Some(directory) = self.directories.enter(path, Missing::MakeUnlessTaken)? else {
            return Ok(());
        };
        set_opaque(directory, OsStr::new("."), self.format)
            .map_err(Error::disk("cannot make opaque", self.directories.path(path)))
    }

    /// Makes a directory that we can write into; the rest comes late.
    fn directory(&mut self, path: &Path) -> Result<(), Error> {
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        let make = |parent: BorrowedFd<'_>, name: &OsStr| mkdirat(parent, name, Mode::from_raw_mode(0o700));
        let before = self.at(path, "cannot create", |parent, name| match make(parent, name) {
            Err(Errno::EXIST) => there(parent, name),
            made => made.map(|()| There::Nothing),
        })?;
        if matches!(before, There::Nothing | There::Directory) {
            return Ok(());
        }
        // It replaces something, so nothing of a lower directory may show in it.
        self.clear(path)?;
        self.at(path, "cannot create", make)?;
        self.opaque(path)
    }

    fn file(&mut self, path: &Path, node: &Node) -> Result<(), Error> {
        let Self { placer, .. } = self;
        let placer = *placer;
        let made = self.at(path, "cannot create", |parent, name| {
            match placer.create(parent, name, node) {
                Err(Errno::EXIST) => Ok(None),
                made => made.map(Some),
            }
        })?;
        let file = match made {
            Some(file) => file,
            None => {
                self.clear(path)?;
                self.at(path, "cannot create", |parent, name| {
                    placer.create(parent, name, node)
                })?
            }
        };
        let Some(file) = file else { return Ok(()) };
        let Self {
            entries, directories, ..
        } = self;
        entries.data(|mut piece| {
            while !piece.is_empty() {
                match rustix::io::write(&file, piece) {
                    Ok(length) => piece = &piece[length..],
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(Error::disk("cannot write", directories.path(path))(error)),
                }
            }
            Ok(())
        })?;
        placer.finish(&file, &node.metadata).map_err(Error::disk(
            "cannot set owner, mode or time of",
            directories.path(path),
        ))
    }

    fn link(&mut self, path: &Path, target: &Path) -> Result<(), Error> {
        if path == target {
            return Ok(());
        }
        for attempt in 0..2 {
            let Some(from) = self.targets.enter(parent(target), Missing::Leave)? else {
                return Ok(());
            };
            let here = there(from, name(target))
                .map_err(Error::disk("cannot look at", self.directories.path(target)))?;
            if matches!(here, There::Nothing | There::Whiteout) {
                return Ok(());
            }
            let Some(to) = self.directories.enter(parent(path), Missing::Make)? else {
                return Ok(());
            };
            match linkat(from, name(target), to, name(path), AtFlags::empty()) {
                Err(Errno::EXIST) if attempt == 0 => self.clear(path)?,
                done => return done.map_err(Error::disk("cannot link", self.directories.path(path))),
            }
        }
        Ok(())
    }

    /// Gives directories what they are to have, and reads the tar to its end.
    fn finish(mut self) -> Result<(), Error> {
        let mut late = std::mem::take(&mut self.late);
        for path in self.directories.take_implied() {
            late.entry(path).or_insert_with(|| Metadata {
                mode: 0o755,
                ..Metadata::default()
            });
        }
        for (path, metadata) in &late {
            let Some(directory) = self.directories.enter(path, Missing::Leave)? else {
                continue;
            };
            self.placer.settle(directory, metadata).map_err(Error::disk(
                "cannot set owner, mode or time of",
                self.directories.path(path),
            ))?;
        }
        self.entries.finish()
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The root has none.
fn name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or(OsStr::new("."))
}
