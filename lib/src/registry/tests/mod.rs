//! The client against a registry in this process that can misbehave, and against a real one.

mod download;
mod errors;
mod faults;
mod list;
mod login;
mod mirrors;
mod pull;
mod push;
mod real;

use std::time::Duration;

use rbuild_testutils::registry::TestRegistry;

use super::{Anonymous, Reference, Registry, Retry};
use crate::image::{Descriptor, MediaType};

/// Retries without delay worth noticing.
pub const QUICK: Retry = Retry {
    attempts: 4,
    first_pause: Duration::from_millis(1),
    longest_pause: Duration::from_millis(4),
    longest_asked: Duration::from_secs(5),
};

/// A client without credentials that does not wait long.
pub fn client() -> Registry {
    Registry::builder().keychain(Anonymous).retry(QUICK).build()
}

/// Runs a future on a runtime with one thread, the poorest there is.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

pub fn name(registry: &TestRegistry, rest: &str) -> Reference {
    format!("{}/{rest}", registry.host()).parse().unwrap()
}

pub fn layer(bytes: &[u8]) -> Descriptor {
    Descriptor::of(MediaType::ImageLayerGzip, bytes)
}

/// Bytes that do not repeat soon.
pub fn noise(size: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}
