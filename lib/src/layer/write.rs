//! A list of changes to a tar.

use std::io::Write;

use super::{Contents, Error};
use crate::tree::Change;

/// Writes a layer's tar: entries in the order given, whole seconds, no user names, PAX headers where ustar does not
/// reach. The bytes depend on nothing but the arguments.
///
/// # Errors
/// When contents cannot be read or do not have the size they should, or `out` fails.
pub fn write_tar(_changes: &[Change], _contents: &dyn Contents, _out: impl Write) -> Result<(), Error> {
    unimplemented!()
}
