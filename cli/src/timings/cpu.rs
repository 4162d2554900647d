//! How much of the processors a build uses: of this process and of all that it started.

use std::{
    fs,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(100);
/// What /proc counts in: Linux says 100 a second to every program.
const TICKS: f64 = 100.0;

/// Seconds of processor time used so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Since the start.
    pub at: Duration,
    pub used: f64,
}

/// A thread that looks.
pub struct Sampler(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    samples: Vec<Sample>,
    ended: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sampler {
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        // Without the thread there is no curve, and that is all.
        let _ = thread::Builder::new().spawn(move || watch(&of_thread));
        Self(shared)
    }

    /// Ends the thread; what it saw.
    pub fn finish(&self) -> Vec<Sample> {
        let mut state = self.0.state();
        state.ended = true;
        self.0.wake.notify_all();
        std::mem::take(&mut state.samples)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.finish();
    }
}

fn watch(shared: &Shared) {
    let begun = Instant::now();
    let first = used(std::process::id());
    let mut state = shared.state();
    while !state.ended {
        drop(state);
        let used = used(std::process::id()) - first;
        state = shared.state();
        if state.ended {
            return;
        }
        // Whose parent does not ask after it takes its time along: what was used is still used.
        let before = state.samples.last().map_or(0.0, |sample| sample.used);
        state.samples.push(Sample {
            at: begun.elapsed(),
            used: used.max(before),
        });
        let waited = shared.wake.wait_timeout(state, EVERY);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Of a process, of all below it, and of those below it that have ended.
fn used(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    children(process).into_iter().map(used).sum::<f64>() + own(&stat)
}

/// proc_pid_stat(5): fields 14 to 17, counted after the name, which may hold anything.
fn own(stat: &str) -> f64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let times = fields.split_whitespace().skip(11).take(4);
    times.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// proc_tid_children(5). Where the kernel does not have it, only what has ended counts.
fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten();
    let mut children = Vec::new();
    for thread in threads.flatten() {
        let listed = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.extend(listed.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
    }
    children
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_says() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 20 30 20 0 1 0 5 1 1";
        assert_eq!(own(stat), 2.5);
        assert_eq!(own(""), 0.0);
    }

    #[test]
    fn what_was_used_only_grows() {
        let sampler = Sampler::start();
        while sampler.0.state().samples.len() < 2 {
            thread::yield_now();
        }
        let samples = sampler.finish();
        assert!(samples.is_sorted_by_key(|sample| sample.used));
    }
}
