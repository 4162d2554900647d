//! A tar to a list of changes.

use std::{
    collections::HashSet,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use super::{Error, Limits, tar::Entries};
use crate::{
    Digest, Hasher,
    tree::{Change, Content, Kind, Node, Origin, What},
};

/// Enough for a pipe's fill and a few files.
pub(crate) const BUFFER: usize = 256 << 10;

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
    index_buffered(BufReader::with_capacity(BUFFER, tar), tee)
}

/// The same for what comes in large pieces by itself.
pub(crate) fn index_buffered(tar: impl BufRead, tee: Option<&mut dyn Write>) -> Result<LayerIndex, Error> {
    index_by(tar, tee, Limits::from_environment(), false)
}

/// The same for a tar with the files of a build's context, which need not be an image's layer.
pub(crate) fn index_context(
    tar: impl Read,
    tee: Option<&mut dyn Write>,
    limits: Limits,
) -> Result<LayerIndex, Error> {
    index_by(BufReader::with_capacity(BUFFER, tar), tee, limits, true)
}

fn index_by(
    tar: impl BufRead,
    tee: Option<&mut dyn Write>,
    limits: Limits,
    lenient: bool,
) -> Result<LayerIndex, Error> {
    let mut seen = Seen {
        input: tar,
        size: 0,
        tar: Hasher::new(),
        file: None,
        tee,
        passed_on: 0,
        failed: None,
    };
    let entries = Entries::within(&mut seen, limits);
    let changes = changes(if lenient { entries.lenient() } else { entries });
    if let Some(error) = seen.failed {
        return Err(Error::Write(error));
    }
    let mut layer = LayerIndex {
        diff_id: seen.tar.finish(),
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

fn changes(mut entries: Entries<&mut Seen<'_, impl BufRead>>) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    while let Some(mut change) = entries.next()? {
        if let What::Node(Node {
            kind: Kind::File(Content { digest, .. }),
            ..
        }) = &mut change.what
        {
            entries.input().file = Some(Hasher::new());
            entries.pass_data(|seen, size| seen.hole(size))?;
            *digest = entries.input().file.take().map(Hasher::finish);
        }
        changes.push(change);
    }
    entries.finish()?;
    Ok(changes)
}

/// Digests what is taken from it, and passes on what comes.
struct Seen<'a, R> {
    input: R,
    size: u64,
    tar: Hasher,
    /// Of the file whose data is being taken.
    file: Option<Hasher>,
    tee: Option<&'a mut dyn Write>,
    /// So many bytes that were not taken yet have been given to `tee`.
    passed_on: usize,
    /// The error of `tee`, which has to be told from the reader's own.
    failed: Option<io::Error>,
}

impl<R> Seen<'_, R> {
    /// Zeros of the file that are not in the tar.
    fn hole(&mut self, size: u64) {
        if let Some(file) = &mut self.file {
            // Into what cannot fail.
            let _ = io::copy(&mut io::repeat(0).take(size), file);
        }
    }
}

impl<R: BufRead> BufRead for Seen<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let bytes = self.input.fill_buf()?;
        if let Some(tee) = &mut self.tee
            && let Some(new @ [_, ..]) = bytes.get(self.passed_on..)
        {
            if let Err(error) = tee.write_all(new) {
                self.failed = Some(error);
                return Err(io::Error::other("the other side failed"));
            }
            self.passed_on = bytes.len();
        }
        Ok(bytes)
    }

    /// Of what was last given out, as ever.
    fn consume(&mut self, length: usize) {
        if length == 0 {
            return;
        }
        // It is there already, and cannot fail.
        let bytes = self.input.fill_buf().unwrap_or_default();
        let bytes = bytes.get(..length).unwrap_or_default();
        self.tar.update(bytes);
        if let Some(file) = &mut self.file {
            file.update(bytes);
        }
        self.size += bytes.len() as u64;
        self.passed_on = self.passed_on.saturating_sub(length);
        self.input.consume(length);
    }
}

impl<R: BufRead> Read for Seen<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        self.consume(length);
        Ok(length)
    }
}
