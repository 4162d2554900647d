//! A filesystem as a value.
//!
//! A [`Tree`] is an inode tree in memory. Ownership, modes, times and extended attributes live here and not in what
//! some disk happens to say, so an unprivileged build can still write the right tar headers. A layer is a list of
//! [`Change`]s: it [applies](Tree::apply) to a Tree.
//!
//! - `node`: what one inode is
//! - `change`: what one entry of a layer says

mod change;
mod node;

pub use change::{Change, What};
pub use node::{Content, Kind, Metadata, Node, Origin};
