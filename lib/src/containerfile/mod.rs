//! Containerfiles: text to instructions with spans. No I/O.
//!
//! - `ast`: what a parsed file is

mod ast;

pub use ast::*;
