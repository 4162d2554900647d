//! A tar to a list of changes.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
};

use super::Error;
use crate::{Digest, tree::Change};

/// What a layer holds: all of its tar but the bytes of files, and where in the tar those are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerIndex {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Size of the uncompressed tar in bytes.
    pub size: u64,
    /// In the order of the tar. Files have their digest, and an [`Origin::Layer`](crate::tree::Origin::Layer).
    pub changes: Vec<Change>,
}

impl LayerIndex {
    /// Writes a compact form for [`LayerIndex::load`].
    ///
    /// # Errors
    /// When `out` fails.
    pub fn save(&self, _out: impl Write) -> io::Result<()> {
        unimplemented!()
    }

    /// Reads what [`LayerIndex::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Index`] when it is damaged or of another version, [`Error::Read`] when it cannot be read.
    pub fn load(_from: impl Read) -> Result<Self, Error> {
        unimplemented!()
    }

    /// Directories that the layer has something in but says nothing of. Unpacked by itself, the layer has them as
    /// root's, 0755; in the image they are what lower layers say.
    pub fn implied_directories(&self) -> Vec<PathBuf> {
        unimplemented!()
    }

    /// Hard links to files of lower layers: new name and target. Unpacked by itself, the layer lacks them.
    pub fn foreign_links(&self) -> Vec<(PathBuf, PathBuf)> {
        unimplemented!()
    }
}

/// Reads a plain tar to its very end, and gives every byte to `tee`, if there is one.
///
/// # Errors
/// [`Error::Tar`] for whatever is wrong or unsafe in it, naming the entry.
pub fn index(_tar: impl Read, _tee: Option<&mut dyn Write>) -> Result<LayerIndex, Error> {
    unimplemented!()
}
