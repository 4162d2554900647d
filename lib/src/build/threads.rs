//! Work that blocks, in threads of its own.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::error::{BuildError, Problem};
use crate::exec::Cancel;

/// The threads of one build. The build is over once all of them are.
#[derive(Clone)]
pub(super) struct Threads {
    /// Ends the processes of this build.
    pub cancel: Cancel,
    /// Every thread holds one.
    busy: Arc<Mutex<Option<mpsc::Sender<()>>>>,
}

/// Knows when all threads of a build are done.
pub(super) struct Idle(mpsc::Receiver<()>);

impl Threads {
    /// None yet.
    pub fn new() -> Result<(Self, Idle), BuildError> {
        let cancel = Cancel::new().map_err(Problem::io("create", "a pipe"))?;
        let (sender, receiver) = mpsc::channel(1);
        let busy = Arc::new(Mutex::new(Some(sender)));
        Ok((Self { cancel, busy }, Idle(receiver)))
    }

    /// Does blocking work in another thread.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
    ) -> Result<T, BuildError> {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.cancel.is_cancelled() {
            return Err(Problem::Cancelled.into());
        }
        let work = move || {
            let _busy = busy;
            work()
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| Problem::Thread(error.to_string()))?
    }

    /// Begins work that nobody waits for but [`end`](Self::end).
    pub fn start(&self, work: impl FnOnce() + Send + 'static) {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tokio::task::spawn_blocking(move || {
            let _busy = busy;
            work();
        });
    }

    /// Waits for the end of all threads; there will be no more.
    pub async fn end(&self, mut idle: Idle) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).take();
        while idle.0.recv().await.is_some() {}
    }
}
