//! Files that somebody watches.

use std::{
    fs::File,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, chmodat},
    io::Errno,
};

use super::{
    super::{
        access::Want,
        copy_up::Keep,
        mounts::{Kind, Node, fd_path, open_place},
    },
    Asker, View,
};
use crate::exec::supervised::errno;

impl View {
    /// What inotify_add_watch(2) is to look at, for a file that was found. Who writes to one of the store's gets a copy, so
    /// that is made now. Of what is not the run's alone nothing is told: an empty file stands in for it.
    ///
    /// # Errors
    /// EACCES if it may not be read.
    pub fn to_watch(&self, asker: &Asker<'_>, node: &Node) -> Result<Arc<OwnedFd>, Errno> {
        self.check(asker, node, Want::READ)?;
        let ours = matches!(self.mounts.kind(node), Some(Kind::Root | Kind::Plain));
        let is_shared = self.meta(node).shared.is_some();
        if !ours || is_shared && self.writable(node).is_err() {
            let stat = &node.stat;
            let (major, minor, inode) = (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
            let name = format!("watched-{major}-{minor}-{inode}");
            let path = self.farm.scratch().join(name);
            File::create(&path).map_err(errno)?;
            return open_place(&path).map(Arc::new);
        }
        self.is_watched.store(true, Ordering::Relaxed);
        self.own(node, Keep::Bytes).map(|own| own.fd)
    }

    /// A new file where nothing ever happens.
    pub fn quiet_place(&self) -> Result<PathBuf, Errno> {
        let path = self.farm.fresh();
        File::create_new(&path).map(|_| path).map_err(errno)
    }

    /// A directory that is no part of the root, and a name in it where nothing is.
    pub fn aside(&self) -> Result<(OwnedFd, String), Errno> {
        let path = self.farm.fresh();
        let directory = open_place(path.parent().ok_or(Errno::NOENT)?)?;
        let name = path.file_name().and_then(std::ffi::OsStr::to_str);
        Ok((directory, name.ok_or(Errno::NOENT)?.to_owned()))
    }

    /// Lets those who watch a file know that something about it has changed that the disk does not show.
    pub(super) fn announce(&self, node: &Node) {
        if self.is_watched.load(Ordering::Relaxed) && self.meta(node).shared.is_none() {
            let mode = Mode::from_raw_mode(u32::from(node.stat.stx_mode) & 0o7777);
            // A link has no mode.
            let _ = chmodat(CWD, fd_path(&node.fd), mode, AtFlags::empty());
        }
    }
}
