//! The system calls that rbuild cannot make through safe wrappers, and its only `unsafe` code.
//!
//! - `process`: [`fork`] without `exec`, and [`Child`]
//! - `namespace`: [`unshare`], the loopback interface, the session keyring
//! - `mount`: [`set_mount_attributes`]
//! - [`seccomp`]: filters of system calls

mod mount;
mod namespace;
mod process;
pub mod seccomp;

pub use mount::{MountAttributes, set_mount_attributes};
pub use namespace::{loopback_up, new_session_keyring, unshare};
pub use process::{Child, Ended, Keep, default_signals, fork, launching};
