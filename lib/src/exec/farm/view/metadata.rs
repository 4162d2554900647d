//! Modes, owners, times, sizes.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{AtFlags, CWD, FileType, OFlags, Timespec, Timestamps, ftruncate, utimensat},
    io::Errno,
    thread::CapabilitySet,
};

use super::{
    super::{
        access::{Want, file_type, owns},
        copy_up::Keep,
        mounts::{Kind, MountId, Node, fd_path},
        owners::{Meta, key},
        touched::Extent,
    },
    Asker, Target, View, acl,
    open::again,
};

/// What a file's times become.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SetTime {
    /// Both are now: who may write may say so.
    Now,
    /// What they are.
    To(Timespec, Timespec),
}

impl View {
    /// fchmodat(2), of a file that was found.
    pub fn set_mode(&self, asker: &Asker<'_>, target: &Target, mode: u32) -> Result<(), Errno> {
        let kind = file_type(target.stat());
        if kind == FileType::Symlink {
            return Err(Errno::OPNOTSUPP);
        }
        let who = &asker.who;
        self.change(target, |meta| {
            if !owns(who, meta) {
                return Err(Errno::PERM);
            }
            meta.mode = mode & 0o7777;
            if kind != FileType::Directory && !who.is_in(meta.gid) && !who.can(CapabilitySet::FSETID) {
                meta.mode &= !0o2000;
            }
            acl::follow_mode(meta);
            Ok(())
        })
    }

    /// fchownat(2), of a file that was found. `None` leaves an id as it is.
    pub fn set_owner(
        &self,
        asker: &Asker<'_>,
        target: &Target,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), Errno> {
        let who = &asker.who;
        self.change(target, |meta| {
            let own = who.user.file == meta.uid;
            let keeps_user = uid.is_none_or(|uid| uid == meta.uid);
            let fine_group = gid.is_none_or(|gid| gid == meta.gid || who.is_in(gid));
            let nothing = uid.is_none() && gid.is_none();
            if !(nothing || who.can(CapabilitySet::CHOWN) || own && keeps_user && fine_group) {
                return Err(Errno::PERM);
            }
            meta.uid = uid.unwrap_or(meta.uid);
            meta.gid = gid.unwrap_or(meta.gid);
            if !matches!(file_type(target.stat()), FileType::Directory | FileType::Symlink) {
                lose_privileges(meta, who.can(CapabilitySet::FSETID) || who.is_in(meta.gid));
            }
            Ok(())
        })
    }

    /// Changes what is known of a file, in a way that the disk does not show.
    pub(super) fn change(
        &self,
        target: &Target,
        change: impl FnOnce(&mut Meta) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let node = match target {
            Target::Found(node) => node,
            Target::Made(stat) => {
                let mut meta = self.meta_of(stat);
                change(&mut meta)?;
                self.farm.owners.set(key(stat), meta);
                return Ok(());
            }
        };
        if node.mount == MountId::NOWHERE && node.stat.stx_nlink != 0 {
            // A pipe or a socket: nobody will look.
            return Ok(());
        }
        if node.mount != MountId::NOWHERE {
            self.writable(node)?;
        }
        let mut meta = self.meta(node);
        change(&mut meta)?;
        // One name of several gets a file of its own, as on an overlay.
        let own = match meta.shared {
            Some(2..) => self.own(node, Keep::Bytes)?,
            _ => node.clone(),
        };
        meta.shared = meta.shared.filter(|_| own.key() == node.key());
        self.farm.owners.set(own.key(), meta);
        self.announce(&own);
        self.touch(&own, Extent::Itself)
    }

    /// utimensat(2), of a file that was found.
    pub fn set_times(&self, asker: &Asker<'_>, node: &Node, times: SetTime) -> Result<(), Errno> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_NOW,
        };
        let (accessed, modified) = match times {
            SetTime::Now => (now, now),
            SetTime::To(accessed, modified) => (accessed, modified),
        };
        let omitted = |time: Timespec| time.tv_nsec == rustix::fs::UTIME_OMIT;
        if omitted(accessed) && omitted(modified) {
            return Ok(());
        }
        if node.mount == MountId::NOWHERE {
            return Ok(());
        }
        self.writable(node)?;
        let meta = self.meta(node);
        if !owns(&asker.who, &meta) {
            let both_now = [accessed, modified]
                .iter()
                .all(|time| time.tv_nsec == rustix::fs::UTIME_NOW);
            if !both_now {
                return Err(Errno::PERM);
            }
            self.may(asker, node, Want::WRITE)?;
        }
        let own = self.own(node, Keep::Bytes)?;
        let times = Timestamps {
            last_access: accessed,
            last_modification: modified,
        };
        match utimensat(&own.fd, "", &times, AtFlags::EMPTY_PATH) {
            // Before Linux 5.8. Through a descriptor, a link is the file itself.
            Err(Errno::INVAL) => utimensat(CWD, fd_path(&own.fd), &times, AtFlags::empty())?,
            other => other?,
        }
        self.touch(&own, Extent::Itself)
    }

    /// truncate(2), of a file that was found.
    pub fn truncate(&self, asker: &Asker<'_>, node: &Node, size: u64) -> Result<(), Errno> {
        match file_type(&node.stat) {
            FileType::Directory => return Err(Errno::ISDIR),
            FileType::RegularFile if self.meta(node).device.is_none() => {}
            _ => return Err(Errno::INVAL),
        }
        self.may(asker, node, Want::WRITE)?;
        self.writable(node)?;
        let keep = if size == 0 { Keep::Nothing } else { Keep::Bytes };
        let own = self.own(node, keep)?;
        self.touch(&own, Extent::Itself)?;
        let file: OwnedFd = again(&own, OFlags::WRONLY | OFlags::CLOEXEC)?;
        ftruncate(file, size)
    }

    /// access(2), of a file that was found: who asks has the ids in question.
    pub fn check(&self, asker: &Asker<'_>, node: &Node, want: Want) -> Result<(), Errno> {
        let mount = self.mounts.get(node.mount);
        let regular = file_type(&node.stat) == FileType::RegularFile || node.is_directory();
        if want.0 & 2 != 0 && regular && mount.is_some_and(|mount| mount.read_only) {
            return Err(Errno::ROFS);
        }
        if want.0 == 0 || mount.is_none() {
            return Ok(());
        }
        match mount.map(|mount| mount.kind) {
            Some(Kind::Processes) => Ok(()),
            _ => self.may(asker, node, want),
        }
    }
}

/// A program that changes hands does not keep its set-id bits and capabilities.
fn lose_privileges(meta: &mut Meta, keeps_group_bit: bool) {
    meta.mode &= !0o4000;
    if meta.mode & 0o010 != 0 || !keeps_group_bit {
        meta.mode &= !0o2000;
    }
    meta.xattrs.remove(std::ffi::OsStr::new("security.capability"));
}
