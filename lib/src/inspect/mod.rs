//! Looking into images, wherever they are.
//!
//! - `validate`: every digest, size and count computed again
//! - `files`: the files of an image, through the indexes of its layers

mod files;
#[cfg(test)]
mod tests;
mod validate;

pub use files::{Error, Files};
pub use validate::{Finding, Validation, validate};
