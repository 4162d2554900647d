//! What a user may do with a file.

use std::sync::Arc;

use rustix::{
    fs::{FileType, Statx},
    io::Errno,
};

use super::owners::Meta;

/// Who asks: the ids and capabilities that count for files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The file system's user id.
    pub uid: u32,
    /// The file system's group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Arc<[u32]>,
    /// Effective capabilities, by bit.
    pub capabilities: u64,
}

/// A capability, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Capability {
    /// Give files away.
    Chown = 0,
    /// Pass all permission checks.
    DacOverride = 1,
    /// Do what owners may.
    Fowner = 3,
    /// Keep set-id bits.
    Fsetid = 4,
    /// `chroot`.
    SysChroot = 18,
    /// Make devices.
    Mknod = 27,
    /// Give files capabilities.
    Setfcap = 31,
}

/// What somebody wants to do with a file: the bits of a permission triple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want(pub u32);

impl Want {
    /// Read, or list.
    pub const READ: Self = Self(4);
    /// Write, or change names in it.
    pub const WRITE: Self = Self(2);
    /// Execute, or look up names in it.
    pub const EXECUTE: Self = Self(1);
    /// Change names in a directory.
    pub const CHANGE: Self = Self(3);
}

impl Who {
    /// Root as a container has it.
    pub fn root() -> Self {
        Self { capabilities: u64::MAX, ..Self::default() }
    }

    /// Whether it has a capability.
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities >> (capability as u32) & 1 == 1
    }

    /// Whether a group is one of its own.
    pub fn in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    /// Whether it may do what only owners may.
    pub fn owns(&self, meta: &Meta) -> bool {
        self.uid == meta.uid || self.can(Capability::Fowner)
    }

    /// Checks the permission bits of a file.
    ///
    /// # Errors
    /// EACCES.
    pub fn may(&self, meta: &Meta, is_directory: bool, want: Want) -> Result<(), Errno> {
        let class = if self.uid == meta.uid {
            meta.mode >> 6
        } else if self.in_group(meta.gid) {
            meta.mode >> 3
        } else {
            meta.mode
        };
        let overrides = self.can(Capability::DacOverride)
            && (is_directory || want.0 & 1 == 0 || meta.mode & 0o111 != 0);
        if overrides || class & want.0 == want.0 { Ok(()) } else { Err(Errno::ACCESS) }
    }

    /// Whether it may take a name away from a sticky directory (or one that is not sticky).
    ///
    /// # Errors
    /// EPERM.
    pub fn may_remove(&self, directory: &Meta, file: &Meta) -> Result<(), Errno> {
        let free = directory.mode & 0o1000 == 0 || self.uid == file.uid || self.uid == directory.uid;
        if free || self.can(Capability::Fowner) { Ok(()) } else { Err(Errno::PERM) }
    }
}

/// The type of an inode on disk.
pub fn file_type(stat: &Statx) -> FileType {
    FileType::from_raw_mode(stat.stx_mode.into())
}

/// Whether an inode is a directory.
pub fn is_directory(stat: &Statx) -> bool {
    file_type(stat) == FileType::Directory
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(uid: u32, gid: u32, mode: u32) -> Meta {
        Meta { uid, gid, mode, ..Meta::default() }
    }

    fn user(uid: u32, groups: &[u32]) -> Who {
        Who { uid, gid: uid, groups: groups.into(), capabilities: 0 }
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let cases = [
            (user(7, &[]), meta(7, 0, 0o400), Want::READ, true),
            (user(7, &[]), meta(7, 0, 0o044), Want::READ, false),
            (user(7, &[5]), meta(0, 5, 0o040), Want::READ, true),
            (user(7, &[5]), meta(0, 5, 0o004), Want::READ, false),
            (user(7, &[]), meta(0, 5, 0o004), Want::READ, true),
            (user(7, &[]), meta(0, 0, 0o755), Want::CHANGE, false),
            (Who::root(), meta(9, 9, 0), Want::CHANGE, false),
            (Who::root(), meta(9, 9, 0), Want::WRITE, true),
            (Who::root(), meta(9, 9, 0o001), Want::EXECUTE, true),
        ];
        for (who, meta, want, may) in cases {
            assert_eq!(who.may(&meta, false, want).is_ok(), may, "{who:?} {meta:?} {want:?}");
        }
        assert_eq!(Who::root().may(&meta(9, 9, 0), true, Want::CHANGE), Ok(()));
    }

    #[test]
    fn sticky_directories_keep_the_files_of_others() {
        let sticky = meta(0, 0, 0o1777);
        assert_eq!(user(7, &[]).may_remove(&sticky, &meta(7, 7, 0)), Ok(()));
        assert_eq!(user(7, &[]).may_remove(&sticky, &meta(8, 7, 0)), Err(Errno::PERM));
        assert_eq!(user(7, &[]).may_remove(&meta(0, 0, 0o777), &meta(8, 7, 0)), Ok(()));
        assert_eq!(Who::root().may_remove(&meta(7, 7, 0o1777), &meta(8, 7, 0)), Ok(()));
    }
}
