//! Runs the process of a `RUN` in a root file system made of layers.
//!
//! Two views make a container: a *root view* (what `/` is) and an *identity view* (who owns what, who am I). The kernel
//! gives both where it may: an overlay in a mount namespace, and the ids of real root or of a user namespace with a range
//! of subordinate ids. Where it may not, both are answers to system calls. [`Engine::probe`] tries what this machine
//! allows.
//!
//! - `engine`: [`Engine`], what the rest of the crate holds
//! - `spec`: [`RunSpec`], what to run, and [`Outcome`], how it ended
//! - `cancel`: [`Cancel`], ends runs from other threads
//! - `probe`, `ids`: what this machine allows; whose numbers a run's users have
//! - `survey`: [`Survey`], what this machine gives and withholds, for people to read
//! - `run`, `child`: a run as its parent sees it; children and what they report
//! - `inside`: a run as its children see it
//! - `foreign`: programs of other machines, and what runs them here
//! - `farm`: root file systems that need no mounts
//! - `supervised`: root and ids by answers to system calls, where nothing else is allowed
//! - `error`: [`Error`], and [`Missing`]: why this machine cannot run anything, and what to do about it

mod cancel;
mod child;
mod engine;
mod error;
pub(crate) mod farm;
mod foreign;
mod ids;
mod inside;
mod probe;
mod run;
mod spec;
mod supervised;
mod survey;

pub use crate::layer::Whiteouts;
pub use cancel::Cancel;
pub use engine::{Engine, Isolation, ProbeConfig};
pub use error::{Error, Missing};
pub use spec::{Mount, MountKind, Network, Outcome, RunSpec, Stack, User};
pub use survey::{Finding, Survey};

#[cfg(test)]
pub(crate) mod tests;
