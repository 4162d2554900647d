//! What a user may do with a file.

use rustix::{
    fs::{FileType, Statx},
    io::Errno,
    thread::CapabilitySet,
};

use super::owners::Meta;
use crate::exec::supervised::Who;

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

/// Whether somebody may do what only owners may.
pub fn owns(who: &Who, meta: &Meta) -> bool {
    who.user.file == meta.uid || who.can(CapabilitySet::FOWNER)
}

/// Checks the permission bits of a file.
///
/// # Errors
/// EACCES.
pub fn may(who: &Who, meta: &Meta, is_directory: bool, want: Want) -> Result<(), Errno> {
    let class = if who.user.file == meta.uid {
        meta.mode >> 6
    } else if who.is_in(meta.gid) {
        meta.mode >> 3
    } else {
        meta.mode
    };
    let overrides =
        who.can(CapabilitySet::DAC_OVERRIDE) && (is_directory || want.0 & 1 == 0 || meta.mode & 0o111 != 0);
    if overrides || class & want.0 == want.0 {
        Ok(())
    } else {
        Err(Errno::ACCESS)
    }
}

/// Whether somebody may take a name away from a sticky directory (or one that is not sticky).
///
/// # Errors
/// EPERM.
pub fn may_remove(who: &Who, directory: &Meta, file: &Meta) -> Result<(), Errno> {
    let own = [file.uid, directory.uid].contains(&who.user.file);
    let free = directory.mode & 0o1000 == 0 || own || who.can(CapabilitySet::FOWNER);
    if free { Ok(()) } else { Err(Errno::PERM) }
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
        Meta {
            uid,
            gid,
            mode,
            ..Meta::default()
        }
    }

    fn user(uid: u32, groups: &[u32]) -> Who {
        Who::new(uid, uid, groups)
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let root = || user(0, &[]);
        let cases = [
            (user(7, &[]), meta(7, 0, 0o400), Want::READ, true),
            (user(7, &[]), meta(7, 0, 0o044), Want::READ, false),
            (user(7, &[5]), meta(0, 5, 0o040), Want::READ, true),
            (user(7, &[5]), meta(0, 5, 0o004), Want::READ, false),
            (user(7, &[]), meta(0, 5, 0o004), Want::READ, true),
            (user(7, &[]), meta(0, 0, 0o755), Want::CHANGE, false),
            (root(), meta(9, 9, 0), Want::CHANGE, false),
            (root(), meta(9, 9, 0), Want::WRITE, true),
            (root(), meta(9, 9, 0o001), Want::EXECUTE, true),
        ];
        for (who, meta, want, expected) in cases {
            assert_eq!(
                may(&who, &meta, false, want).is_ok(),
                expected,
                "{who:?} {meta:?} {want:?}"
            );
        }
        assert_eq!(may(&root(), &meta(9, 9, 0), true, Want::CHANGE), Ok(()));
    }

    #[test]
    fn sticky_directories_keep_the_files_of_others() {
        let sticky = meta(0, 0, 0o1777);
        let (me, theirs) = (user(7, &[]), meta(8, 7, 0));
        assert_eq!(may_remove(&me, &sticky, &meta(7, 7, 0)), Ok(()));
        assert_eq!(may_remove(&me, &sticky, &theirs), Err(Errno::PERM));
        assert_eq!(may_remove(&me, &meta(0, 0, 0o777), &theirs), Ok(()));
        assert_eq!(may_remove(&user(0, &[]), &meta(7, 7, 0o1777), &theirs), Ok(()));
    }
}
