//! What Ctrl-C does: the first signal cancels the work and waits for it to clean up, a second one ends the process.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
};

use anyhow::{Context, Result};
use tokio::{
    signal::unix::{self, SignalKind},
    task::JoinHandle,
};

/// A signal that asks to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The terminal went away.
    Hangup,
    /// Ctrl-C.
    Interrupt,
    /// `kill`.
    Terminate,
}

impl Signal {
    /// 128 and the signal's number, as shells have it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Hangup => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hangup => "SIGHUP",
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// Watches for signals until dropped.
pub struct Watch {
    first: Arc<OnceLock<Signal>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// The first signal calls `cancel`, the second one `leave`, and ends the process.
    pub fn start(
        cancel: impl FnOnce() + Send + 'static,
        leave: impl FnOnce() + Send + 'static,
    ) -> Result<Self> {
        let mut signals = Signals::new().context("cannot watch for signals")?;
        let first = Arc::new(OnceLock::new());
        let seen = Arc::clone(&first);
        let task = tokio::spawn(async move {
            let signal = signals.next().await;
            let _ = seen.set(signal);
            cancel();
            let again = signals.next().await;
            leave();
            std::process::exit(again.exit_code().into());
        });
        Ok(Self { first, task })
    }

    /// The first signal, if one came.
    pub fn seen(&self) -> Option<Signal> {
        self.first.get().copied()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Signals {
    hangup: unix::Signal,
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: unix::signal(SignalKind::hangup())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Hangup,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}
