//! Layers: tar in and out, digests, compression.
//!
//! One pass over the bytes: somebody [writes](write_tar) a layer's tar into a pipe, and [`ingest`] reads it, digests,
//! indexes, compresses and stores it as it passes, in bounded memory, on all cores, with the same bytes on any number of
//! them. Reading distrusts its input: whatever a stranger's tar holds, the answer is a [`LayerIndex`] or an
//! [`Error`] that names the entry, and nothing is written outside the root.
//!
//! - `index`: a tar to a list of [`Change`](crate::tree::Change)s with digests and offsets
//! - `write`: a list of Changes to a tar
//! - `compress`, `decompress`: blobs
//! - `contents`: where the bytes of files come from
//! - `unpack`: a tar onto the disk
//! - `upper`: what an overlay's upper directory says

mod compress;
mod contents;
mod decompress;
mod error;
mod index;
mod unpack;
mod upper;
mod write;

pub use compress::{Compression, Packed, ingest};
pub use contents::{Contents, LocalContents, Sources};
pub use decompress::decompress;
pub use error::{Error, TarFault};
pub use index::{LayerIndex, index};
pub use unpack::{Ids, Whiteouts, unpack};
pub use upper::{make_upper, scan_upper, set_times};
pub use write::write_tar;
