//! Inodes as bytes: numbers as LEB128, what has a length after its length.

use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt};

use super::{Content, Kind, Metadata, Node, Origin};
use crate::Digest;

/// What an inode is; with `ATTRIBUTES`, extended attributes follow its metadata.
pub(crate) mod tag {
    pub const FILE: u8 = 0;
    pub const DIRECTORY: u8 = 1;
    pub const SYMLINK: u8 = 2;
    pub const FIFO: u8 = 3;
    pub const CHAR_DEVICE: u8 = 4;
    pub const BLOCK_DEVICE: u8 = 5;
    /// Those from here on are none of inodes.
    pub const OTHER: u8 = 6;
    pub const ATTRIBUTES: u8 = 0x80;
}

pub(crate) fn put(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

pub(crate) fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// An inode. Which layer the content of a file is in is not part of it.
///
/// # Errors
/// If the content of a file is not in a layer, or has no digest.
pub(crate) fn put_node(to: &mut Vec<u8>, node: &Node) -> io::Result<()> {
    let Metadata {
        mode,
        uid,
        gid,
        mtime,
        xattrs,
    } = &node.metadata;
    let tag = match node.kind {
        Kind::File(_) => tag::FILE,
        Kind::Directory => tag::DIRECTORY,
        Kind::Symlink(_) => tag::SYMLINK,
        Kind::Fifo => tag::FIFO,
        Kind::CharDevice { .. } => tag::CHAR_DEVICE,
        Kind::BlockDevice { .. } => tag::BLOCK_DEVICE,
    };
    to.push(if xattrs.is_empty() {
        tag
    } else {
        tag | tag::ATTRIBUTES
    });
    for number in [
        (*mode).into(),
        (*uid).into(),
        (*gid).into(),
        mtime.cast_unsigned().rotate_left(1),
    ] {
        put(to, number);
    }
    if !xattrs.is_empty() {
        put(to, xattrs.len() as u64);
        for (name, value) in xattrs {
            put_bytes(to, name.as_bytes());
            put_bytes(to, value);
        }
    }
    match &node.kind {
        Kind::Directory | Kind::Fifo => {}
        Kind::Symlink(target) => put_bytes(to, target.as_bytes()),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            put(to, (*major).into());
            put(to, (*minor).into());
        }
        Kind::File(content) => {
            let (Some(digest), Origin::Layer { offset, .. }) = (content.digest, &content.origin) else {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a file without digest or layer",
                ));
            };
            put(to, content.size);
            to.extend_from_slice(digest.as_bytes());
            put(to, *offset);
        }
    }
    Ok(())
}

/// Bytes that are left to read. Everything is `None` where they end or make no sense.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// What is left of an inode after its tag; contents are in the layer `diff_id`.
    pub(crate) fn node(&mut self, tag: u8, diff_id: Digest) -> Option<Node> {
        let mut metadata = Metadata {
            mode: self.small()?,
            uid: self.small()?,
            gid: self.small()?,
            mtime: self.number()?.rotate_right(1).cast_signed(),
            ..Metadata::default()
        };
        if tag & tag::ATTRIBUTES != 0 {
            for _ in 0..self.number()? {
                metadata
                    .xattrs
                    .insert(self.text()?.to_owned(), self.bytes()?.to_owned());
            }
        }
        let kind = match tag & !tag::ATTRIBUTES {
            tag::FILE => Kind::File(Content {
                size: self.number()?,
                digest: Some(self.digest()?),
                origin: Origin::Layer {
                    diff_id,
                    offset: self.number()?,
                },
            }),
            tag::DIRECTORY => Kind::Directory,
            tag::SYMLINK => Kind::Symlink(self.text()?.to_owned()),
            tag::FIFO => Kind::Fifo,
            tag::CHAR_DEVICE => Kind::CharDevice {
                major: self.small()?,
                minor: self.small()?,
            },
            tag::BLOCK_DEVICE => Kind::BlockDevice {
                major: self.small()?,
                minor: self.small()?,
            },
            _ => return None,
        };
        Some(Node { metadata, kind })
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a OsStr> {
        self.bytes().map(OsStr::from_bytes)
    }

    pub(crate) fn digest(&mut self) -> Option<Digest> {
        let (digest, rest) = self.0.split_first_chunk::<32>()?;
        self.0 = rest;
        Some(Digest::from_bytes(*digest))
    }
}
