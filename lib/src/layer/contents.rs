//! Where the bytes of files come from.

use std::{
    cell::{RefCell, RefMut},
    collections::{BTreeMap, HashMap, hash_map::Entry::Vacant},
    fs::File,
    io::{self, BufReader, Cursor, Read},
    path::Path,
};

use super::{Error, index::BUFFER, picker::Picker, tar::Expanded};
use crate::{
    Digest,
    tree::{Change, Content, Kind, Node, Origin, What},
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
    fn open(&self, content: &Content) -> Result<Box<dyn Read + '_>, Error> {
        match &content.origin {
            Origin::Disk(path) => Ok(Box::new(open(path)?)),
            Origin::Memory(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
            Origin::Layer { diff_id, .. } => Err(Error::NoSuchLayer(*diff_id)),
        }
    }
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(Error::disk("cannot open", path))
}

/// Gives the uncompressed tar of a layer, from its first byte on.
pub type OpenLayer<'a> = dyn Fn(&Digest) -> Result<Box<dyn Read + Send>, Error> + 'a;

/// Contents on disk, in memory and in layers. Each layer is read once, front to back, as far as it is needed; what is
/// asked for later than it passes waits in a temporary file. So the cheapest order is that of the layers.
///
/// One content at a time: the next can be opened when the one before is dropped.
pub struct Sources<'a> {
    open: &'a OpenLayer<'a>,
    /// What is needed of each layer: how often, by offset and size.
    needed: HashMap<Digest, BTreeMap<(u64, u64), usize>>,
    layers: RefCell<HashMap<Digest, Picker>>,
}

impl<'a> Sources<'a> {
    /// For the contents that `changes` need; a layer is opened when something of it is first asked for.
    pub fn new(open: &'a OpenLayer<'a>, changes: &[Change]) -> Self {
        let mut needed: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        for change in changes {
            if let What::Node(Node {
                kind: Kind::File(content),
                ..
            }) = &change.what
                && let Origin::Layer { diff_id, offset } = content.origin
            {
                *needed
                    .entry(diff_id)
                    .or_default()
                    .entry((offset, content.size))
                    .or_default() += 1;
            }
        }
        Self {
            open,
            needed,
            layers: RefCell::default(),
        }
    }
}

impl Contents for Sources<'_> {
    fn open(&self, content: &Content) -> Result<Box<dyn Read + '_>, Error> {
        let Origin::Layer { diff_id, offset } = content.origin else {
            return LocalContents.open(content);
        };
        let busy = |_| Error::Read(io::Error::from(io::ErrorKind::ResourceBusy));
        let mut layers = self.layers.try_borrow_mut().map_err(busy)?;
        if let Vacant(place) = layers.entry(diff_id) {
            let needed = self.needed.get(&diff_id).ok_or(Error::NoSuchLayer(diff_id))?;
            let tar = BufReader::with_capacity(BUFFER, (self.open)(&diff_id)?);
            place.insert(Picker::new(Box::new(Expanded::new(tar)), needed.clone()));
        }
        let picker = RefMut::filter_map(layers, |layers| layers.get_mut(&diff_id));
        let mut picker = picker.map_err(|_| Error::NoSuchLayer(diff_id))?;
        picker.seek(offset, content.size)?;
        Ok(Box::new(Picked(picker)))
    }
}

/// The content that was last asked for.
struct Picked<'a>(RefMut<'a, Picker>);

impl Read for Picked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}
