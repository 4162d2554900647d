//! Places below a root, reached by descriptors and never through a symbolic link.

use std::{
    ffi::{OsStr, OsString},
    mem,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, XattrFlags, fsetxattr, mkdirat, openat, statat, unlinkat,
    },
    io::Errno,
};

use super::Whiteouts;
use crate::layer::Error;

/// Where the last entry was: open descriptors of the directories from the root to there. Entries come by directory, so
/// that most need no new one.
pub(super) struct Directories {
    place: PathBuf,
    root: OwnedFd,
    open: Vec<(OsString, OwnedFd)>,
    format: Whiteouts,
    /// The directories that were made since nothing described them, or not yet.
    implied: Vec<PathBuf>,
}

/// What to do where a directory is missing, or something else is in its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Make one, root's, 0755, in place of whatever is there.
    Make,
    /// Make one where nothing or a whiteout is, and otherwise do without.
    MakeUnlessTaken,
    /// Do without.
    Leave,
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Directories {
    pub(super) fn new(root: &Path, format: Whiteouts) -> Result<Self, Error> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = openat(CWD, root, flags, Mode::empty()).map_err(Error::disk("cannot open", root))?;
        Ok(Self {
            place: root.to_owned(),
            root: descriptor,
            open: Vec::new(),
            format,
            implied: Vec::new(),
        })
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The path on this machine, for errors.
    pub(super) fn path(&self, path: &Path) -> PathBuf {
        // Joining nothing would add a slash.
        if path.as_os_str().is_empty() {
            self.place.clone()
        } else {
            self.place.join(path)
        }
    }

    /// The directory at a clean path; `None` if it is missing and to be left so.
    pub(super) fn enter(&mut self, path: &Path, missing: Missing) -> Result<Option<BorrowedFd<'_>>, Error> {
        let common = self
            .open
            .iter()
            .zip(path)
            .take_while(|((name, _), wanted)| name == wanted)
            .count();
        self.open.truncate(common);
        for name in path.iter().skip(common) {
            match self.step(name, missing) {
                Ok(Some((next, made))) => {
                    self.open.push((name.to_owned(), next));
                    if made {
                        self.implied
                            .push(self.open.iter().map(|(name, _)| name).collect());
                    }
                }
                Ok(None) => return Ok(None),
                Err(error) => return Err(Error::disk("cannot enter", self.path(path))(error)),
            }
        }
        Ok(Some(self.here()))
    }

    /// The directories that were made by entering them.
    pub(super) fn take_implied(&mut self) -> Vec<PathBuf> {
        mem::take(&mut self.implied)
    }

    /// Closes all but the root: something may have been removed.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.open
            .last()
            .map_or(self.root.as_fd(), |(_, descriptor)| descriptor.as_fd())
    }

    /// One level down, and whether it had to be made.
    fn step(&self, name: &OsStr, missing: Missing) -> Result<Option<(OwnedFd, bool)>, Errno> {
        let here = self.here();
        let open = || openat(here, name, DIRECTORY | OFlags::PATH, Mode::empty());
        let taken = match open() {
            Ok(next) => return Ok(Some((next, false))),
            Err(Errno::NOENT) => false,
            Err(Errno::NOTDIR | Errno::LOOP) => true,
            Err(error) => return Err(error),
        };
        match missing {
            Missing::Leave => return Ok(None),
            Missing::MakeUnlessTaken if taken && there(here, name)? != There::Whiteout => return Ok(None),
            Missing::Make | Missing::MakeUnlessTaken => {}
        }
        if taken {
            remove(here, name)?;
        }
        mkdirat(here, name, Mode::from_raw_mode(0o755))?;
        if taken {
            set_opaque(here, name, self.format)?;
        }
        Ok(Some((open()?, true)))
    }
}

/// Lets nothing of lower layers show in a directory.
pub(super) fn set_opaque(parent: BorrowedFd<'_>, name: &OsStr, format: Whiteouts) -> Result<(), Errno> {
    let directory = openat(parent, name, DIRECTORY, Mode::empty())?;
    fsetxattr(directory, format.opaque(), b"y", XattrFlags::empty())
}

/// Removes whatever a name stands for.
pub(super) fn remove(directory: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        done => return done,
    }
    let below = openat(directory, name, DIRECTORY, Mode::empty())?;
    for entry in Dir::read_from(&below)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            remove(below.as_fd(), std::os::unix::ffi::OsStrExt::from_bytes(name))?;
        }
    }
    unlinkat(directory, name, AtFlags::REMOVEDIR)
}

/// What is at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    Directory,
    Whiteout,
    Other,
}

pub(super) fn there(directory: BorrowedFd<'_>, name: &OsStr) -> Result<There, Errno> {
    let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(There::Nothing),
        Err(error) => return Err(error),
    };
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => There::Directory,
        FileType::CharacterDevice if stat.st_rdev == 0 => There::Whiteout,
        _ => There::Other,
    })
}
