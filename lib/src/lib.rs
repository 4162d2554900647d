//! rbuild: parses Containerfiles and builds OCI images in userspace, with no daemon and no privileges.

pub mod archive;
pub mod build;
pub mod containerfile;
mod digest;
pub mod event;
pub mod exec;
pub mod image;
pub mod layer;
mod locator;
mod plan;
pub mod registry;
pub mod rootfs;
pub mod store;
pub mod tree;

pub use build::{Build, BuildError, Built};
pub use digest::{Digest, Hasher, ParseDigestError};
pub use event::Event;
pub use locator::{Locator, ParseLocatorError, Place};
pub use registry::Reference;
