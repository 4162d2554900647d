//! What docker, podman and buildah take on their command lines, put into the words of this one: for those who call a
//! builder today, and for a command that goes by one of these names.
//!
//! - `build`: flags of their build commands that have no meaning here, or cannot have one
//! - `commands`: their other commands

mod build;
mod commands;
#[cfg(test)]
mod tests;

use std::{ffi::OsString, path::Path};

/// What a command line comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Translated {
    /// In the words of this command.
    pub arguments: Vec<OsString>,
    /// What was asked for and changes nothing, a line each.
    pub notices: Vec<String>,
}

/// Puts a command line, its program first, into the words of this command.
///
/// # Errors
/// Why something cannot be had here.
pub fn translate(line: impl IntoIterator<Item = OsString>) -> Result<Translated, String> {
    let mut arguments: Vec<OsString> = line.into_iter().collect();
    let by_name = arguments
        .first()
        .is_some_and(|program| is_another(Path::new(program)));
    if by_name {
        commands::translate(&mut arguments)?;
    }
    s2i(&mut arguments);
    let is_build = arguments
        .get(1)
        .is_some_and(|command| command == "build" || command == "bud");
    let mut notices = Vec::new();
    if is_build {
        build::translate(&mut arguments, &mut notices)?;
    }
    Ok(Translated { arguments, notices })
}

/// `s2i build` and `s2i usage`, as source-to-image's own program has them.
fn s2i(arguments: &mut Vec<OsString>) {
    let words = arguments.get(1).zip(arguments.get(2));
    match words.map(|(command, what)| (command.to_str(), what.to_str())) {
        Some((Some("s2i"), Some("build"))) => drop(arguments.remove(2)),
        Some((Some("s2i"), Some("usage"))) => drop(arguments.splice(1..3, ["s2i-usage".into()])),
        _ => {}
    }
}

fn is_another(program: &Path) -> bool {
    let names = ["docker", "podman", "buildah"];
    program
        .file_name()
        .is_some_and(|name| names.iter().any(|known| name == *known))
}
