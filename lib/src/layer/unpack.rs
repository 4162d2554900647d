//! A tar onto the disk.

use std::{io::Read, path::Path};

use super::Error;

/// How overlayfs is told that something of a lower layer is gone: a character device 0:0, and for opaque directories
/// an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whiteouts {
    /// `trusted.overlay.opaque`: for mounts made by real root.
    Trusted,
    /// `user.overlay.opaque`: for mounts with `userxattr`, as in a user namespace.
    User,
}

/// Whose files are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ids {
    /// The owners that the layer says; the caller has the capabilities of root, if only in its user namespace.
    Set,
    /// The caller's, whatever the layer says. Its owner can read and write everything; devices are left out.
    Keep,
}

/// Unpacks a plain tar into an empty directory, as one lower layer of an overlay mount.
///
/// Directories that the layer does not describe are root's, 0755; hard links to files of other layers are left out
/// (see [`LayerIndex`](super::LayerIndex)). Extended attributes of overlayfs itself are never set, others are where the
/// file system allows them.
///
/// Spawns no threads, and does not touch the environment, the working directory or the standard streams: fit for a
/// forked child.
///
/// # Errors
/// [`Error::Tar`] as for [`index`](super::index), and [`Error::Disk`].
pub fn unpack(_tar: impl Read, _root: &Path, _format: Whiteouts, _ids: Ids) -> Result<(), Error> {
    unimplemented!()
}
