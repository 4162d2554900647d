//! The tar format, as layers use it (POSIX.1-2001 pax, and what GNU tar and old writers add to it).
//!
//! - `block`: one header block, read and written
//! - `pax`: the records of extended headers
//! - `names`: paths as tars have them, made safe
//! - `entries`: a stream taken apart, entry by entry

mod block;
mod entries;
mod names;
mod pax;

pub(super) use block::{BLOCK, Fields, header, padding};
pub(super) use entries::Entries;
pub(super) use names::{OPAQUE, WHITEOUT};
pub(super) use pax::{XATTR, record};
