//! What one inode of a [`Tree`](super::Tree) is.

use std::{collections::BTreeMap, ffi::OsString, path::Path, sync::Arc};

use crate::Digest;

/// An inode: what `lstat` and `llistxattr` would say, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Mode, owner, time, attributes.
    pub metadata: Metadata,
    /// Type, and what goes with it.
    pub kind: Kind,
}

impl Node {
    /// Whether it is a device node.
    pub(crate) fn is_device(&self) -> bool {
        matches!(self.kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. })
    }
}

/// What inodes of every type have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permission, set-id and sticky bits: the low 12 bits of `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, whole seconds since 1970. Layers carry no fractions.
    pub mtime: i64,
    /// Extended attributes that belong to the image, by full name.
    pub xattrs: BTreeMap<OsString, Vec<u8>>,
}

/// The type of an inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File(Content),
    /// A directory; the Tree knows its entries.
    Directory,
    /// A symbolic link and its target.
    Symlink(OsString),
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// The bytes of a regular file, by name. Equal when size and digest are; where they lie does not matter.
#[derive(Clone, Debug)]
pub struct Content {
    /// In bytes.
    pub size: u64,
    /// Of the bytes, where somebody has read them.
    pub digest: Option<Digest>,
    /// Where they can be read.
    pub origin: Origin,
}

/// Where the bytes of a file can be read.
#[derive(Clone, Debug)]
pub enum Origin {
    /// In the tar of a layer.
    Layer {
        /// The layer's diff ID.
        diff_id: Digest,
        /// Where the bytes begin in the uncompressed tar.
        offset: u64,
    },
    /// In a file of this machine.
    Disk(Arc<Path>),
    /// Here.
    Memory(Arc<[u8]>),
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.digest == other.digest
    }
}

impl Eq for Content {}
