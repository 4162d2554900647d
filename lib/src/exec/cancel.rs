//! Ends runs from other threads.

use std::{
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

/// Ends the runs that it was given to. Clones are the same handle.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<Pipe>);

/// Cancelled once the writer is gone: the reader then is at its end, for everyone who polls it.
#[derive(Debug)]
struct Pipe {
    reader: PipeReader,
    writer: Mutex<Option<PipeWriter>>,
    /// Wakes those who wait in async code.
    cancelled: watch::Sender<bool>,
}

impl Cancel {
    /// A handle that has not been used.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self(Arc::new(Pipe {
            reader,
            writer: Mutex::new(Some(writer)),
            cancelled: watch::Sender::new(false),
        })))
    }

    /// Ends all runs with this handle, those to come too; they return [`Error::Cancelled`](super::Error::Cancelled).
    pub fn cancel(&self) {
        self.0
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.0.cancelled.send_replace(true);
    }

    /// Waits until [`cancel`](Self::cancel) is called.
    pub async fn cancelled(&self) {
        // The sender lives as long as this handle, so waiting cannot fail.
        let _ = self
            .0
            .cancelled
            .subscribe()
            .wait_for(|cancelled| *cancelled)
            .await;
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }
}

impl AsFd for Cancel {
    /// Readable once cancelled.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.reader.as_fd()
    }
}
