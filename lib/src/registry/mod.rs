//! Registries: names, logins, pulling and pushing (OCI distribution-spec).
//!
//! From the outside in:
//!
//! - `reference`: names of images, parsed by docker's rules
//! - `client`: [`Registry`] and its settings; everything below is one more group of its methods
//! - `manifest`, `pull`, `push`, `list`: what can be asked of a registry
//! - `download`: files from any web server, by the same rules
//! - `oci`: what of that oci-client asks for us; `lists`: the same where it cannot
//! - `blobs`: a repository as a [`Blobs`](crate::image::Blobs), for code that blocks
//! - `http`: one request, with the login it needs, and every failure put into words
//! - `retry`: which failures are worth another attempt, and when
//! - `registries`: `registries.conf`: mirrors, blocked registries, short names
//! - `host`: one host: HTTP or TLS, which address; `tls`: whom to trust
//! - `auth`: logging in to one host; `challenge`: what it wants to see
//! - `keychain`: credentials, and the trait of those who have them; `docker_config`: docker's and podman's files;
//!   `cloud`, `ecr`: the environment of CI and cloud jobs; `credential_helper`: their programs; `login`: adding to both
//! - `error`: what can go wrong; every error names host, repository and cause
//!
//! # Who does what
//!
//! Two clients speak the protocol, each for what it is good at.
//!
//! [oci-client](oci_client) lists tags and referrers, stands in for the referrers API where a registry has none, and knows
//! the form of the protocol's errors. These are questions with small answers: asked again from the start when they fail.
//! Where a client certificate is to be shown, or a registry is busy, we ask them.
//!
//! Our own requests, through one reqwest client for each host, do what moves images: oci-client cannot be given a client
//! certificate, does not try again nor go on where a transfer broke off, says nothing of progress and of `Retry-After`,
//! and does not probe how a host wants to be spoken to. Logging in is ours as well, since oci-client keeps the reason to
//! itself when it gets no token, and knows no identity tokens: it is handed the tokens that `auth` got from the
//! [`Keychain`]. Both are made when a host is first asked, so that a build that needs no registry pays for neither.

mod auth;
mod blobs;
mod challenge;
mod client;
mod cloud;
mod credential_helper;
mod docker_config;
mod download;
mod ecr;
mod error;
mod host;
mod http;
mod keychain;
mod list;
mod lists;
mod login;
mod manifest;
mod oci;
mod pull;
mod push;
mod reference;
mod registries;
mod retry;
mod tls;

pub use blobs::Repository;
pub use client::{Builder, Registry};
pub use cloud::CloudKeychain;
pub use docker_config::DockerKeychain;
pub(crate) use download::without_password;
pub use download::{Downloaded, Validators};
pub use error::{Cause, Error, Kind};
pub use keychain::{Anonymous, Chain, Credentials, Explicit, Keychain, KeychainError, Secret};
pub use login::LoginFile;
pub use manifest::{Fetched, Resolved};
pub use pull::BlobStream;
pub(crate) use pull::Progress;
pub use push::Source;
pub use reference::{ParseReferenceError, Reference};
pub use retry::Retry;

#[cfg(test)]
mod tests;
