//! Files to execute.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{FileType, OFlags},
    io::Errno,
};

use super::{
    super::{
        access::{Want, file_type},
        mounts::Node,
    },
    Asker, View,
    open::again,
};

/// A file that may be executed.
#[derive(Debug)]
pub(crate) struct Program {
    /// It, for reading.
    pub file: OwnedFd,
    /// Its path in the root, symbolic links followed.
    pub path: Vec<u8>,
    /// The low 12 bits of its mode.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// `security.capability`.
    pub capabilities: Option<Vec<u8>>,
    /// Whether its bytes are the store's, so that nobody of the run can have it open for writing.
    pub is_shared: bool,
}

impl View {
    /// A file that somebody wants to execute.
    ///
    /// # Errors
    /// As execve(2): EACCES if it may not be executed.
    pub fn program(&self, asker: &Asker<'_>, node: &Node) -> Result<Program, Errno> {
        let meta = self.meta(node);
        if file_type(&node.stat) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
        if file_type(&node.stat) != FileType::RegularFile || meta.device.is_some() {
            return Err(Errno::ACCESS);
        }
        // A file that has no name any more has what it had.
        super::super::access::may(&asker.who, &meta, false, Want::EXECUTE)?;
        let path = self.path_of(asker, node).unwrap_or_default();
        Ok(Program {
            file: again(node, OFlags::RDONLY | OFlags::CLOEXEC)?,
            path,
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            is_shared: meta.shared.is_some(),
            capabilities: meta
                .xattrs
                .get(std::ffi::OsStr::new("security.capability"))
                .cloned(),
        })
    }
}
