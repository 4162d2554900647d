//! Extended attributes. They are never on the disk, which may not take them.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use rustix::{
    fs::{FileType, Statx, XattrFlags},
    io::Errno,
    thread::CapabilitySet,
};

use super::{
    super::{
        access::{self, Want, file_type, owns},
        owners::Meta,
    },
    Asker, Target, View, acl,
};

/// The longest value.
pub(crate) const MAX_VALUE: usize = 65_536;

impl View {
    /// getxattr(2), of a file that was found.
    pub fn attribute(&self, asker: &Asker<'_>, file: &Statx, name: &OsStr) -> Result<Vec<u8>, Errno> {
        let mut meta = self.meta_of(file);
        may_read_attribute(asker, file, &meta, name)?;
        meta.xattrs.remove(name).ok_or(Errno::NODATA)
    }

    /// listxattr(2): names, each with a NUL.
    pub fn attributes(&self, asker: &Asker<'_>, file: &Statx) -> Vec<u8> {
        let meta = self.meta_of(file);
        let seen = meta
            .xattrs
            .keys()
            .filter(|name| !is_trusted(name) || asker.who.can(CapabilitySet::SYS_ADMIN));
        seen.flat_map(|name| name.as_bytes().iter().copied().chain([0]))
            .collect()
    }

    /// setxattr(2), of a file that was found.
    pub fn set_attribute(
        &self,
        asker: &Asker<'_>,
        target: &Target,
        (name, value): (OsString, Vec<u8>),
        flags: XattrFlags,
    ) -> Result<(), Errno> {
        let kind = file_type(target.stat());
        self.change(target, |meta| {
            may_write(asker, kind, meta, &name)?;
            match meta.xattrs.contains_key(&name) {
                true if flags.contains(XattrFlags::CREATE) => return Err(Errno::EXIST),
                false if flags.contains(XattrFlags::REPLACE) => return Err(Errno::NODATA),
                _ => {}
            }
            match name.as_bytes() {
                acl::ACCESS => acl::set_access(meta, &value),
                acl::DEFAULT if kind != FileType::Directory => Err(Errno::ACCESS),
                acl::DEFAULT if value.len() <= acl::HEADER => {
                    meta.xattrs.remove(&name);
                    Ok(())
                }
                _ => {
                    meta.xattrs.insert(name, value);
                    Ok(())
                }
            }
        })
    }

    /// removexattr(2), of a file that was found.
    pub fn remove_attribute(&self, asker: &Asker<'_>, target: &Target, name: &OsStr) -> Result<(), Errno> {
        self.change(target, |meta| {
            may_write(asker, file_type(target.stat()), meta, name)?;
            meta.xattrs.remove(name).map(drop).ok_or(Errno::NODATA)
        })
    }
}

fn may_read_attribute(asker: &Asker<'_>, file: &Statx, meta: &Meta, name: &OsStr) -> Result<(), Errno> {
    if is_trusted(name) && !asker.who.can(CapabilitySet::SYS_ADMIN) {
        return Err(Errno::NODATA);
    }
    if !name.as_bytes().starts_with(b"user.") {
        return if is_known(name) {
            Ok(())
        } else {
            Err(Errno::OPNOTSUPP)
        };
    }
    match file_type(file) {
        kind @ (FileType::RegularFile | FileType::Directory) => {
            access::may(&asker.who, meta, kind == FileType::Directory, Want::READ)
        }
        _ => Err(Errno::NODATA),
    }
}

fn is_trusted(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"trusted.")
}

fn is_known(name: &OsStr) -> bool {
    ["user.", "trusted.", "security.", "system.posix_acl_"]
        .iter()
        .any(|space| name.as_bytes().starts_with(space.as_bytes()))
}

/// xattr(7): who may change attributes of which name space.
fn may_write(asker: &Asker<'_>, kind: FileType, meta: &Meta, name: &OsStr) -> Result<(), Errno> {
    let bytes = name.as_bytes();
    let allow = |allowed: bool, error| if allowed { Ok(()) } else { Err(error) };
    if bytes == b"security.capability" {
        return allow(asker.who.can(CapabilitySet::SETFCAP), Errno::PERM);
    }
    if bytes.starts_with(b"security.") || is_trusted(name) {
        return allow(asker.who.can(CapabilitySet::SYS_ADMIN), Errno::PERM);
    }
    if bytes.starts_with(b"system.posix_acl_") {
        return allow(owns(&asker.who, meta), Errno::PERM);
    }
    if !bytes.starts_with(b"user.") {
        return Err(Errno::OPNOTSUPP);
    }
    match kind {
        FileType::RegularFile | FileType::Directory => {
            access::may(&asker.who, meta, kind == FileType::Directory, Want::WRITE)
        }
        _ => Err(Errno::PERM),
    }
}
