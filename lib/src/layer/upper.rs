//! What an overlay's upper directory says.

use std::path::Path;

use super::{Error, Whiteouts};
use crate::tree::{Change, Tree};

/// Makes a directory to be the upper one of an overlay mount over `lower`: the mount's root takes owner, mode and time
/// from it. Its parent has to exist.
///
/// Fit for a forked child, as [`scan_upper`] is.
///
/// # Errors
/// [`Error::Disk`].
pub fn make_upper(_upper: &Path, _lower: &Tree) -> Result<(), Error> {
    unimplemented!()
}

/// The layer that an overlay's upper directory is, over `lower`: without what equals it (times to the second), and
/// with hard links. Sorted; all names of an inode are in it or none. Sockets and overlayfs's own attributes are left out.
/// Files are read only where everything else about them is as it was; the contents of changes are on the disk, most
/// without a digest.
///
/// A change of the root's time alone is none.
///
/// Spawns no threads, and does not touch the environment, the working directory or the standard streams: fit for a
/// forked child.
///
/// # Errors
/// [`Error::Disk`], and [`Error::Overlay`] if the mount had `metacopy` or `redirect_dir` on.
pub fn scan_upper(_upper: &Path, _format: Whiteouts, _lower: &Tree) -> Result<Vec<Change>, Error> {
    unimplemented!()
}

/// Cuts the modification times of changed files on disk to whole seconds, as the layer has them: so that what runs on
/// top of a directory just written sees what it would see had it been unpacked from the layer.
///
/// # Errors
/// [`Error::Disk`].
pub fn set_times(_upper: &Path, _changes: &[Change]) -> Result<(), Error> {
    unimplemented!()
}
