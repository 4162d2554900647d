//! What the tests of rbuild share.
//!
//! - `cages`: kinds of place that rbuild must work in
//! - `registry`: a registry in this process, which can misbehave
//! - `need`: programs and abilities that a machine may lack

pub mod cages;
mod need;
pub mod registry;

pub use need::{need, skip};
