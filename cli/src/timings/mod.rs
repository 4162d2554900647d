//! `--timings`: where the time of a build went, as one page for a browser.
//!
//! - `record`: what happened when, from the build's events
//! - `path`: which steps and transfers the build waited for
//! - `cpu`: how much of the processors it used
//! - `page`: the page, which needs nothing beside itself

mod cpu;
mod page;
mod path;
mod record;

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::{Context, Result};
use rbuild::Event;

use cpu::Sampler;
use record::Record;

/// Notes what happens, for a page at the end.
#[derive(Clone)]
pub struct Timings(Arc<Inner>);

struct Inner {
    file: PathBuf,
    begun: Instant,
    record: Mutex<Record>,
    sampler: Sampler,
}

impl Timings {
    /// A page that will be written to this file; `what` is built.
    pub fn start(file: PathBuf, what: String) -> Self {
        Self(Arc::new(Inner {
            file,
            begun: Instant::now(),
            record: Mutex::new(Record::new(what)),
            sampler: Sampler::start(),
        }))
    }

    /// Something happened now.
    pub fn event(&self, event: &Event) {
        let now = self.0.begun.elapsed();
        self.record().event(now, event);
    }

    /// Writes the page.
    pub fn write(&self, succeeded: bool) -> Result<()> {
        let samples = self.0.sampler.finish();
        let end = self.0.begun.elapsed();
        let page = page::html(&self.record(), &samples, end, succeeded);
        let file = &self.0.file;
        fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
