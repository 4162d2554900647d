//! A tar to a list of changes.

use std::{
    collections::HashSet,
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use super::{Error, Limits, tar::Entries};
use crate::{
    Digest, Hasher,
    tree::{Change, Content, Kind, Node, Origin, What},
};

/// Enough for a pipe's fill and a few files.
pub(super) const BUFFER: usize = 256 << 10;

/// What a layer holds: all of its tar but the bytes of files, and where in the tar those are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerIndex {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Size of the uncompressed tar in bytes.
    pub size: u64,
    /// In the order of the tar. Files have their digest, and an [`Origin::Layer`].
    pub changes: Vec<Change>,
}

impl LayerIndex {
    /// Directories that the layer has something in but says nothing of. Unpacked by itself, the layer has them as
    /// root's, 0755; in the image they are what lower layers say.
    pub fn implied_directories(&self) -> Vec<PathBuf> {
        let node = |change: &'_ Change| matches!(change.what, What::Node(_));
        let said: HashSet<&Path> = self
            .changes
            .iter()
            .filter(|change| node(change))
            .map(|change| &*change.path)
            .collect();
        let mut implied = HashSet::new();
        for change in &self.changes {
            let inside = (change.what == What::Opaque).then_some(&*change.path);
            let parents = change.path.ancestors().skip(1).chain(inside);
            implied.extend(parents.filter(|parent| !said.contains(parent) && !parent.as_os_str().is_empty()));
        }
        let mut implied: Vec<PathBuf> = implied.into_iter().map(Path::to_owned).collect();
        implied.sort();
        implied
    }

    /// Hard links to files of lower layers: new name and target. Unpacked by itself, the layer lacks them.
    pub fn foreign_links(&self) -> Vec<(PathBuf, PathBuf)> {
        let mut here = HashSet::new();
        let mut foreign = Vec::new();
        for change in &self.changes {
            match &change.what {
                What::HardLink(target) if !here.contains(&**target) => {
                    foreign.push((change.path.clone(), target.clone()));
                }
                What::Node(_) | What::HardLink(_) => _ = here.insert(&*change.path),
                What::Whiteout | What::Opaque => {}
            }
        }
        foreign
    }
}

/// Reads a plain tar to its very end, and gives every byte to `tee`, if there is one.
///
/// # Errors
/// [`Error::Tar`] for whatever is wrong or unsafe in it, naming the entry; [`Error::Write`] when `tee` fails.
pub fn index(tar: impl Read, tee: Option<&mut dyn Write>) -> Result<LayerIndex, Error> {
    index_by(tar, tee, Limits::from_environment(), false)
}

/// The same for a tar with the files of a build's context, which need not be an image's layer.
pub(crate) fn index_context(
    tar: impl Read,
    tee: Option<&mut dyn Write>,
    limits: Limits,
) -> Result<LayerIndex, Error> {
    index_by(tar, tee, limits, true)
}

fn index_by(
    tar: impl Read,
    tee: Option<&mut dyn Write>,
    limits: Limits,
    lenient: bool,
) -> Result<LayerIndex, Error> {
    let mut seen = Seen {
        tar,
        tee,
        hasher: Hasher::new(),
        size: 0,
        failed: None,
    };
    let entries = Entries::within(BufReader::with_capacity(BUFFER, &mut seen), limits);
    let changes = changes(if lenient { entries.lenient() } else { entries });
    if let Some(error) = seen.failed {
        return Err(Error::Write(error));
    }
    let mut layer = LayerIndex {
        diff_id: seen.hasher.finish(),
        size: seen.size,
        changes: changes?,
    };
    for change in &mut layer.changes {
        if let What::Node(Node {
            kind: Kind::File(content),
            ..
        }) = &mut change.what
            && let Origin::Layer { diff_id, .. } = &mut content.origin
        {
            *diff_id = layer.diff_id;
        }
    }
    Ok(layer)
}

fn changes(mut entries: Entries<BufReader<impl Read>>) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    while let Some(mut change) = entries.next()? {
        if let What::Node(Node {
            kind: Kind::File(Content { digest, .. }),
            ..
        }) = &mut change.what
        {
            let mut hasher = Hasher::new();
            entries.data(|piece| {
                hasher.update(piece);
                Ok(())
            })?;
            *digest = Some(hasher.finish());
        }
        changes.push(change);
    }
    entries.finish()?;
    Ok(changes)
}

/// Digests and passes on what is read through it.
struct Seen<'a, R> {
    tar: R,
    tee: Option<&'a mut dyn Write>,
    hasher: Hasher,
    size: u64,
    /// The error of `tee`, which has to be told from the reader's own.
    failed: Option<io::Error>,
}

impl<R: Read> Read for Seen<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.tar.read(buffer)?;
        let bytes = &buffer[..length];
        self.hasher.update(bytes);
        self.size += length as u64;
        if let Some(tee) = &mut self.tee
            && let Err(error) = tee.write_all(bytes)
        {
            self.failed = Some(error);
            return Err(io::Error::other("the other side failed"));
        }
        Ok(length)
    }
}
