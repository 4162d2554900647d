//! Values of flags that have a little language of their own. Parsing only: nothing here touches a file.
//!
//! - `cache`: `--cache-from` and `--cache-to`
//! - `compression`: `--compression`
//! - `fields`: `key=value,key=value`, as `-o`, `--cache-to`, `--secret` and `--ssh` share it
//! - `output`: `-o`
//! - `secret`: `--secret` and `--ssh`
//! - `pair`: `NAME=VALUE`, `NAME[=VALUE]`, `SRC[:DEST]`
//! - `size`: `10GB`

mod cache;
mod compression;
mod fields;
mod output;
mod pair;
mod secret;
mod size;

pub use cache::{CacheFrom, CacheTo};
pub use compression::Compress;
pub use output::{Output, Place};
pub use pair::{Arg, Moved, Pair};
pub use secret::{Secret, SecretSource, Ssh};
pub use size::{Size, human};
