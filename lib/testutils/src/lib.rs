//! What the tests of rbuild share.
//!
//! - `cages`: kinds of place that rbuild must work in
//! - `need`: programs and abilities that a machine may lack

pub mod cages;
mod need;

pub use need::{need, skip};
