//! Ends runs from other threads.

use std::{
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, PoisonError},
};

/// Ends the runs that it was given to. Clones are the same handle.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<Pipe>);

/// Cancelled once the writer is gone: the reader then is at its end, for everyone who polls it.
#[derive(Debug)]
struct Pipe {
    reader: PipeReader,
    writer: Mutex<Option<PipeWriter>>,
}

impl Cancel {
    /// A handle that has not been used.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self(Arc::new(Pipe {
            reader,
            writer: Mutex::new(Some(writer)),
        })))
    }

    /// Ends all runs with this handle, those to come too; they return [`Error::Cancelled`](super::Error::Cancelled).
    pub fn cancel(&self) {
        self.0
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
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
