//! Filters of system calls, and answers to those that a filter asks about.
//!
//! - `filter`: a [`Filter`] of [`Rule`]s, installed on the calling thread
//! - `listener`: a [`Listener`] receives the [`Call`]s whose verdict is [`Verdict::Notify`], and answers them
//!
//! A supervised child installs its filter with [`Filter::install_listening`] and sends the listener to its parent
//! ([`send_descriptor`](crate::send_descriptor)): nothing that the filter asks about may be needed for that.

mod filter;
mod listener;

pub use filter::{Condition, Filter, Rule, Test, Verdict};
pub use listener::{Call, Listener};
