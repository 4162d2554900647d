//! Images as directories that ordinary tools edit, and back: umoci's runtime bundles.
//!
//! ```text
//! rootfs/                  the files
//! config.json              for an OCI runtime
//! umoci.json               which image this was
//! sha256_HEX.mtree         what the files were like, to see what changed
//! ```
//!
//! Who may not give files away owns all of them, and may read and write them; owners, modes and devices are those of
//! the image's [`Tree`](crate::tree::Tree), and of the attribute `user.rootlesscontainers`, which umoci heeds, too. A
//! bundle made by either can be made an image by the other.
//!
//! - `unpack`: an image to a directory; `write`: one tree onto the disk
//! - `repack`: what changed, as a layer
//! - `disk`: what is in a directory
//! - `mtree`: BSD's list of what files are like; `vis`: names in it
//! - `owner`: the attribute `user.rootlesscontainers`
//! - `meta`: `umoci.json`
//! - `runtime`: `config.json`
//! - `error`: what can go wrong

mod disk;
mod error;
mod meta;
mod mtree;
mod owner;
mod repack;
mod runtime;
#[cfg(test)]
mod tests;
mod unpack;
mod vis;
mod write;

pub use error::Error;
pub use meta::Bundle;
pub use repack::{Repack, repack};
pub use unpack::{unpack, unpack_files};
