//! Where the bytes of files come from.

use std::io::Read;

use super::Error;
use crate::{
    Digest,
    tree::{Change, Content},
};

/// Opens the contents of files.
pub trait Contents {
    /// From the first byte on.
    ///
    /// # Errors
    /// When the content is not at hand.
    fn open(&self, content: &Content) -> Result<Box<dyn Read + '_>, Error>;
}

/// Contents on this machine's disk and in memory; none in layers.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalContents;

impl Contents for LocalContents {
    fn open(&self, _content: &Content) -> Result<Box<dyn Read + '_>, Error> {
        unimplemented!()
    }
}

/// Gives the uncompressed tar of a layer, from its first byte on.
pub type OpenLayer<'a> = dyn Fn(&Digest) -> Result<Box<dyn Read + Send + 'a>, Error> + 'a;

/// Contents on disk, in memory and in layers. Each layer is read once, front to back; what is asked for out of order
/// waits in a temporary file.
pub struct Sources<'a> {
    _open: &'a OpenLayer<'a>,
}

impl<'a> Sources<'a> {
    /// For the contents that `changes` need; a layer is opened when something of it is first asked for.
    pub fn new(open: &'a OpenLayer<'a>, _changes: &[Change]) -> Self {
        Self { _open: open }
    }
}

impl Contents for Sources<'_> {
    fn open(&self, _content: &Content) -> Result<Box<dyn Read + '_>, Error> {
        unimplemented!()
    }
}
