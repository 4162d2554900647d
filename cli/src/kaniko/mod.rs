//! Kaniko's executor: its command line, as CI templates call it, for a build of the library.
//!
//! - `flags`: the table of flags, and what was given of them
//! - `request`: the flags as a build and as registries
//! - `context`: `--context`, `--context-sub-path`, `--git`
//! - `bucket`: contexts in object stores, `s3://` and `gs://`
//! - `outputs`: where the image goes, and the files that say so

mod bucket;
mod context;
mod flags;
mod outputs;
mod request;
#[cfg(test)]
mod tests;

use std::{env, ffi::OsStr, path::Path};

use anyhow::{Context, Result};
use rbuild::{exec::Cancel, store::Store};

use crate::{
    command::shared::run_async,
    interrupt::Watch,
    progress::Progress,
    report::{Failure, Outcome},
};
use flags::Given;

/// Whether the command was called by the name of Kaniko's.
pub fn is_called(program: Option<&OsStr>) -> bool {
    program.and_then(|program| Path::new(program).file_name()) == Some(OsStr::new("executor"))
}

/// Does what Kaniko's arguments ask for.
pub fn run(arguments: &[String]) -> Outcome {
    if arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "-h")
    {
        return Ok(crate::command::shared::print(&flags::help())?);
    }
    let given = Given::parse(arguments, |name| env::var(name).ok())?;
    given
        .notices()
        .iter()
        .for_each(|notice| eprintln!("notice: {notice}"));
    let outputs = outputs::Outputs::plan(&given)?;
    let store = store(&given)?;
    run_async(build(&given, &outputs, &store))
}

/// Whether these are arguments of it, and what is wrong with them if they are not.
#[cfg(test)]
pub fn check(arguments: &[String]) -> Result<()> {
    let given = Given::parse(arguments, |_| None)?;
    outputs::Outputs::plan(&given).map(drop)
}

/// With `--cache`, `--cache-dir` keeps images and results; without, the usual place does.
fn store(given: &Given) -> Result<Store> {
    Ok(match given.one("cache-dir") {
        Some(directory) if given.on("cache")? => Store::open(directory)?,
        _ => match env::var_os("RBUILD_ROOT") {
            Some(root) => Store::open(root)?,
            None => Store::open_default()?,
        },
    })
}

/// Signals and progress around the work.
async fn build(given: &Given, outputs: &outputs::Outputs, store: &Store) -> Outcome {
    let progress = request::progress(given)?;
    let cancel = Cancel::new().context("cannot make a pipe")?;
    let watch = {
        let (cancel, progress) = (cancel.clone(), progress.clone());
        Watch::start(move || cancel.cancel(), move || progress.finish())?
    };
    let result = work(given, outputs, store, &progress, cancel).await;
    progress.finish();
    match (result, watch.seen()) {
        (Err(_), Some(signal)) => Err(Box::new(Failure::interrupted(signal))),
        (result, _) => result,
    }
}

async fn work(
    given: &Given,
    outputs: &outputs::Outputs,
    store: &Store,
    progress: &Progress,
    cancel: Cancel,
) -> Outcome {
    let (pull, push) = (request::pull_registry(given)?, request::push_registry(given)?);
    let scratch = store.tmp_dir().map_err(anyhow::Error::from)?;
    let context = context::fetch(given, pull.registry(), scratch.path()).await?;
    let shown = progress.clone();
    let build = request::build(given, context)?
        .cancelled_by(cancel)
        .on_event(move |event| shown.event(&event));
    let built = build.run(store, pull.registry()).await?;
    outputs.write(&built, push.registry()).await
}
