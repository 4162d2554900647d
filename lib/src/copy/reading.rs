//! The source's blobs as a copy reads them.

use std::{
    collections::HashMap,
    io::{self, Cursor, Read},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::source::{Home, Source};
use crate::{
    Digest,
    event::{Direction, Moved, Sink},
    image::{BlobError, Blobs, Descriptor, MediaTypeExt, SMALL, Verified},
    registry::Progress,
};

/// Reads from a source: manifests and configs once, with progress where bytes come from a registry, and no more once nobody waits.
pub(super) struct Reading {
    blobs: Arc<dyn Blobs>,
    documents: Mutex<HashMap<Digest, Vec<u8>>>,
    /// Who is told, and the registry's name.
    progress: Option<(Sink, String)>,
    over: Arc<AtomicBool>,
}

/// Ends all reading when dropped.
pub(super) struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Reading {
    /// A push tells how far it is by itself.
    pub(super) fn new(source: &Source, for_push: bool, sink: &Sink) -> Self {
        let progress = match &source.home {
            Home::Registry(from) if !for_push => Some((sink.clone(), from.name())),
            _ => None,
        };
        let known = source.manifest.as_ref();
        let known = known.map(|bytes| (source.descriptor().digest, bytes.to_vec()));
        Self {
            blobs: source.blobs().clone(),
            documents: Mutex::new(known.into_iter().collect()),
            progress,
            over: Arc::default(),
        }
    }

    pub(super) fn guard(&self) -> Guard {
        Guard(self.over.clone())
    }

    /// Tells that a blob need not move.
    pub(super) fn skip(&self, blob: &Descriptor) {
        if !is_document(blob)
            && let Some(progress) = self.start(blob)
        {
            progress.finish(Moved::Existed);
        }
    }

    /// Opens a blob when it is first read, for those who may not block before.
    pub(super) fn later(self: &Arc<Self>, blob: &Descriptor) -> Box<dyn Read + Send> {
        Box::new(Later {
            reading: self.clone(),
            blob: blob.clone(),
            reader: None,
        })
    }

    fn start(&self, blob: &Descriptor) -> Option<Progress> {
        let (sink, place) = self.progress.as_ref()?;
        let (digest, place) = (Some(blob.digest), place.clone());
        Some(Progress::begin(sink, Direction::Pull, digest, blob.size, place))
    }

    /// A manifest is read when its blobs are listed, and when it is moved; a config, when its platform is asked for.
    fn document(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        let known = |bytes: Vec<u8>| Box::new(Verified::new(Cursor::new(bytes), blob, "the image"));
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = documents.get(&blob.digest) {
            return Ok(known(bytes.clone()));
        }
        let mut bytes = Vec::new();
        let read = self.blobs.open(blob)?.read_to_end(&mut bytes);
        read.map_err(|error| BlobError::from_read(error, blob.digest, "the image"))?;
        documents.insert(blob.digest, bytes.clone());
        Ok(known(bytes))
    }
}

impl Blobs for Reading {
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        if is_document(blob) {
            return self.document(blob);
        }
        Ok(Box::new(Counted {
            progress: self.start(blob),
            reader: self.blobs.open(blob)?,
            moved: 0,
            over: self.over.clone(),
        }))
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, BlobError> {
        self.blobs.has(blob)
    }
}

fn is_document(blob: &Descriptor) -> bool {
    let media_type = &blob.media_type;
    blob.size <= SMALL && (media_type.is_manifest() || media_type.is_index() || media_type.is_config())
}

/// Counts what passes.
struct Counted {
    reader: Box<dyn Read + Send>,
    progress: Option<Progress>,
    moved: u64,
    over: Arc<AtomicBool>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.over.load(Ordering::Relaxed) {
            return Err(io::Error::other("the copy was given up"));
        }
        let count = self.reader.read(buffer)?;
        self.moved += count as u64;
        match &mut self.progress {
            Some(progress) if count > 0 => progress.reach(self.moved),
            Some(_) if !buffer.is_empty() => {
                if let Some(progress) = self.progress.take() {
                    progress.finish(Moved::Copied);
                }
            }
            _ => {}
        }
        Ok(count)
    }
}

struct Later {
    reading: Arc<Reading>,
    blob: Descriptor,
    reader: Option<Box<dyn Read + Send>>,
}

impl Read for Later {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => {
                let opened = self.reading.open(&self.blob).map_err(io::Error::other)?;
                self.reader.insert(opened)
            }
        };
        reader.read(buffer)
    }
}
