//! A filesystem as a value.
//!
//! A [`Tree`] is an inode tree in memory. Ownership, modes, times and extended attributes live here and not in what
//! some disk happens to say, so an unprivileged build can still write the right tar headers. A layer is a list of
//! [`Change`]s: it [applies](Tree::apply) to a Tree, and two Trees [differ](fn@diff) by one.
//!
//! Paths are relative to the root and clean (see [`Change::path`]); the empty path is the root.
//!
//! - `node`: what one inode is
//! - `change`: what one entry of a layer says
//! - `inodes`: the Tree itself: look up, insert, link, remove
//! - `apply`: a layer onto a Tree
//! - `resolve`: paths with symbolic links in them, which never leave the root
//! - `walk`: everything, sorted
//! - `diff`: the layer between two Trees
//! - `saved`: on disk, read as far as somebody looks; `codec`: inodes as bytes
//! - `scan`: a directory of this machine as a Tree, with remembered digests

mod apply;
#[cfg(test)]
pub(crate) mod arbitrary;
mod change;
pub(crate) mod codec;
mod diff;
mod error;
mod inodes;
mod node;
mod resolve;
mod saved;
mod scan;
mod walk;

pub use change::{Change, What};
pub use diff::diff;
pub use error::Error;
pub use inodes::{InodeId, Tree};
pub use node::{Content, Kind, Metadata, Node, Origin};
pub use resolve::Resolved;
pub use scan::{Context, Filter, ScanError, StatCache};
pub use walk::{Walk, Walked};
