//! Files for reading and writing, made if need be.

use std::{
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat, statx},
    io::Errno,
    thread::CapabilitySet,
};

use super::{
    super::{
        access::{self, Want, file_type},
        copy_up::Keep,
        make::MODE,
        mounts::{Kind, MountId, Node, fd_path},
        owners::{FIELDS, Meta, TERMINAL, key},
        resolve::{Glance, entry},
        terminals::MASTER,
        touched::Extent,
    },
    Asker, View, acl,
};

/// How a file is to be opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// As for open(2).
    pub flags: OFlags,
    /// Of a new file, before the umask.
    pub mode: u32,
    /// How far the path may lead.
    pub bounds: ResolveFlags,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A new descriptor.
    File(OwnedFd),
    /// One that waits for another process: it can be opened through the first, with these flags.
    Pipe(Arc<OwnedFd>, OFlags),
}

/// What the kernel is told when a file is opened through a descriptor.
const KEPT: OFlags = OFlags::ACCMODE
    .union(OFlags::APPEND)
    .union(OFlags::NONBLOCK)
    .union(OFlags::DSYNC)
    .union(OFlags::SYNC)
    .union(OFlags::DIRECT)
    .union(OFlags::TRUNC);

impl How {
    fn is(&self, flag: OFlags) -> bool {
        self.flags.contains(flag)
    }

    fn access(&self) -> OFlags {
        self.flags & OFlags::ACCMODE
    }

    fn writes(&self) -> bool {
        self.access() != OFlags::RDONLY || self.is(OFlags::TRUNC)
    }

    fn want(&self) -> Want {
        let read = self.access() != OFlags::WRONLY;
        Want(if read { 4 } else { 0 } | if self.writes() { 2 } else { 0 })
    }

    /// Without what was seen to already. No terminal becomes that of this process.
    fn kept(&self) -> OFlags {
        (self.flags & KEPT) | OFlags::CLOEXEC | OFlags::NOCTTY
    }
}

impl View {
    /// Opens a file, or makes one.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(&self, asker: &Asker<'_>, base: &Node, path: &[u8], how: How) -> Result<Opened, Errno> {
        if how.is(OFlags::TMPFILE) {
            return self.open_unnamed(asker, base, path, how);
        }
        if how.bounds.is_empty()
            && let Some(opened) = self.open_at_once(asker, base, path, how)
        {
            return opened.map(Opened::File);
        }
        let create = how.is(OFlags::CREATE) && !how.is(OFlags::PATH);
        let exclusive = create && how.is(OFlags::EXCL);
        let follow = !(how.is(OFlags::NOFOLLOW) || exclusive);
        if !create {
            let node = self.find_within(asker, base, path, follow, how.bounds)?;
            return self.open_node(asker, &node, how);
        }
        if how.is(OFlags::DIRECTORY) {
            return Err(Errno::INVAL);
        }
        let found = self.locate_within(asker, base, path, follow, how.bounds)?;
        match &found.node {
            Some(_) if exclusive => Err(Errno::EXIST),
            Some(node) if node.is_directory() || found.slash => Err(Errno::ISDIR),
            Some(node) => self.open_node(asker, node, how),
            None if found.slash => Err(Errno::ISDIR),
            None => match found.name.as_deref() {
                Some(name) => self.create(asker, &found.parent, name, how).map(Opened::File),
                None => Err(Errno::ISDIR),
            },
        }
    }

    /// The same, where a look into one directory is all that it takes.
    fn open_at_once(
        &self,
        asker: &Asker<'_>,
        base: &Node,
        path: &[u8],
        how: How,
    ) -> Option<Result<OwnedFd, Errno>> {
        let create = how.is(OFlags::CREATE);
        if how.is(OFlags::PATH) || create && how.is(OFlags::DIRECTORY) {
            return None;
        }
        if create && how.is(OFlags::EXCL) {
            let (parent, name) = self.around(asker, base, path)?;
            // The kernel says whether the name is there already: something is, too, wherever something is mounted.
            return self
                .writable(&parent)
                .is_ok()
                .then(|| self.create(asker, &parent, name, how));
        }
        let follow = !how.is(OFlags::NOFOLLOW);
        let Glance { parent, name, stat } = self.glance(asker, base, path, follow)?;
        let open = |flags| Some(openat(&parent.fd, name, flags | OFlags::NOFOLLOW, Mode::empty()));
        let Some(stat) = stat else {
            return Some(match create {
                true => self.create(asker, &parent, name, how),
                false => Err(Errno::NOENT),
            });
        };
        match file_type(&stat) {
            FileType::Directory if how.writes() || create => Some(Err(Errno::ISDIR)),
            FileType::Directory => open(OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC),
            FileType::RegularFile if how.is(OFlags::DIRECTORY) => Some(Err(Errno::NOTDIR)),
            FileType::RegularFile if parent.mount == MountId::ROOT => {
                let meta = self.farm.owners.get(key(&stat))?;
                let is_new = !meta.lower && meta.shared.is_none() && meta.xattrs.is_empty();
                if meta.device.is_some() || how.writes() && !is_new {
                    return None;
                }
                match access::may(&asker.who, &meta, false, how.want()) {
                    Ok(()) => open(how.kept()),
                    Err(error) => Some(Err(error)),
                }
            }
            _ => None,
        }
    }

    /// Opens a file that is there.
    ///
    /// # Errors
    /// As open(2).
    pub fn open_node(&self, asker: &Asker<'_>, node: &Node, how: How) -> Result<Opened, Errno> {
        if how.is(OFlags::DIRECTORY) && !node.is_directory() {
            return Err(Errno::NOTDIR);
        }
        if how.is(OFlags::PATH) {
            return self.open_place(asker, node).map(Opened::File);
        }
        let meta = self.meta(node);
        let kind = file_type(&node.stat);
        match kind {
            FileType::Symlink => return Err(Errno::LOOP),
            FileType::Socket => return Err(Errno::NXIO),
            FileType::Directory if how.writes() => return Err(Errno::ISDIR),
            _ => {}
        }
        if node.mount != MountId::NOWHERE {
            self.may(asker, node, how.want())?;
        }
        if let Some(device) = meta.device {
            let ours = node.mount != MountId::ROOT;
            return match device {
                MASTER if ours => self.open_master(asker, how.kept()).map(Opened::File),
                TERMINAL if ours => match self.own_terminal(asker) {
                    Some(terminal) => again(&terminal, how.kept()).map(Opened::File),
                    None => Err(Errno::NXIO),
                },
                // As on a file system that is mounted nodev.
                _ => Err(Errno::ACCESS),
            };
        }
        match kind {
            FileType::Directory => self.open_directory(asker, node).map(Opened::File),
            FileType::Fifo if how.access() != OFlags::RDWR && !how.is(OFlags::NONBLOCK) => {
                Ok(Opened::Pipe(node.fd.clone(), how.kept()))
            }
            FileType::RegularFile => self.open_file(asker, node, how).map(Opened::File),
            _ => again(node, how.kept()).map(Opened::File),
        }
    }

    pub(super) fn open_directory(&self, asker: &Asker<'_>, node: &Node) -> Result<OwnedFd, Errno> {
        if self.mounts.kind(node) == Some(Kind::Processes) {
            self.list_processes(asker, node);
        }
        again(node, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC)
    }

    fn open_file(&self, asker: &Asker<'_>, node: &Node, how: How) -> Result<OwnedFd, Errno> {
        let ours = match self.mounts.kind(node) {
            Some(Kind::Root | Kind::Plain) => true,
            Some(Kind::Processes) => {
                if let Some(text) = self.process_text(asker, node)? {
                    return Ok(text);
                }
                false
            }
            _ => false,
        };
        let read_only = self.mounts.get(node.mount).is_some_and(|mount| mount.read_only);
        if how.writes() && read_only {
            return Err(Errno::ROFS);
        }
        if how.writes() && ours {
            let keep = if how.is(OFlags::TRUNC) {
                Keep::Nothing
            } else {
                Keep::Bytes
            };
            let own = self.own(node, keep)?;
            self.touch(&own, Extent::Itself)?;
            self.give_up_capabilities(&own);
            return again(&own, how.kept());
        }
        again(node, how.kept())
    }

    /// Who writes to a file takes its capabilities away. Nobody here sees the write, but who opens a file for it does it.
    fn give_up_capabilities(&self, node: &Node) {
        let mut meta = self.meta(node);
        if meta.xattrs.remove(OsStr::new("security.capability")).is_some() {
            self.farm.owners.set(key(&node.stat), meta);
        }
    }

    fn create(&self, asker: &Asker<'_>, parent: &Node, name: &OsStr, how: How) -> Result<OwnedFd, Errno> {
        self.may_create(asker, parent)?;
        let flags = how.kept() | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = openat(&parent.fd, name, flags, MODE)?;
        let stat = statx(&file, "", AtFlags::EMPTY_PATH, FIELDS)?;
        self.farm
            .owners
            .set(key(&stat), self.birth(asker, parent, how.mode));
        self.touch_entry(parent, name, Extent::Itself)?;
        Ok(file)
    }

    fn open_unnamed(&self, asker: &Asker<'_>, base: &Node, path: &[u8], how: How) -> Result<Opened, Errno> {
        if how.access() == OFlags::RDONLY {
            return Err(Errno::INVAL);
        }
        let follow = !how.is(OFlags::NOFOLLOW);
        let directory = self.find_within(asker, base, path, follow, how.bounds)?;
        if !directory.is_directory() {
            return Err(Errno::NOTDIR);
        }
        self.may_create(asker, &directory)?;
        let flags = how.kept().difference(OFlags::TRUNC) | OFlags::TMPFILE | (how.flags & OFlags::EXCL);
        let file = openat(&directory.fd, ".", flags, MODE)?;
        let stat = statx(&file, "", AtFlags::EMPTY_PATH, FIELDS)?;
        self.farm
            .owners
            .set(key(&stat), self.birth(asker, &directory, how.mode));
        Ok(Opened::File(file))
    }

    /// Checks that somebody may make something in a directory.
    pub(super) fn may_create(&self, asker: &Asker<'_>, parent: &Node) -> Result<(), Errno> {
        self.writable(parent)?;
        self.may(asker, parent, Want::CHANGE)?;
        if parent.stat.stx_nlink == 0 {
            Err(Errno::NOENT)
        } else {
            Ok(())
        }
    }

    /// What a new file has.
    pub(super) fn birth(&self, asker: &Asker<'_>, parent: &Node, mode: u32) -> Meta {
        let above = self.meta(parent);
        let inherits = above.mode & 0o2000 != 0;
        let gid = if inherits { above.gid } else { asker.who.group.file };
        let default = above.xattrs.get(OsStr::from_bytes(acl::DEFAULT));
        // The list takes the place of the umask.
        let withheld = if default.is_some() { 0 } else { asker.umask };
        let mut mode = mode & 0o7777 & !withheld;
        if mode & 0o2010 == 0o2010 && !asker.who.is_in(gid) && !asker.who.can(CapabilitySet::FSETID) {
            mode &= !0o2000;
        }
        let mut meta = Meta {
            uid: asker.who.user.file,
            gid,
            mode,
            ..Meta::default()
        };
        if let Some(default) = default {
            acl::inherit(&mut meta, default);
        }
        meta
    }

    /// Notes what a name that was just made is.
    pub(super) fn born(&self, parent: &Node, name: &OsStr, meta: Meta) -> Result<Node, Errno> {
        let node = entry(parent, name)?.ok_or(Errno::NOENT)?;
        self.farm.owners.set(node.key(), meta);
        self.touch_entry(parent, name, Extent::Itself)?;
        Ok(node)
    }
}

/// Opens what a descriptor refers to, and nothing else.
pub(super) fn again(node: &Node, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(CWD, fd_path(&node.fd), flags, Mode::empty())
}
