//! The command as a user sees it: what it prints, whole, and what it exits with.
//!
//! - `common`: runs the command in surroundings of its own
//! - `commands`: all but `build`

mod commands;
mod common;
