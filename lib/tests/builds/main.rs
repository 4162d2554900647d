//! Builds, as a program that uses the library sees them.
//!
//! - `cache`: what is done again, and why
//! - `property`: cached equals uncached, for random builds
//! - `common`: contexts, builds, and what came of them in words
//! - `language`: what each rule of the Containerfile language yields
//! - `registry`: what moves from and to a registry, and what does not
//! - `leftovers`: what must not stay behind
//! - `crash`: builds that are killed, and builds side by side
//! - `elsewhere`: caches that machines share
//! - `manager`: the example of an app manager
//! - `embed`: several builds in one process, cancelled and dropped
//! - `emulated`: programs of another machine
//! - `foreign`: layers as some tools make them
//! - `secrets`: nothing keeps a secret
//! - `supervised`: the same without mounts
//! - `user`: the same as an ordinary user
//! - `corpus`: the same in every kind of place

mod cache;
mod common;
mod corpus;
mod crash;
mod elsewhere;
mod embed;
mod emulated;
mod foreign;
mod language;
mod leftovers;
mod manager;
mod property;
mod registry;
mod secrets;
mod supervised;
mod user;
