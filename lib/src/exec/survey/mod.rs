//! What this machine gives and what it withholds, for people who want to know why a build can or cannot run things.
//!
//! - `surroundings`: what can be read: ids, flags, settings, programs
//! - `trials`: namespaces, mounts, overlays, by trying
//! - `supervision`: answers to other processes' system calls, their memory, ptrace, by trying
//!
//! [`Engine::probe`] decides by trying; nothing that is only read here has a say in that.

pub(super) mod supervision;
mod surroundings;
mod trials;

use super::{Engine, Error, ProbeConfig};

/// What was found, and what comes of it.
#[derive(Debug)]
pub struct Survey {
    /// In the order in which they are of interest.
    pub findings: Vec<Finding>,
    /// What would run processes.
    pub engine: Result<Engine, Error>,
}

/// One thing about this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about; stays the same from version to version.
    pub name: &'static str,
    /// Whether it is there or works; `None` if that is not the question.
    pub state: Option<bool>,
    /// Values, and why something does not work.
    pub detail: String,
}

impl Finding {
    fn new(name: &'static str, state: Option<bool>, detail: impl Into<String>) -> Self {
        Self {
            name,
            state,
            detail: detail.into(),
        }
    }

    /// A thing that was tried.
    fn tried(name: &'static str, result: Result<impl Into<String>, String>) -> Self {
        match result {
            Ok(detail) => Self::new(name, Some(true), detail),
            Err(reason) => Self::new(name, Some(false), reason),
        }
    }
}

impl Survey {
    /// Looks at this machine, and tries what it allows. Takes some ten child processes and some ten milliseconds.
    pub fn take(config: &ProbeConfig) -> Self {
        let mut findings = surroundings::read();
        findings.extend(trials::namespaces_and_mounts(&config.scratch));
        findings.extend(supervision::tried());
        Self {
            findings,
            engine: Engine::probe(config),
        }
    }
}
