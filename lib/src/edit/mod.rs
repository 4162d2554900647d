//! Images changed without a build: layers added, the config changed, a base exchanged, layers made one, several images
//! made one index.
//!
//! An [`Edit`] is an image whose new layers lie in a directory of its own until it is [written](Edit::write_to).
//! Layers that stay are not read: in a registry they are mounted or simply there, elsewhere they are copied.
//!
//! - `value`: [`Edit`]: open, append, write
//! - `fresh`: where new blobs lie
//! - `files`: [`Files`]: files of this machine as a layer
//! - `rebase`: the layers above an old base onto a new one; `merge`: and the config; `conflict`: what speaks against it
//! - `squash`: all layers, or those above a base, made one
//! - `platforms`: [`Platforms`]: several images, one index
//! - `error`: what can go wrong

mod conflict;
mod error;
mod files;
mod fresh;
mod merge;
mod platforms;
mod rebase;
mod squash;
#[cfg(test)]
mod tests;
mod value;

pub use conflict::Conflict;
pub use error::Error;
pub use files::Files;
pub use platforms::Platforms;
pub use rebase::rebase;
pub use value::Edit;
