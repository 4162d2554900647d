//! The saved form of a [`LayerIndex`]: numbers as LEB128, paths as what differs from the path before, and a digest of it
//! all at the end.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use super::{Error, LayerIndex};
use crate::{
    Digest,
    tree::{Change, Content, Kind, Metadata, Node, Origin, What},
};

/// Changes with the form.
const MAGIC: &[u8] = b"rbuild layer index 1\n";

/// What an entry is; with `ATTRIBUTES`, extended attributes follow its metadata.
mod tag {
    pub const FILE: u8 = 0;
    pub const DIRECTORY: u8 = 1;
    pub const SYMLINK: u8 = 2;
    pub const FIFO: u8 = 3;
    pub const CHAR_DEVICE: u8 = 4;
    pub const BLOCK_DEVICE: u8 = 5;
    pub const HARD_LINK: u8 = 6;
    pub const WHITEOUT: u8 = 7;
    pub const OPAQUE: u8 = 8;
    pub const ATTRIBUTES: u8 = 0x80;
}

impl LayerIndex {
    /// Writes a compact form for [`LayerIndex::load`].
    ///
    /// # Errors
    /// When `out` fails, or a file is not the layer's own or has no digest, which [`index`](fn@super::index) never makes.
    pub fn save(&self, mut out: impl Write) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(64 + self.changes.len() * 64);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(self.diff_id.as_bytes());
        put(&mut bytes, self.size);
        put(&mut bytes, self.changes.len() as u64);
        let mut before: &[u8] = &[];
        for change in &self.changes {
            let path = change.path.as_os_str().as_bytes();
            let shared = before.iter().zip(path).take_while(|(a, b)| a == b).count();
            put(&mut bytes, shared as u64);
            put_bytes(&mut bytes, &path[shared..]);
            before = path;
            put_what(&mut bytes, &change.what)?;
        }
        let digest = Digest::of(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        out.write_all(&bytes)
    }

    /// Reads what [`LayerIndex::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Index`] when it is damaged or of another version, [`Error::Read`] when it cannot be read.
    pub fn load(mut from: impl Read) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map_err(Error::Read)?;
        let (bytes, digest) = bytes.split_last_chunk::<32>().ok_or(Error::Index)?;
        if Digest::of(bytes).as_bytes() != digest {
            return Err(Error::Index);
        }
        Saved(bytes).layer().ok_or(Error::Index)
    }
}

fn put(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn put_what(to: &mut Vec<u8>, what: &What) -> io::Result<()> {
    match what {
        What::Node(node) => return put_node(to, node),
        What::HardLink(target) => {
            to.push(tag::HARD_LINK);
            put_bytes(to, target.as_os_str().as_bytes());
        }
        What::Whiteout => to.push(tag::WHITEOUT),
        What::Opaque => to.push(tag::OPAQUE),
    }
    Ok(())
}

fn put_node(to: &mut Vec<u8>, node: &Node) -> io::Result<()> {
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

/// What is left to read. Everything is `None` where it ends or makes no sense.
struct Saved<'a>(&'a [u8]);

impl<'a> Saved<'a> {
    fn layer(mut self) -> Option<LayerIndex> {
        self.0 = self.0.strip_prefix(MAGIC)?;
        let diff_id = self.digest()?;
        let size = self.number()?;
        let count = usize::try_from(self.number()?).ok()?;
        // Nothing takes less than three bytes.
        let mut changes: Vec<Change> = Vec::with_capacity(count.min(self.0.len() / 3));
        for _ in 0..count {
            let shared = usize::try_from(self.number()?).ok()?;
            let before = changes
                .last()
                .map_or(OsStr::new(""), |change| change.path.as_os_str())
                .as_bytes();
            let path = [before.get(..shared)?, self.bytes()?].concat();
            changes.push(Change {
                path: PathBuf::from(OsString::from_vec(path)),
                what: self.what(diff_id)?,
            });
        }
        self.0.is_empty().then_some(LayerIndex {
            diff_id,
            size,
            changes,
        })
    }

    fn what(&mut self, diff_id: Digest) -> Option<What> {
        let (&tag, rest) = self.0.split_first()?;
        self.0 = rest;
        match tag {
            tag::WHITEOUT => return Some(What::Whiteout),
            tag::OPAQUE => return Some(What::Opaque),
            tag::HARD_LINK => return Some(What::HardLink(Path::new(self.text()?).to_owned())),
            _ => {}
        }
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
        Some(What::Node(Node { metadata, kind }))
    }

    fn number(&mut self) -> Option<u64> {
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

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a OsStr> {
        self.bytes().map(OsStr::from_bytes)
    }

    fn digest(&mut self) -> Option<Digest> {
        let (digest, rest) = self.0.split_first_chunk::<32>()?;
        self.0 = rest;
        Some(Digest::from_bytes(*digest))
    }
}
