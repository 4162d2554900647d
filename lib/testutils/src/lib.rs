//! What the tests of rbuild share.
//!
//! - `cages`: kinds of place that rbuild must work in
//! - `certificates`: for TLS
//! - `docker_registry`: the real thing, as a process
//! - `flat`: what an image comes to, with every digest computed again
//! - `registry`: a registry in this process, which can misbehave
//! - `hostile`: images that strangers could make
//! - `git`: repositories, and who serves them
//! - `kubernetes`: a cluster in this process
//! - `web`: a web server in this process
//! - `need`: programs and abilities that a machine may lack
//! - `token_server`: gives tokens that docker's registry takes
//! - `program`: programs that a test writes and runs
//!
//! The program `cage` runs any other in one of the cages.

pub mod cages;
mod certificates;
mod docker_registry;
pub mod flat;
pub mod git;
pub mod hostile;
pub mod kubernetes;
mod need;
mod program;
pub mod registry;
mod token_server;
pub mod web;

pub use certificates::make_certificates;
pub use docker_registry::DockerRegistry;
pub use need::{need, skip};
pub use program::{program_for_children, write_program};
pub use token_server::TokenServer;
