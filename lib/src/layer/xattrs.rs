//! Which extended attributes are part of an image.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

/// What overlayfs keeps for itself, by how it was mounted. An image must never set these: they redirect look-ups.
const OVERLAY: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
/// What belongs to the machine that a file is on: labels and signatures.
const MACHINE: [&[u8]; 4] = [
    b"security.selinux",
    b"security.ima",
    b"security.evm",
    b"security.SMACK64",
];

/// Whether an attribute goes into layers, and comes out of them.
pub(crate) fn belongs_to_image(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let file = [&b"user."[..], b"trusted.", b"security.", b"system.posix_acl_"];
    file.iter().any(|space| name.starts_with(space))
        && !OVERLAY.iter().any(|overlay| name.starts_with(overlay))
        && !MACHINE.contains(&name)
}
