//! One inode of a lower directory, made in few system calls: what the kernel does by itself is not said again.

use std::{
    ffi::OsStr,
    fs,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chmodat, chownat, fchmod,
        fchown, futimens, makedev, mknodat, openat, symlinkat, utimensat,
    },
    io::Errno,
    process::{getegid, geteuid},
};

use super::{attributes, unpack::Ids};
use crate::tree::{Kind, Metadata, Node};

/// Knows what a new file has from the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placer {
    ids: Ids,
    /// Owner and group of a new file, where that is certain.
    owner: Option<(u32, u32)>,
    /// The permissions that a new file does not get.
    umask: u32,
}

impl Placer {
    /// For files below a directory.
    pub(super) fn new(ids: Ids, root: &Stat) -> Self {
        let set_gid = root.st_mode & 0o2000 != 0;
        let owner = (!set_gid).then(|| (geteuid().as_raw(), getegid().as_raw()));
        Self {
            ids,
            owner,
            umask: umask().unwrap_or(0o777),
        }
    }

    /// Makes a file, symbolic link, pipe or device; a file is to be written and [finished](Self::finish).
    pub(super) fn create(
        self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        node: &Node,
    ) -> Result<Option<OwnedFd>, Errno> {
        let first = Mode::from_raw_mode(self.mode(&node.metadata, 0o600) & 0o777);
        let special = |kind, device| match mknodat(parent, name, kind, first, device) {
            // As other engines have it in a user namespace: an image can live without.
            Err(Errno::PERM) => Ok(false),
            made => made.map(|()| true),
        };
        let made = match &node.kind {
            Kind::File(_) => {
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                return openat(parent, name, flags, first).map(Some);
            }
            Kind::Symlink(target) => symlinkat(&**target, parent, name).map(|()| true)?,
            Kind::Fifo => special(FileType::Fifo, 0)?,
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } if self.ids == Ids::Keep => false,
            Kind::CharDevice { major, minor } => special(FileType::CharacterDevice, makedev(*major, *minor))?,
            Kind::BlockDevice { major, minor } => special(FileType::BlockDevice, makedev(*major, *minor))?,
            // The caller's: directories are finished when nothing is put into them any more.
            Kind::Directory => false,
        };
        if made {
            self.dress(parent, name, node)?;
        }
        Ok(None)
    }

    /// Gives a file that was written what else it is to have.
    pub(super) fn finish(self, file: &OwnedFd, metadata: &Metadata) -> Result<(), Errno> {
        if let Some((uid, gid)) = self.chown(metadata) {
            fchown(file, Some(uid), Some(gid))?;
        }
        // After the owner, whose change takes set-id bits and capabilities away.
        if let Some(mode) = self.chmod(self.mode(metadata, 0o600)) {
            fchmod(file, mode)?;
        }
        attributes::set_open(file, &metadata.xattrs)?;
        futimens(file, &times(metadata.mtime))
    }

    /// The same for a directory, given by any descriptor of it.
    pub(super) fn settle(self, directory: BorrowedFd<'_>, metadata: &Metadata) -> Result<(), Errno> {
        if let Some((uid, gid)) = self.chown(metadata) {
            chownat(directory, ".", Some(uid), Some(gid), AtFlags::empty())?;
        }
        if !metadata.xattrs.is_empty() {
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
            attributes::set_open(openat(directory, ".", flags, Mode::empty())?, &metadata.xattrs)?;
        }
        utimensat(directory, ".", &times(metadata.mtime), AtFlags::empty())?;
        // Last, since it may take away the permission to do the others.
        chmodat(
            directory,
            ".",
            Mode::from_raw_mode(self.mode(metadata, 0o700)),
            AtFlags::empty(),
        )
    }

    /// The same for a symbolic link, pipe or device.
    fn dress(self, parent: BorrowedFd<'_>, name: &OsStr, node: &Node) -> Result<(), Errno> {
        let metadata = &node.metadata;
        if let Some((uid, gid)) = self.chown(metadata) {
            chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        let is_link = matches!(node.kind, Kind::Symlink(_));
        if let Some(mode) = self.chmod(self.mode(metadata, 0o600)).filter(|_| !is_link) {
            chmodat(parent, name, mode, AtFlags::empty())?;
        }
        if !metadata.xattrs.is_empty() {
            attributes::set(&attributes::path_in(parent.as_fd(), name), &metadata.xattrs)?;
        }
        utimensat(parent, name, &times(metadata.mtime), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn mode(self, metadata: &Metadata, owner: u32) -> u32 {
        match self.ids {
            Ids::Set => metadata.mode,
            Ids::Keep => metadata.mode | owner,
        }
    }

    fn chown(self, metadata: &Metadata) -> Option<(Uid, Gid)> {
        let owner = (metadata.uid, metadata.gid);
        let needed = self.ids == Ids::Set && self.owner != Some(owner);
        needed.then(|| (Uid::from_raw(owner.0), Gid::from_raw(owner.1)))
    }

    /// Whether a file created with the low nine bits of a mode needs to be told it again.
    fn chmod(self, mode: u32) -> Option<Mode> {
        let needed = mode & 0o7000 != 0 || mode & self.umask != 0;
        needed.then(|| Mode::from_raw_mode(mode))
    }
}

/// Read, not set: setting it, even for a moment, would be seen by other threads.
fn umask() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(umask.trim(), 8).ok()
}

/// Whole seconds.
pub(super) fn times(seconds: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
