//! Files of the store that are about to be written.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, CWD, Mode, OFlags, Statx, Timespec, Timestamps, ioctl_ficlone, openat, renameat, statx,
        utimensat,
    },
    io::Errno,
};

use super::{
    make::MODE,
    mounts::{Node, fd_path},
    owners::{FIELDS, Meta, key},
    view::View,
};

/// How much of a file is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All: what is not overwritten stays.
    Bytes,
    /// Nothing: it is truncated next.
    Nothing,
}

impl View {
    /// The file of a name, as one that may be written: if its bytes are the store's, the name gets a copy of its own.
    ///
    /// # Errors
    /// EACCES if the file has lost its name meanwhile.
    pub(super) fn own(&self, node: &Node, keep: Keep) -> Result<Node, Errno> {
        let Some(meta @ Meta { shared: Some(_), .. }) = self.farm.owners.get(node.key()) else {
            return Ok(node.clone());
        };
        let real = node.real_path()?;
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(Errno::ACCESS);
        };
        let parent = openat(
            CWD,
            parent,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let named = statx(&parent, name, AtFlags::SYMLINK_NOFOLLOW, FIELDS);
        if named.map(|stat| key(&stat)).ok() != Some(node.key()) {
            return Err(Errno::ACCESS);
        }
        let copy = self.farm.fresh();
        self.copy(node, &copy, keep)?;
        without_a_trace(&parent, || renameat(CWD, &copy, &parent, name))?;
        let own = openat(
            &parent,
            name,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let own = Node::new(own, node.mount)?;
        self.farm.owners.set(own.key(), Meta { shared: None, ..meta });
        Ok(own)
    }

    fn copy(&self, node: &Node, to: &Path, keep: Keep) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut copy = File::from(openat(CWD, to, flags, MODE)?);
        if keep == Keep::Bytes {
            let source = openat(
                CWD,
                fd_path(&node.fd),
                OFlags::RDONLY | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            if ioctl_ficlone(&copy, &source).is_err() {
                io::copy(&mut File::from(source), &mut copy)
                    .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            }
        }
        rustix::fs::futimens(&copy, &times_of(&node.stat))
    }
}

/// Does something in a directory that its time does not show.
pub(super) fn without_a_trace(
    directory: &OwnedFd,
    work: impl FnOnce() -> Result<(), Errno>,
) -> Result<(), Errno> {
    let before = statx(directory.as_fd(), "", AtFlags::EMPTY_PATH, FIELDS)?;
    work()?;
    utimensat(directory, ".", &times_of(&before), AtFlags::empty())
}

/// When a file was last read and written.
pub(super) fn times_of(stat: &Statx) -> Timestamps {
    let time = |time: rustix::fs::StatxTimestamp| Timespec {
        tv_sec: time.tv_sec,
        tv_nsec: time.tv_nsec.into(),
    };
    Timestamps {
        last_access: time(stat.stx_atime),
        last_modification: time(stat.stx_mtime),
    }
}
