//! `rbuild build`
//!
//! - `request`: the flags as a build of the library
//! - `context`: CONTEXT, `-f` and `--build-context`
//! - `outputs`: where the image goes when it is built
//! - `files`: `--iidfile` and `--metadata-file`

pub mod context;
pub mod files;
mod outputs;
pub mod request;

use anyhow::{Context, Result};
use rbuild::{BuildError, Built, Digest, exec::Cancel, registry::Registry, store::Store};

use super::{
    check,
    session::Session,
    shared::{print, run_async},
};
use crate::{
    cli::{Build, CheckFormat, ProgressMode},
    interrupt::Watch,
    progress::Progress,
    report::{Failure, Outcome},
    timings::Timings,
};

/// Builds an image and writes it to where it should go.
pub fn run(options: &Build, session: &Session) -> Outcome {
    if options.check {
        return check::show(&request::build(options)?, CheckFormat::Text, &session.store()?);
    }
    make(options, session, async |build, store, registry| {
        build.run(store, registry).await
    })
}

/// Has an image built as the flags say, by whoever makes it of a build, and writes it to where it should go.
pub fn make(options: &Build, session: &Session, how: impl How) -> Outcome {
    let store = session.store()?;
    let outputs = outputs::plan(options)?;
    let registry = session.registry_for_build()?;
    run_async(build(options, &outputs, &store, registry, how))
}

/// What makes an image of a build.
pub trait How: AsyncFnOnce(rbuild::Build, &Store, &Registry) -> Result<Built, BuildError> {}

impl<T: AsyncFnOnce(rbuild::Build, &Store, &Registry) -> Result<Built, BuildError>> How for T {}

/// Signals and progress around the work.
async fn build(
    options: &Build,
    outputs: &[outputs::Destination],
    store: &Store,
    registry: Registry,
    how: impl How,
) -> Outcome {
    let progress = Progress::new(options.progress, options.quiet);
    let cancel = Cancel::new().context("cannot make a pipe")?;
    let watch = {
        let (cancel, progress) = (cancel.clone(), progress.clone());
        Watch::start(move || cancel.cancel(), move || progress.finish())?
    };
    let timings = options
        .timings
        .clone()
        .map(|file| Timings::start(file, name(options)));
    let result = work(
        options,
        outputs,
        (store, &registry),
        &progress,
        timings.as_ref(),
        cancel,
        how,
    )
    .await;
    progress.finish();
    if let Some(timings) = timings {
        timings.write(result.is_ok())?;
    }
    match (result, watch.seen()) {
        (Ok(digest), _) if options.quiet => Ok(print(&format!("{digest}\n"))?),
        (Ok(_), _) => Ok(()),
        (Err(_), Some(signal)) => Err(shown(options, Failure::interrupted(signal))),
        (Err(failure), None) => Err(shown(options, *failure)),
    }
}

/// What is built, for people.
fn name(options: &Build) -> String {
    match options.tags.first() {
        Some(tag) => tag.clone(),
        None => options.context.display().to_string(),
    }
}

/// The failure in the form of the progress before it.
fn shown(options: &Build, failure: Failure) -> Box<Failure> {
    let json = options.progress == ProgressMode::Json;
    Box::new(if json { failure.into_json() } else { failure })
}

async fn work(
    options: &Build,
    outputs: &[outputs::Destination],
    (store, registry): (&Store, &Registry),
    progress: &Progress,
    timings: Option<&Timings>,
    cancel: Cancel,
    how: impl How,
) -> Result<Digest, Box<Failure>> {
    let (shown, timed) = (progress.clone(), timings.cloned());
    let build = request::build(options)?
        .cancelled_by(cancel)
        .on_event(move |event| {
            if let Some(timings) = &timed {
                timings.event(&event);
            }
            shown.event(&event);
        });
    let places = outputs.iter().filter_map(outputs::Destination::registry);
    let build = places.fold(build, |build, place| build.push_early(place.clone()));
    let built = how(build, store, registry).await?;
    for output in outputs {
        output.write(&built, store, registry).await?;
    }
    files::write(options, &built)?;
    Ok(built.digest())
}
