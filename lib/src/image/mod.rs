//! Images as values: manifests, configs, indexes. No I/O, but for what a [`Blobs`] is asked for.
//!
//! An [`Image`] is a config and a list of [`Layer`]s. One that was read keeps its bytes and is never written otherwise;
//! one that was changed is encoded anew. Bytes depend on nothing but the values: maps are sorted.
//!
//! - `value`: [`Image`] and its changes: append, configure, encode
//! - `load`: an image out of a [`Blobs`], by descriptor and platform
//! - `config`: the image config, with docker's fields
//! - `manifest`: manifests and indexes (OCI image-spec `manifest.md`, `image-index.md`, and docker's schema 2)
//! - `descriptor`: descriptors and media types
//! - `platform`: names of platforms, and which image serves which
//! - `blobs`: the [`Blobs`] trait and verified reading
//!
//! The structs of `oci-spec` are not used for manifests, since their maps have no order (the same image would get
//! different bytes each time) and they drop fields they do not know; its media types are.

mod blobs;
mod config;
mod descriptor;
mod error;
mod load;
mod manifest;
mod platform;
mod value;

pub use blobs::{BlobError, Blobs, SMALL, Verified, read_small};
pub use config::{Config, ContainerConfig, Healthcheck, History, RootFs};
pub use descriptor::{BASE_DIGEST, BASE_NAME, Descriptor, MediaType, MediaTypeExt, REF_NAME, docker};
pub use error::Error;
pub use load::resolve;
pub(crate) use manifest::is_index;
pub use manifest::{Index, Manifest};
pub use platform::{ParsePlatformError, Platform};
pub(crate) use value::to_json;
pub use value::{Encoded, Image, Layer};

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
