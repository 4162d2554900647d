//! Registries: names, logins, pulling and pushing (OCI distribution-spec).
//!
//! From the outside in:
//!
//! - `reference`: names of images, parsed by docker's rules
//! - `client`: [`Registry`] and its settings; everything below is one more group of its methods
//! - `manifest`, `pull`, `push`, `list`: what can be asked of a registry
//! - `blobs`: a repository as a [`Blobs`](crate::image::Blobs), for code that blocks
//! - `http`: one request, with the login it needs, and every failure put into words
//! - `retry`: which failures are worth another attempt, and when
//! - `host`: one host: HTTP or TLS, which address; `tls`: whom to trust
//! - `auth`: logging in to one host; `challenge`: what it wants to see
//! - `keychain`: credentials, and the trait of those who have them; `docker_config`: docker's and podman's files;
//!   `credential_helper`: their programs
//! - `error`: what can go wrong; every error names host, repository and cause
//!
//! All requests go through one client for each host, made when the host is first needed. That client is reqwest's: registry
//! libraries bring a second login path and a second pool, and leave no room for client certificates, `Retry-After` and resumed
//! transfers.

mod auth;
mod blobs;
mod challenge;
mod client;
mod credential_helper;
mod docker_config;
mod error;
mod host;
mod http;
mod keychain;
mod list;
mod manifest;
mod pull;
mod push;
mod reference;
mod retry;
mod tls;

pub use blobs::Repository;
pub use client::{Builder, Registry};
pub use docker_config::DockerKeychain;
pub use error::{Cause, Error, Kind};
pub use keychain::{Anonymous, Chain, Credentials, Explicit, Keychain, KeychainError, Secret};
pub use manifest::{Fetched, Resolved};
pub use pull::BlobStream;
pub use push::Source;
pub use reference::{ParseReferenceError, Reference};
pub use retry::Retry;

#[cfg(test)]
mod tests;
