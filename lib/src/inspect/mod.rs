//! Looking into images, wherever they are.
//!
//! - `validate`: every digest, size and count computed again
//! - `compare`: what differs between two images: layers, config, files
//! - `files`: the files of an image, through the indexes of its layers
//! - `outdated`: whether the base of an image has moved since

mod compare;
mod files;
mod outdated;
#[cfg(test)]
mod tests;
mod validate;

pub use compare::{
    FieldDifference, LayerDifference, LayerFacts, PathChange, PathDifference, compare_configs,
    compare_layers, compare_trees,
};
pub(crate) use files::layer_changes;
pub use files::{Error, Files};
pub use outdated::{BaseState, Freshness, base_state};
pub use validate::{Finding, Validation, validate};
