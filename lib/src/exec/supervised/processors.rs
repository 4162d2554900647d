//! Where the threads of a run are executed.
//!
//! A thread that waits for an answer and the one that gives it take turns, so they are fastest on one processor, which
//! the kernel sees to ([`wake_synchronously`]). It does not when the answer brings a descriptor: then it wakes first
//! the one and then the other on whatever processor is idle, and waking that up takes several times as long as all the
//! rest. So both are kept where they are for as long as it takes.
//!
//! [`wake_synchronously`]: rbuild_sys::seccomp::Listener::wake_synchronously

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity},
};

/// The processors that a run may use.
#[derive(Debug)]
pub(crate) struct Processors {
    all: CpuSet,
    /// Whether it is left to the kernel.
    left: AtomicBool,
}

impl Default for Processors {
    /// Those of the thread that asks.
    fn default() -> Self {
        let all = sched_getaffinity(None);
        let left = all.as_ref().map_or(true, |all| all.count() < 2);
        Self {
            all: all.unwrap_or_else(|_| CpuSet::new()),
            left: left.into(),
        }
    }
}

/// Lets go of two threads in the end.
pub(super) struct Together<'a> {
    processors: &'a Processors,
    thread: Option<Pid>,
}

impl Processors {
    /// Leaves it to the kernel and to the run, which has plans of its own.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    fn are_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// Keeps this thread and one that waits for it on the processor that this one is on.
    pub(super) fn together(&self, thread: i32) -> Option<Together<'_>> {
        let here = sched_getcpu();
        if self.are_left() || here >= CpuSet::MAX_CPU {
            return None;
        }
        let mut one = CpuSet::new();
        one.set(here);
        let together = Together {
            processors: self,
            thread: Pid::from_raw(thread),
        };
        let kept = sched_setaffinity(together.thread, &one).and_then(|()| sched_setaffinity(None, &one));
        if kept.is_err() {
            // Where it may not be done it is not tried again.
            self.leave();
        }
        Some(together)
    }

    /// A new thread has inherited where its parent was kept, but nobody would let go of it.
    pub(super) fn let_go(&self, thread: i32) {
        if !self.are_left() {
            self.free(Pid::from_raw(thread));
        }
    }

    /// The thread may have ended by now.
    fn free(&self, thread: Option<Pid>) {
        let _ = sched_setaffinity(thread, &self.all);
    }
}

impl Drop for Together<'_> {
    fn drop(&mut self) {
        self.processors.free(self.thread);
        self.processors.free(None);
    }
}
