//! Programs that a test writes and runs.

use std::{
    fs::{self, Permissions},
    os::{fd::IntoRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

/// Writes a program that everyone may run. No cage that another thread makes meanwhile has it open for writing: while
/// one did, nobody could run it.
pub fn write_program(path: &Path, bytes: &[u8]) {
    let _launching = rbuild_sys::launching();
    fs::write(path, bytes).expect("a program");
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("the mode of a program");
}

/// A path by which every process that this one starts can run a program, even where a cage hides the file: that of an open
/// descriptor, which is left open. Unlike a copy it takes no time, and nobody has it open for writing.
pub fn program_for_children(file: &Path) -> PathBuf {
    let program = fs::File::open(file).expect("a program that can be read");
    rustix::io::fcntl_setfd(&program, rustix::io::FdFlags::empty()).expect("a descriptor that is passed on");
    PathBuf::from(format!("/proc/self/fd/{}", program.into_raw_fd()))
}
