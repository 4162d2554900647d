//! Directories, links, devices made; names moved and taken away.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use rustix::{
    fs::{AtFlags, CWD, FileType, RenameFlags, linkat, mkdirat, mknodat, renameat_with, symlinkat, unlinkat},
    io::Errno,
    thread::CapabilitySet,
};

use super::{
    super::{
        access::{Want, file_type, is_directory, may_remove},
        copy_up::Keep,
        make::MODE,
        mounts::{MountId, Node, fd_path},
        owners::{Device, Meta},
        resolve::Found,
        touched::Extent,
    },
    Asker, View, acl,
};

/// What `mknod` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    /// An empty file.
    File,
    /// A named pipe.
    Fifo,
    /// A socket that nobody listens on.
    Socket,
    /// A device.
    Device(Device),
}

impl View {
    /// mkdirat(2).
    pub fn make_directory(
        &self,
        asker: &Asker<'_>,
        base: &Node,
        path: &[u8],
        mode: u32,
    ) -> Result<(), Errno> {
        let found = self.locate(asker, base, path, false)?;
        let (parent, name) = self.free(asker, &found)?;
        let mut meta = self.birth(asker, parent, mode & 0o1777);
        let above = self.meta(parent);
        meta.mode |= above.mode & 0o2000;
        meta.xattrs.extend(
            above
                .xattrs
                .into_iter()
                .filter(|(name, _)| name.as_bytes() == acl::DEFAULT),
        );
        mkdirat(&parent.fd, name, MODE)?;
        self.born(parent, name, meta).map(drop)
    }

    /// symlinkat(2).
    pub fn make_link(&self, asker: &Asker<'_>, target: &[u8], base: &Node, path: &[u8]) -> Result<(), Errno> {
        if target.is_empty() {
            return Err(Errno::NOENT);
        }
        let found = self.locate(asker, base, path, false)?;
        let (parent, name) = self.free_file(asker, &found)?;
        let meta = Meta {
            mode: 0o777,
            xattrs: Default::default(),
            ..self.birth(asker, parent, 0)
        };
        symlinkat(target, &parent.fd, name)?;
        self.born(parent, name, meta).map(drop)
    }

    /// mknodat(2).
    pub fn make_special(
        &self,
        asker: &Asker<'_>,
        base: &Node,
        path: &[u8],
        mode: u32,
        special: Special,
    ) -> Result<(), Errno> {
        let found = self.locate(asker, base, path, false)?;
        let (parent, name) = self.free_file(asker, &found)?;
        let mut meta = self.birth(asker, parent, mode);
        let kind = match special {
            Special::Device(device) => {
                // Overlays keep 0:0 for themselves.
                if !asker.who.can(CapabilitySet::MKNOD) || !device.block && device.number == (0, 0) {
                    return Err(Errno::PERM);
                }
                meta.device = Some(device);
                FileType::RegularFile
            }
            Special::File => FileType::RegularFile,
            Special::Fifo => FileType::Fifo,
            Special::Socket => FileType::Socket,
        };
        mknodat(&parent.fd, name, kind, MODE, 0)?;
        self.born(parent, name, meta).map(drop)
    }

    /// Does what makes a file at a path, given the directory and the name; then the file is the asker's.
    pub fn make_with(
        &self,
        asker: &Asker<'_>,
        base: &Node,
        path: &[u8],
        mode: u32,
        make: impl FnOnce(&str) -> Result<(), Errno>,
    ) -> Result<Node, Errno> {
        let found = self.locate(asker, base, path, false)?;
        let (parent, name) = self.free_file(asker, &found)?;
        let name_text = name.to_str().ok_or(Errno::INVAL)?;
        make(&format!("{}/{name_text}", fd_path(&parent.fd)))?;
        self.born(parent, name, self.birth(asker, parent, mode))
    }

    /// linkat(2), of a file that was found already.
    pub fn link(&self, asker: &Asker<'_>, file: &Node, base: &Node, path: &[u8]) -> Result<(), Errno> {
        if file.is_directory() {
            return Err(Errno::PERM);
        }
        let found = self.locate(asker, base, path, false)?;
        let (parent, name) = self.free_file(asker, &found)?;
        if file.mount != parent.mount {
            return Err(Errno::XDEV);
        }
        let own = self.own(file, Keep::Bytes)?;
        linkat(CWD, fd_path(&own.fd), &parent.fd, name, AtFlags::SYMLINK_FOLLOW)?;
        if file.stat.stx_nlink > 0 {
            self.touch(&own, Extent::Itself)?;
        }
        self.touch_entry(parent, name, Extent::Itself)
    }

    /// unlinkat(2), for a file or a directory.
    pub fn remove(&self, asker: &Asker<'_>, base: &Node, path: &[u8], directory: bool) -> Result<(), Errno> {
        let found = self.locate(asker, base, path, false)?;
        let Some(name) = found.name.as_deref() else {
            return Err(match (directory, path.ends_with(b"..")) {
                (true, true) => Errno::NOTEMPTY,
                (true, false) if path.ends_with(b".") => Errno::INVAL,
                (true, false) => Errno::BUSY,
                (false, _) => Errno::ISDIR,
            });
        };
        let node = found.node()?;
        self.may_take(asker, &found.parent, node)?;
        match (directory, node.is_directory()) {
            (true, false) => return Err(Errno::NOTDIR),
            (false, true) => return Err(Errno::ISDIR),
            _ => {}
        }
        let flags = if directory {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        unlinkat(&found.parent.fd, name, flags)?;
        if node.is_directory() || file_type(&node.stat) == FileType::Symlink {
            self.directories.forget();
        }
        self.touch_entry(&found.parent, name, Extent::Itself)
    }

    /// renameat2(2).
    pub fn rename(
        &self,
        asker: &Asker<'_>,
        (old_base, old): (&Node, &[u8]),
        (new_base, new): (&Node, &[u8]),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let from = self.locate(asker, old_base, old, false)?;
        let to = self.locate(asker, new_base, new, false)?;
        let (Some(old_name), Some(new_name)) = (from.name.as_deref(), to.name.as_deref()) else {
            return Err(Errno::BUSY);
        };
        let node = from.node()?;
        if from.parent.mount != to.parent.mount {
            return Err(Errno::XDEV);
        }
        self.may_take(asker, &from.parent, node)?;
        match &to.node {
            Some(_) if flags.contains(RenameFlags::NOREPLACE) => return Err(Errno::EXIST),
            Some(there) => self.may_take(asker, &to.parent, there)?,
            None if flags.contains(RenameFlags::EXCHANGE) => return Err(Errno::NOENT),
            None => self.may_create(asker, &to.parent)?,
        }
        if to.slash && !node.is_directory() {
            return Err(Errno::NOTDIR);
        }
        let exchanged = to.node.as_ref().filter(|_| flags.contains(RenameFlags::EXCHANGE));
        for moved in [Some(node), exchanged].into_iter().flatten() {
            self.may_move(moved)?;
        }
        if to.node.as_ref().is_some_and(|there| there.key() == node.key()) {
            // Two names of a file of the store are two files; of others, nothing happens.
            self.own(node, Keep::Bytes)?;
        }
        renameat_with(&from.parent.fd, old_name, &to.parent.fd, new_name, flags)?;
        self.directories.forget();
        let moves_directory = node.is_directory() || exchanged.is_some_and(|there| is_directory(&there.stat));
        let extent = if moves_directory {
            Extent::Below
        } else {
            Extent::Itself
        };
        self.touch_entry(&from.parent, old_name, extent)?;
        self.touch_entry(&to.parent, new_name, extent)
    }

    /// Directories of lower layers stay where they are, as on an overlay: programs copy them then.
    fn may_move(&self, node: &Node) -> Result<(), Errno> {
        let stays = node.mount == MountId::ROOT && node.is_directory() && self.meta(node).lower;
        if stays { Err(Errno::XDEV) } else { Ok(()) }
    }

    /// Checks that a name can be taken away from a directory.
    fn may_take(&self, asker: &Asker<'_>, parent: &Node, node: &Node) -> Result<(), Errno> {
        if node.mount != parent.mount {
            return Err(Errno::BUSY);
        }
        self.writable(parent)?;
        self.may(asker, parent, Want::CHANGE)?;
        may_remove(&asker.who, &self.meta(parent), &self.meta(node))
    }

    /// The directory and name of something that is to be made.
    fn free<'f>(&self, asker: &Asker<'_>, found: &'f Found) -> Result<(&'f Node, &'f OsStr), Errno> {
        match (&found.node, found.name.as_deref()) {
            (Some(_), _) | (_, None) => Err(Errno::EXIST),
            (None, Some(name)) => self
                .may_create(asker, &found.parent)
                .map(|()| (&found.parent, name)),
        }
    }

    /// The same for what is no directory.
    fn free_file<'f>(&self, asker: &Asker<'_>, found: &'f Found) -> Result<(&'f Node, &'f OsStr), Errno> {
        if found.slash && found.node.is_none() {
            return Err(Errno::NOENT);
        }
        self.free(asker, found)
    }

    /// readlinkat(2).
    pub fn read_link(&self, asker: &Asker<'_>, base: &Node, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let found = self.locate(asker, base, path, false)?;
        let node = found.node()?;
        if file_type(&node.stat) != FileType::Symlink {
            return Err(Errno::INVAL);
        }
        if let Some(name) = &found.name
            && let Some(text) = self.process_link(asker, &found.parent, name)?
        {
            return Ok(text);
        }
        self.link_text(node)
    }

    /// What a symbolic link says that a descriptor refers to.
    pub fn link_text(&self, node: &Node) -> Result<Vec<u8>, Errno> {
        rustix::fs::readlinkat(&node.fd, "", Vec::new()).map(std::ffi::CString::into_bytes)
    }
}
