//! The tar format, as layers use it (POSIX.1-2001 pax, and what GNU tar and old writers add to it).
//!
//! - `block`: one header block, read and written
//! - `pax`: the records of extended headers
//! - `extended`: what they say about the entry that follows
//! - `names`: paths as tars have them, made safe
//! - `sparse`: files of whose bytes only some are in the tar
//! - `entries`: a stream taken apart, entry by entry
//! - `expanded`: a stream as if no file in it were sparse

mod block;
mod entries;
mod expanded;
mod extended;
mod names;
mod pax;
mod sparse;

pub(super) use block::{BLOCK, Fields, header, padding};
pub(super) use entries::Entries;
pub(super) use expanded::Expanded;
pub(super) use names::{OPAQUE, WHITEOUT};
pub(super) use pax::{XATTR, record};
