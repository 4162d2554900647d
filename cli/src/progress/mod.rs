//! What a build shows while it works, on standard error.
//!
//! Events come from any thread. A [`Renderer`] turns them into text, one per mode; it is told the time and reads no
//! clock, so that recorded events always give the same text.
//!
//! - `plain`: a line for each event, for logs
//! - `json`: an object for each event, for programs
//! - `live`: a few lines redrawn in place, for people; `screen` moves the cursor for it
//! - `lines`: the output of a process cut into lines
//! - `words`, `transfers`: what plain and live share

mod json;
mod lines;
mod live;
mod plain;
mod screen;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod tests;
mod transfers;
mod words;

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rbuild::Event;

use crate::{
    cli::ProgressMode,
    style::{self, Style},
};

/// How often the live display is redrawn, so that its clocks move.
const TICK: Duration = Duration::from_millis(100);

/// Turns events into text.
trait Renderer: Send {
    /// Something happened, this long after the start.
    fn event(&mut self, event: &Event, now: Duration, out: &mut dyn Write) -> io::Result<()>;
    /// Time has passed.
    fn tick(&mut self, _now: Duration, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
    /// Nothing more will happen: leave the terminal as it was found.
    fn finish(&mut self, _now: Duration, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

/// The progress display of one command. Clones share it.
#[derive(Clone)]
pub struct Progress(Arc<Shared>);

struct Shared {
    start: Instant,
    state: Mutex<State>,
}

struct State {
    renderer: Option<Box<dyn Renderer>>,
    out: Box<dyn Write + Send>,
    /// Lines begin with the time.
    timestamps: bool,
    /// Dropped to stop the thread that ticks.
    ticker: Option<mpsc::Sender<()>>,
}

impl Progress {
    /// A display in this mode; none at all if `quiet`.
    pub fn new(mode: ProgressMode, quiet: bool) -> Self {
        let live = match mode {
            ProgressMode::Tty => true,
            ProgressMode::Auto => io::stderr().is_terminal() && !style::dumb(),
            ProgressMode::Plain | ProgressMode::Json => false,
        };
        let renderer: Option<Box<dyn Renderer>> = match mode {
            _ if quiet => None,
            ProgressMode::Json => Some(Box::new(json::Json::default())),
            _ if live => Some(Box::new(live::Live::new(
                Style::of_stderr(),
                screen::size_of_stderr,
            ))),
            _ => Some(Box::new(plain::Plain::default())),
        };
        let progress = Self::of(renderer, Box::new(io::stderr()));
        if live && !quiet {
            progress.start_ticking();
        }
        progress
    }

    /// A line for each event, written here.
    pub fn plain_to(out: impl Write + Send + 'static) -> Self {
        Self::of(Some(Box::new(plain::Plain::default())), Box::new(out))
    }

    fn of(renderer: Option<Box<dyn Renderer>>, out: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Shared {
            start: Instant::now(),
            state: Mutex::new(State {
                renderer,
                out,
                timestamps: false,
                ticker: None,
            }),
        }))
    }

    /// Begins each line with the time, for logs.
    pub fn with_timestamps(self) -> Self {
        self.lock().timestamps = true;
        self
    }

    /// Shows an event. A standard error that cannot be written to does not stop the build.
    pub fn event(&self, event: &Event) {
        self.lock().show(self.0.start.elapsed(), |renderer, now, out| {
            renderer.event(event, now, out)
        });
    }

    /// Ends the display and leaves the terminal as it was found; what comes later is not shown.
    pub fn finish(&self) {
        self.lock().finish(self.0.start.elapsed());
    }

    fn start_ticking(&self) {
        let (stop, stopped) = mpsc::channel();
        self.lock().ticker = Some(stop);
        let shared = Arc::downgrade(&self.0);
        thread::spawn(move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                let Some(shared) = shared.upgrade() else { return };
                Self(shared).tick();
            }
        });
    }

    fn tick(&self) {
        self.lock().show(self.0.start.elapsed(), |renderer, now, out| {
            renderer.tick(now, out)
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Renders into memory, and writes all of it at once.
    fn show(
        &mut self,
        now: Duration,
        render: impl FnOnce(&mut dyn Renderer, Duration, &mut dyn Write) -> io::Result<()>,
    ) {
        let Some(renderer) = &mut self.renderer else {
            return;
        };
        let mut text = Vec::new();
        let _ = render(&mut **renderer, now, &mut text);
        if self.timestamps {
            let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ ").to_string();
            let lines = text.split_inclusive(|byte| *byte == b'\n');
            text = lines.flat_map(|line| [time.as_bytes(), line].concat()).collect();
        }
        if !text.is_empty() {
            let _ = self.out.write_all(&text);
        }
    }

    fn finish(&mut self, now: Duration) {
        self.ticker = None;
        self.show(now, |renderer, now, out| renderer.finish(now, out));
        self.renderer = None;
    }
}

/// A panic must not leave the terminal without a cursor.
impl Drop for Shared {
    fn drop(&mut self) {
        let now = self.start.elapsed();
        self.state
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .finish(now);
    }
}
