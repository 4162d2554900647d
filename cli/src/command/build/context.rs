//! CONTEXT, `-f` and `--build-context`.

use std::{
    ffi::OsStr,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use rbuild::{
    Locator,
    build::{Build, Context, NamedContext},
};

use crate::options::Pair;

/// A tar or a Containerfile on standard input is read from here, once.
const STDIN: &str = "/dev/stdin";

/// What CONTEXT says.
pub fn parse(context: &OsStr) -> Result<Context> {
    if context == "-" {
        return Ok(Context::Tar(STDIN.into()));
    }
    let path = Path::new(context);
    if let Some(address) = context.to_str().filter(|_| !path.exists()) {
        if Context::is_address(address) {
            return Ok(Context::Remote(address.to_owned()));
        }
        ensure!(
            !address.contains("://"),
            "{address}: a context is a directory, a tar file, a git repository, a URL, or - for a tar or a Containerfile on standard input"
        );
    }
    let metadata =
        fs::metadata(path).with_context(|| format!("cannot use the context {}", path.display()))?;
    if metadata.is_dir() {
        Ok(Context::Directory(path.to_owned()))
    } else {
        Ok(Context::Tar(path.to_owned()))
    }
}

/// The build of a context with the Containerfile that `-f` names.
pub fn with_containerfile(context: Context, file: Option<&Path>) -> Result<Build> {
    let build = Build::from_context(context.clone());
    match (file, context) {
        (None, _) => Ok(build),
        (Some(file), Context::Tar(tar)) if file == "-" => {
            ensure!(
                tar != Path::new(STDIN),
                "standard input cannot be both the context and the Containerfile"
            );
            Ok(build.containerfile_text(standard_input()?))
        }
        (Some(file), _) if file == "-" => Ok(build.containerfile_text(standard_input()?)),
        (Some(file), Context::Directory(directory)) => Ok(build.containerfile(find(file, &directory))),
        (Some(file), Context::Remote(_)) => Ok(build.containerfile_in_context(file)),
        // Of this machine if it is there, else in the tar.
        (Some(file), _) if file.is_file() => Ok(build.containerfile(file)),
        (Some(file), _) => Ok(build.containerfile_in_context(file)),
    }
}

/// Relative to here; where there is no such file, relative to the context, as podman has it.
fn find(file: &Path, context: &Path) -> PathBuf {
    let inside = context.join(file);
    if !file.exists() && inside.is_file() {
        inside
    } else {
        file.to_owned()
    }
}

fn standard_input() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("cannot read the Containerfile from standard input")?;
    Ok(text)
}

/// What the name of a `--build-context` stands for.
pub fn named(pair: &Pair) -> Result<NamedContext> {
    let place = &pair.value;
    if Path::new(place).is_dir() {
        return Ok(NamedContext::Directory(place.into()));
    }
    if Context::is_address(place) {
        return Ok(NamedContext::Remote(place.clone()));
    }
    match place.parse::<Locator>() {
        Ok(locator) => Ok(NamedContext::Image(locator)),
        Err(error) if place.contains("://") => Err(error.into()),
        Err(_) => bail!("--build-context {}: there is no directory {place}", pair.name),
    }
}
