//! One handler for each system call that is answered here.
//!
//! - `ids`: users and groups; `capabilities`: those of processes
//! - `signals`: what concerns other processes, which must be the run's own
//! - `named`: paths and descriptors among the arguments; `open`, `stat`, `names`, `owners`, `xattrs`, `cwd`: files
//! - `inotify`: watches on files
//! - `ipc`: shared memory, semaphores, message queues
//! - `sockets`: those that have names; `datagrams`: those of them for messages
//! - `own`: what a process says or asks about itself

mod capabilities;
mod cwd;
mod datagrams;
mod ids;
mod inotify;
mod ipc;
mod named;
mod names;
mod open;
mod own;
mod owners;
mod signals;
mod sockets;
mod stat;
mod xattrs;

pub(super) use inotify::MARKER;
pub(crate) use {inotify::Watches, ipc::Made as Ipc, sockets::Sockets};

use super::{Asked, Reply};

/// Answers a system call.
pub(crate) type Handler = fn(&Asked<'_>) -> Reply;

/// System calls, and what answers them. Those in no table, and not let through by the filter, fail with ENOSYS.
pub(crate) type Table = &'static [(nix::libc::c_long, Handler)];

/// All tables.
pub(crate) const TABLES: &[Table] = &[
    ids::TABLE,
    capabilities::TABLE,
    signals::TABLE,
    own::TABLE,
    open::TABLE,
    stat::TABLE,
    names::TABLE,
    owners::TABLE,
    xattrs::TABLE,
    cwd::TABLE,
    inotify::TABLE,
    ipc::TABLE,
    sockets::TABLE,
    datagrams::TABLE,
];
