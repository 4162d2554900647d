//! A repository as a place to read blobs from, for code that blocks.

use std::{
    io::{self, Read},
    sync::mpsc as blocking,
};

use bytes::Bytes;
use tokio::{runtime::Handle, sync::mpsc};

use super::{
    Error, Reference, Registry,
    pull::{BlobStream, Progress},
};
use crate::{
    event::{Direction, Moved, Sink},
    exec::Cancel,
    image::{BlobError, Blobs, Descriptor, MediaTypeExt, Verified},
};

/// Pieces that may have come before they are read.
const AHEAD: usize = 16;

/// A repository whose blobs and manifests are read on demand, from threads that may block.
///
/// What it opens is fetched by tasks on the runtime that it was made in; its methods wait for them, so they must not be called from
/// a task.
#[derive(Clone)]
pub struct Repository {
    registry: Registry,
    at: Reference,
    runtime: Handle,
    sink: Option<Sink>,
    cancel: Option<Cancel>,
}

impl Registry {
    /// The repository of `at`, to be read from blocking threads.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn repository(&self, at: &Reference) -> Repository {
        Repository {
            registry: self.clone(),
            at: at.without_selector(),
            runtime: Handle::current(),
            sink: None,
            cancel: None,
        }
    }
}

impl Repository {
    /// Tells of every blob that it opens.
    pub fn telling(mut self, sink: Sink) -> Self {
        self.sink = Some(sink);
        self
    }

    /// What it opens ends early when this is cancelled.
    pub fn cancelled_by(mut self, cancel: Cancel) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// Does `work` in the runtime, and waits for it.
    fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (sender, receiver) = blocking::channel();
        self.runtime.spawn(async move { sender.send(work.await) });
        receiver.recv().ok()
    }

    fn failed(&self, blob: &Descriptor, error: Option<Error>) -> BlobError {
        let (digest, place) = (blob.digest, self.at.to_string());
        match error {
            Some(error) if error.is_not_found() => BlobError::Missing { digest, place },
            Some(error) => BlobError::Place {
                digest,
                place,
                source: error.into(),
            },
            None => BlobError::Place {
                digest,
                place,
                source: "its runtime has ended".into(),
            },
        }
    }
}

impl Blobs for Repository {
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        // Manifests are no blobs to a registry.
        if blob.media_type.is_manifest() || blob.media_type.is_index() {
            let (registry, at) = (self.registry.clone(), self.at.with_digest(blob.digest));
            return match self.wait(async move { registry.manifest(&at).await }) {
                Some(Ok(manifest)) => Ok(Box::new(Verified::new(
                    io::Cursor::new(manifest.bytes),
                    blob,
                    self.at.to_string(),
                ))),
                failed => Err(self.failed(blob, failed.and_then(Result::err))),
            };
        }
        let stream = self.registry.blob_stream(&self.at, blob);
        let progress = self
            .sink
            .as_ref()
            .map(|sink| Progress::start(sink, Direction::Pull, blob.into(), &self.at));
        let (sender, receiver) = mpsc::channel(AHEAD);
        let (cancel, closed) = (self.cancel.clone(), sender.clone());
        self.runtime.spawn(async move {
            let cancelled = async {
                match &cancel {
                    Some(cancel) => cancel.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = receive(stream, sender, progress) => {}
                () = closed.closed() => {}
                () = cancelled => {}
            }
        });
        Ok(Box::new(BlobReader {
            receiver,
            repository: self.clone(),
            blob: blob.clone(),
            current: Bytes::new(),
            ended: false,
        }))
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, BlobError> {
        let (registry, at, digest) = (self.registry.clone(), self.at.clone(), blob.digest);
        match self.wait(async move { registry.has_blob(&at, digest).await }) {
            Some(Ok(there)) => Ok(there),
            failed => Err(self.failed(blob, failed.and_then(Result::err))),
        }
    }
}

/// Passes on what comes, to its end or an error.
async fn receive(
    mut stream: BlobStream,
    sender: mpsc::Sender<Result<Option<Bytes>, Error>>,
    mut progress: Option<Progress>,
) {
    loop {
        let item = stream.next().await;
        let goes_on = matches!(item, Ok(Some(_)));
        if let Some(progress) = &mut progress {
            progress.reach(stream.received());
        }
        if let Some(progress) = progress.take_if(|_| matches!(item, Ok(None))) {
            progress.finish(Moved::Copied);
        }
        if sender.send(item).await.is_err() || !goes_on {
            return;
        }
    }
}

/// Reads what a task receives; the task ends when this is dropped.
struct BlobReader {
    receiver: mpsc::Receiver<Result<Option<Bytes>, Error>>,
    repository: Repository,
    blob: Descriptor,
    current: Bytes,
    ended: bool,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended && !buffer.is_empty() {
            match self.receiver.blocking_recv() {
                Some(Ok(Some(bytes))) => self.current = bytes,
                Some(Ok(None)) => self.ended = true,
                Some(Err(error)) => {
                    return Err(io::Error::other(self.repository.failed(&self.blob, Some(error))));
                }
                None => return Err(io::Error::other(self.repository.failed(&self.blob, None))),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}
