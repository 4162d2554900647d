//! Files that came in a tar, and are read from it: nothing is unpacked.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::error::{BuildError, Problem};
use crate::{
    image::Layer,
    layer::{self, LayerIndex, Limits},
    store::{Store, TmpDir},
    tree::{Change, Content, Kind, Origin, Tree, What},
};

/// A tar in plain form, and what is in it.
pub(super) struct Tarball {
    pub index: LayerIndex,
    pub path: PathBuf,
    /// Where it lies if it is not kept; removed at the end.
    directory: Option<Arc<TmpDir>>,
}

impl Tarball {
    /// Lays a tar, compressed or not, down in plain form.
    pub fn read(tar: impl Read + Send, store: &Store) -> Result<Self, BuildError> {
        Self::read_by(layer::decompress(tar)?, store, |tar, tee| layer::index(tar, tee))
    }

    /// The same for the context of a build.
    pub fn read_context(tar: impl Read + Send, limits: Limits, store: &Store) -> Result<Self, BuildError> {
        let plain = layer::decompress_within(tar, limits)?;
        Self::read_by(plain, store, |tar, tee| layer::index_context(tar, tee, limits))
    }

    fn read_by<R: Read>(
        tar: R,
        store: &Store,
        index: impl FnOnce(R, Option<&mut dyn Write>) -> Result<LayerIndex, layer::Error>,
    ) -> Result<Self, BuildError> {
        let directory = store.tmp_dir()?;
        let plain = directory.path().join("plain.tar");
        let mut out = BufWriter::new(File::create(&plain).map_err(Problem::io("create", &plain))?);
        let index = index(tar, Some(&mut out))?;
        out.flush().map_err(Problem::io("write", &plain))?;
        Ok(Self {
            index,
            path: plain,
            directory: Some(Arc::new(directory)),
        })
    }

    /// A layer in the store that is not compressed.
    pub fn of_layer(layer: &Layer, index: LayerIndex, store: &Store) -> Self {
        Self {
            index,
            path: store.layout().blob_path(&layer.descriptor.digest),
            directory: None,
        }
    }

    /// One of its directories as if it were all.
    pub fn below(&self, path: &Path) -> Result<Self, BuildError> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let inside = |change: &Change| {
            let what = match &change.what {
                What::HardLink(target) => What::HardLink(target.strip_prefix(path).ok()?.to_owned()),
                other => other.clone(),
            };
            let path = change.path.strip_prefix(path).ok()?.to_owned();
            Some(Change { path, what })
        };
        let changes: Vec<Change> = self.index.changes.iter().filter_map(inside).collect();
        if changes.is_empty() {
            let message = format!("the context has no directory {}", path.display());
            return Err(Problem::Value(message).into());
        }
        Ok(Self {
            index: LayerIndex {
                changes,
                ..self.index.clone()
            },
            path: self.path.clone(),
            directory: self.directory.clone(),
        })
    }

    /// Its files.
    pub fn tree(&self) -> Result<Tree, BuildError> {
        let mut tree = Tree::new();
        tree.apply(&self.index.changes)?;
        Ok(tree)
    }

    /// The bytes of a file, if it is there.
    pub fn bytes(&self, path: &Path) -> Result<Option<Vec<u8>>, BuildError> {
        let tree = self.tree()?;
        let resolved = tree.resolve(path, true)?;
        let Some(Kind::File(content)) = resolved.node.map(|node| &node.kind) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = self.open(content)?.read_to_end(&mut bytes);
        read.map_err(Problem::io("read", &self.path))?;
        Ok(Some(bytes))
    }

    /// Opens one of its files.
    pub fn open(&self, content: &Content) -> Result<impl Read + Send + use<>, BuildError> {
        let at = match content.origin {
            Origin::Layer { offset, .. } => offset,
            _ => 0,
        };
        let file = File::open(&self.path).map_err(Problem::io("read", &self.path))?;
        Ok(Part {
            file,
            at,
            left: content.size,
        })
    }
}

/// Whether something begins with the header of a tar entry, once decompressed. What is broken before that is no
/// archive, but an ordinary file.
pub(super) fn is_tar(file: impl Read + Send) -> bool {
    let Ok(mut plain) = layer::decompress(file) else {
        return false;
    };
    let mut header = tar::Header::new_old();
    let bytes = header.as_mut_bytes();
    if plain.read_exact(bytes).is_err() {
        return false;
    }
    // POSIX pax, ustar: the checksum is the sum of all bytes, with its own field taken as blanks.
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    let field: u32 = bytes[148..156].iter().map(|byte| u32::from(*byte)).sum();
    let expected = sum - field + 8 * u32::from(b' ');
    header.cksum().is_ok_and(|found| found == expected)
}

/// A part of a file.
struct Part {
    file: File,
    at: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
