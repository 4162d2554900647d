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
//! - `contents`: a tar to its files' bytes, for roots that are made without mounts
//! - `links`: which names of changed inodes go into a layer
//! - `attributes`: extended attributes of files, read and set

pub(crate) mod attributes;
mod contents;
mod directories;
mod links;
mod place;
mod settle;
mod unpack;
mod upper;

pub use contents::{Standing, collect_contents, content_path, unpack_contents};
pub(crate) use links::{Found, link};
pub use settle::settle_upper;
pub use unpack::{Ids, Whiteouts, unpack};
pub(crate) use upper::same;
pub use upper::{make_upper, scan_upper, set_times};
