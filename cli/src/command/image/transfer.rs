//! A copy, with progress and signals around it.

use std::sync::Arc;

use rbuild::{Digest, Locator, copy::Options, registry::Registry};
use tokio::sync::Notify;

use crate::{
    cli::{ProgressMode, Show},
    command::{session::Session, shared::print},
    interrupt::Watch,
    progress::Progress,
    report::Failure,
};

/// Copies an image; says its digest on standard output if that is all that is to be said.
pub async fn run(
    show: &Show,
    from: &Locator,
    to: &Locator,
    options: Options,
    session: &Session,
) -> Result<Digest, Box<Failure>> {
    watch(show, options, session, async |options, registry| {
        Ok(rbuild::copy(from, to, options, registry).await?.digest)
    })
    .await
}

/// Moves images as `work` does; says the digest on standard output if that is all that is to be said.
pub async fn watch(
    show: &Show,
    options: Options,
    session: &Session,
    work: impl AsyncFnOnce(&Options, &Registry) -> anyhow::Result<Digest>,
) -> Result<Digest, Box<Failure>> {
    let registry = session.registry()?;
    let progress = Progress::new(show.progress, show.quiet);
    let cancel = Arc::new(Notify::new());
    let watch = {
        let (cancel, progress) = (cancel.clone(), progress.clone());
        Watch::start(move || cancel.notify_one(), move || progress.finish())?
    };
    let shown = progress.clone();
    let options = options.on_event(move |event| shown.event(&event));
    let result = tokio::select! {
        result = work(&options, &registry) => Some(result),
        () = cancel.notified() => None,
    };
    progress.finish();
    let failure = match (result, watch.seen()) {
        (Some(Ok(digest)), _) => {
            if show.quiet {
                print(&format!("{digest}\n"))?;
            }
            return Ok(digest);
        }
        (_, Some(signal)) => Failure::interrupted(signal),
        (Some(Err(error)), None) => error.into(),
        (None, None) => Failure::new("interrupted"),
    };
    Err(Box::new(match show.progress {
        ProgressMode::Json => failure.into_json(),
        _ => failure,
    }))
}
