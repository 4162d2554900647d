//! Filters of system calls.
//!
//! - `filter`: a [`Filter`] of [`Rule`]s, installed on the calling thread

mod filter;

pub use filter::{Condition, Filter, Rule, Test, Verdict};
