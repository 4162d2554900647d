//! What rustix does not have of the mount interface.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

/// Attributes of a mount, for [`set_mount_attributes`]; `mount_setattr(2)` tells what they mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountAttributes {
    /// Nobody may write.
    pub read_only: bool,
    /// Set-user-id bits and file capabilities mean nothing.
    pub no_suid: bool,
    /// Device nodes cannot be opened.
    pub no_dev: bool,
    /// Nothing can be executed.
    pub no_exec: bool,
}

impl MountAttributes {
    fn bits(self) -> u64 {
        [
            (self.read_only, libc::MOUNT_ATTR_RDONLY),
            (self.no_suid, libc::MOUNT_ATTR_NOSUID),
            (self.no_dev, libc::MOUNT_ATTR_NODEV),
            (self.no_exec, libc::MOUNT_ATTR_NOEXEC),
        ]
        .into_iter()
        .filter_map(|(wanted, bit)| wanted.then_some(bit))
        .sum()
    }
}

/// Gives these attributes, besides those it has, to the mount behind a descriptor and to all below it.
pub fn set_mount_attributes(mount: impl AsFd, set: MountAttributes) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set.bits(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a C string, and the pointer and the size describe a mount_attr that outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
