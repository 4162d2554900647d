//! Containerfiles: text to instructions with spans, and what their words mean. No I/O.
//!
//! The way of a file, in the order the modules come in:
//!
//! - `lines`: physical lines to logical ones; every byte remembers where it came from
//! - `words`, `flags`, `heredoc`: how the text of an instruction is cut up
//! - `instruction`: one instruction; `parse`: the whole file
//! - `ast`: what comes of it
//! - [`expand`]: variables, quotes and escapes in words
//! - [`ignore`], [`pattern`]: which paths are meant; `glob` does the matching for both
//! - [`mount`]: the options of `RUN --mount`; `csv` splits them
//! - [`values`]: the small languages inside of arguments
//! - `print`: and back to text
//! - [`lint`]: what builds but is likely not meant
//! - `diagnostic`, `render`, `suggest`: what is wrong, shown to people

mod ast;
mod csv;
mod diagnostic;
pub mod expand;
mod flags;
mod glob;
mod heredoc;
pub mod ignore;
mod instruction;
mod lines;
pub mod lint;
pub mod mount;
mod parse;
pub mod pattern;
mod print;
mod render;
pub(crate) mod suggest;
pub mod values;
mod words;

pub use ast::*;
pub use csv::CsvError;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use render::{Position, position};
