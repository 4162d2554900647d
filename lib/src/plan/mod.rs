//! What a build will do: which stages the target needs, and the keys under which results are remembered. No I/O.
//!
//! - `graph`: instructions and arguments to stages and what they need of each other
//! - `key`: the name of a step's result, made of everything that the result depends on

pub(crate) mod graph;
pub(crate) mod key;
