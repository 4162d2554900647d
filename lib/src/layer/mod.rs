//! Layers: tar in and out, digests, compression.
//!
//! One pass over the bytes: somebody [writes](write_tar) a layer's tar into a pipe, and [`ingest`] reads it, digests,
//! indexes, compresses and stores it as it passes, in bounded memory, on all cores, with the same bytes on any number of
//! them. Reading distrusts its input: whatever a stranger's tar holds, the answer is a [`LayerIndex`] or an
//! [`Error`] that names the entry, and nothing is written outside the root.
//!
//! - `tar`: the format itself
//! - `index`: a tar to a list of [`Change`](crate::tree::Change)s with digests and offsets
//! - `saved`: the same on disk, compact
//! - `write`: a list of Changes to a tar
//! - `compress`, `gzip`, `decompress`, `gunzip`: blobs
//! - `limits`: how much a layer may hold
//! - `contents`: where the bytes of files come from; `picker`: some of a layer, in any order
//! - `queue`: what a layer goes through between threads; `pipe`: the same between processes
//! - `disk`: a tar onto the disk, and what an overlay's upper directory says
//! - `xattrs`: which extended attributes are part of an image

mod compress;
mod contents;
mod decompress;
mod disk;
mod error;
mod gunzip;
mod gzip;
mod index;
mod limits;
mod picker;
mod pipe;
mod queue;
mod saved;
mod tar;
#[cfg(test)]
mod tests;
mod write;
mod xattrs;

pub use compress::{Compression, Packed, ingest, pack};
pub use contents::{Contents, LocalContents, Sources};
pub use decompress::{decompress, decompress_within};
pub(crate) use disk::attributes;
pub(crate) use disk::{Found, link, same};
pub use disk::{
    Ids, Standing, Whiteouts, collect_contents, content_path, make_upper, scan_upper, set_times,
    settle_upper, unpack, unpack_contents,
};
pub use error::{Error, TarFault};
pub(crate) use index::{BUFFER, index_buffered, index_context};
pub use index::{LayerIndex, index};
pub use limits::{Limits, TooManyBytes};
pub use pipe::wide_pipe;
pub use queue::{Reader, Writer, queue, read_ahead};
pub use write::write_tar;
pub(crate) use xattrs::belongs_to_image;

/// A plain tar as if its sparse files had been written in full: what an index says of places in it is true of this.
pub(crate) fn written_out<'a>(tar: impl std::io::Read + Send + 'a) -> Box<dyn std::io::Read + Send + 'a> {
    Box::new(tar::Expanded::new(std::io::BufReader::with_capacity(
        index::BUFFER,
        tar,
    )))
}
