//! Runs a process whose root file system and ids are given by answers to its system calls.
//!
//! For places where nothing may be mounted and nobody may become another user. A filter in the kernel lets through
//! what needs neither names nor identity; all else is answered here, and `exec` is done under ptrace. A call with
//! pointers is never let through once it was looked at: other threads could change what they point to. Where in doubt,
//! it is refused.
//!
//! - `asked`: [`Asked`], one system call that waits for its answer: its arguments, memory and descriptors
//! - `process`: [`Process`] and [`Family`], the processes of a run, and what each believes of itself
//! - `processors`: where its threads are executed
//! - `who`: [`Who`], ids and capabilities as a process believes to have them
//! - `run`, `start`: a run as its caller sees it; the first process on its way to become the payload
//! - `filter`: which calls the kernel makes at once, which are asked about, and which are refused
//! - `serve`: the thread that answers
//! - `tracer`: the thread that knows all processes and lets them `exec`
//! - `load`: what an `exec` loads
//! - `calls`: one handler for each system call that is answered here

mod asked;
mod calls;
mod filter;
mod load;
mod process;
mod processors;
mod run;
mod serve;
mod start;
mod tracer;
mod who;

#[cfg(test)]
mod tests;

pub(crate) use asked::{Answer, Asked, Reply, errno};
pub(crate) use load::is_static;
pub(crate) use process::{Family, Process};
pub(crate) use processors::Processors;
pub(crate) use run::{Place, run};
pub(crate) use who::{Four, Who};

use std::sync::Arc;

use super::farm::View;

/// What all handlers of a run share. They may be called on several threads at once.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The processes.
    pub family: Family,
    /// The files.
    pub view: Arc<View>,
    /// The name of the machine, as the run sees it.
    pub hostname: String,
    /// Its sockets that have names.
    pub sockets: calls::Sockets,
    /// What it has made of System V IPC.
    pub ipc: calls::Ipc,
    /// Whom it tells of what happens to files.
    pub watches: calls::Watches,
    /// Where its threads are executed.
    pub processors: Processors,
}
