//! Registries: names, logins, pulling and pushing.
//!
//! - `reference`: names of images, parsed by docker's rules
//! - `keychain`: credentials, and the trait of those who have them
//! - `error`: what can go wrong; every error names host, repository and cause

mod error;
mod keychain;
mod reference;

pub use error::{Cause, Error, Kind};
pub use keychain::{Anonymous, Chain, Credentials, Explicit, Keychain, KeychainError, Secret};
pub use reference::{ParseReferenceError, Reference};
