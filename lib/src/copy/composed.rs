//! An image made of several, and of what is new.

use std::{collections::HashMap, io::Read, sync::Arc};

use super::Source;
use crate::{
    Digest, Reference,
    image::{BlobError, Blobs, Descriptor},
};

/// Blobs of several sources, and new ones, which are looked for first.
pub(crate) struct Composed {
    fresh: Arc<dyn Blobs>,
    sources: Vec<Arc<Source>>,
    /// Which source has a blob.
    homes: HashMap<Digest, usize>,
}

impl Composed {
    pub(crate) fn new(fresh: Arc<dyn Blobs>) -> Self {
        Self {
            fresh,
            sources: Vec::new(),
            homes: HashMap::new(),
        }
    }

    /// Adds a source for these blobs.
    pub(crate) fn add<'a>(&mut self, source: Arc<Source>, blobs: impl IntoIterator<Item = &'a Descriptor>) {
        let place = self.sources.len();
        self.sources.push(source);
        for blob in blobs {
            self.homes.entry(blob.digest).or_insert(place);
        }
    }

    fn source(&self, blob: &Descriptor) -> Option<&Source> {
        let place = self.homes.get(&blob.digest)?;
        self.sources.get(*place).map(|source| &**source)
    }

    /// The repository of a registry that has a blob, as far as that is known.
    pub(super) fn origin(&self, blob: &Descriptor) -> Option<&Reference> {
        match self.fresh.has(blob) {
            Ok(false) => self.source(blob)?.origin(blob),
            _ => None,
        }
    }
}

impl Blobs for Composed {
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        match (self.fresh.open(blob), self.source(blob)) {
            (Err(BlobError::Missing { .. }), Some(source)) => source.blobs().open(blob),
            (opened, _) => opened,
        }
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, BlobError> {
        match self.source(blob) {
            Some(source) if !self.fresh.has(blob)? => source.blobs().has(blob),
            _ => self.fresh.has(blob),
        }
    }
}
