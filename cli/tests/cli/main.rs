//! The command as a user sees it: what it prints, whole, and what it exits with.
//!
//! - `common`: runs the command in surroundings of its own
//! - `commands`: all but `build`
//! - `check`: `rbuild check`; times and compression
//! - `build`: what it prints, where the image goes
//! - `compat`: called as docker, podman or buildah
//! - `doctor`: what it says in each kind of place
//! - `errors`: one test for each kind
//! - `interrupt`: Ctrl-C
//! - `job`: builds in a cluster
//! - `kaniko`: what each flag of Kaniko's executor does
//! - `openrun`: an app manager that has its apps built
//! - `serve`: a build machine

mod build;
mod check;
mod commands;
mod common;
mod compat;
mod doctor;
mod edit;
mod errors;
mod hostile;
mod images;
mod interop;
mod interrupt;
mod job;
mod kaniko;
mod openrun;
mod readme;
mod registries;
mod s2i;
mod serve;
mod walkthrough;
