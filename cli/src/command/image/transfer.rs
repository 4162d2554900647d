//! A copy, with progress and signals around it.

use std::sync::Arc;

use rbuild::{Digest, Locator, copy::Options, registry::Registry};
use tokio::sync::Notify;

use crate::{
    cli::{ProgressMode, Show},
    command::shared::print,
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
) -> Result<Digest, Box<Failure>> {
    let progress = Progress::new(show.progress, show.quiet);
    let cancel = Arc::new(Notify::new());
    let watch = {
        let (cancel, progress) = (cancel.clone(), progress.clone());
        Watch::start(move || cancel.notify_one(), move || progress.finish())?
    };
    let shown = progress.clone();
    let options = options.on_event(move |event| shown.event(&event));
    let registry = Registry::from_environment();
    let result = tokio::select! {
        result = rbuild::copy(from, to, &options, &registry) => Some(result),
        () = cancel.notified() => None,
    };
    progress.finish();
    let failure = match (result, watch.seen()) {
        (Some(Ok(image)), _) => {
            if show.quiet {
                print(&format!("{}\n", image.digest))?;
            }
            return Ok(image.digest);
        }
        (_, Some(signal)) => Failure::interrupted(signal),
        (Some(Err(error)), None) => anyhow::Error::from(error).into(),
        (None, None) => Failure::new("interrupted"),
    };
    Err(Box::new(match show.progress {
        ProgressMode::Json => failure.into_json(),
        _ => failure,
    }))
}
