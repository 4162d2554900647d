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
    tree::{
        Change, What,
        codec::{self, Bytes, put, put_bytes, put_node},
    },
};

/// Changes with the form.
const MAGIC: &[u8] = b"rbuild layer index 1\n";

/// What an entry is that is no inode.
mod tag {
    use super::codec::tag::OTHER;

    pub const HARD_LINK: u8 = OTHER;
    pub const WHITEOUT: u8 = OTHER + 1;
    pub const OPAQUE: u8 = OTHER + 2;
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
        layer(Bytes(bytes)).ok_or(Error::Index)
    }
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

fn layer(mut from: Bytes<'_>) -> Option<LayerIndex> {
    from.0 = from.0.strip_prefix(MAGIC)?;
    let diff_id = from.digest()?;
    let size = from.number()?;
    let count = usize::try_from(from.number()?).ok()?;
    // Nothing takes less than three bytes.
    let mut changes: Vec<Change> = Vec::with_capacity(count.min(from.0.len() / 3));
    for _ in 0..count {
        let shared = usize::try_from(from.number()?).ok()?;
        let before = changes
            .last()
            .map_or(OsStr::new(""), |change| change.path.as_os_str())
            .as_bytes();
        let path = [before.get(..shared)?, from.bytes()?].concat();
        changes.push(Change {
            path: PathBuf::from(OsString::from_vec(path)),
            what: what(&mut from, diff_id)?,
        });
    }
    from.0.is_empty().then_some(LayerIndex {
        diff_id,
        size,
        changes,
    })
}

fn what(from: &mut Bytes<'_>, diff_id: Digest) -> Option<What> {
    Some(match from.byte()? {
        tag::WHITEOUT => What::Whiteout,
        tag::OPAQUE => What::Opaque,
        tag::HARD_LINK => What::HardLink(Path::new(from.text()?).to_owned()),
        tag => What::Node(from.node(tag, diff_id)?),
    })
}
