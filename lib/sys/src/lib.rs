//! The system calls, and a decompressor, that rbuild cannot use through safe wrappers: its only `unsafe` code.
//!
//! - `process`: [`fork`] without `exec`, and [`Child`]
//! - `namespace`: [`unshare`], the loopback interface, the session keyring
//! - `mount`: [`set_mount_attributes`]
//! - [`seccomp`]: filters of system calls, and answers to those that a filter asks about
//! - `ipc`: System V IPC
//! - `landlock`: files given up
//! - `trace`: processes under ptrace
//! - `registers`: what they have in their registers
//! - `memory`: the memory of another process
//! - `descriptor`: descriptors that go from one process to another
//! - `inflate`: gzip members in memory

mod descriptor;
mod inflate;
mod ipc;
mod landlock;
mod memory;
mod mount;
mod namespace;
mod process;
mod registers;
pub mod seccomp;
mod trace;

pub use descriptor::{SENDING, receive_descriptor, send_descriptor};
pub use inflate::{Inflated, Inflater};
pub use ipc::Ipc;
pub use landlock::give_up_files;
pub use memory::{Memory, read_memory, read_string, write_memory};
pub use mount::{MountAttributes, set_mount_attributes};
pub use namespace::{loopback_up, new_session_keyring, unshare};
pub use process::{Child, Ended, Keep, default_signals, fork, launching};
pub use registers::Registers;
pub use trace::{Stop, Tracee};
