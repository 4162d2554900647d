//! Builds, as a program that uses the library sees them.
//!
//! - `common`: contexts, builds, and what came of them in words
//! - `language`: what each rule of the Containerfile language yields
//! - `user`: the same as an ordinary user

mod common;
mod language;
mod user;
