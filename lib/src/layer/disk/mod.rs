//! Layers on the disk, as lower and upper directories of an overlay mount.
//!
//! What is here runs in a forked child where there is no other way to have the image's user ids: it spawns no threads,
//! and does not touch the environment, the working directory or the standard streams.
//!
//! - `directories`: places below a root, reached by descriptors and never through a symbolic link
//! - `unpack`: a tar to a lower directory
//! - `place`: one inode of it
//! - `upper`: an upper directory to changes
//! - `settle`: an upper directory to a lower one
//! - `attributes`: extended attributes of files, read and set

mod attributes;
mod directories;
mod place;
mod settle;
mod unpack;
mod upper;

pub use settle::settle_upper;
pub use unpack::{Ids, Whiteouts, unpack};
pub use upper::{make_upper, scan_upper, set_times};
