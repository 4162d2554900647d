//! Programs that a test writes and runs.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

/// Writes a program that everyone may run. No cage that another thread makes meanwhile has it open for writing: while
/// one did, nobody could run it.
pub fn write_program(path: &Path, bytes: &[u8]) {
    let _launching = rbuild_sys::launching();
    fs::write(path, bytes).expect("a program");
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("the mode of a program");
}
