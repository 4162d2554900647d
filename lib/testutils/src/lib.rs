//! What the tests of rbuild share.
//!
//! - `need`: programs and abilities that a machine may lack

mod need;

pub use need::{need, skip};
