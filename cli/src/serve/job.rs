//! One build, from its place in the queue to the registry.

use std::{io::Write as _, sync::Arc, time::Instant};

use hyper::StatusCode;
use rbuild::{
    Build, Locator,
    build::{BuildError, Context, Problem},
    exec::Cancel,
    layer::{self, Limits},
};
use serde_json::json;

use super::{Server, log::Log, metrics::End, queue::Seat, upload::Upload};
use crate::{command::prune::prune, progress::Progress, report::Failure};

/// What a build comes to.
pub struct Done {
    pub status: StatusCode,
    /// For the caller: JSON if it is there, and otherwise why not.
    pub text: String,
}

/// Entries of a context that are taken.
const MAX_ENTRIES: u64 = 1_000_000;

/// Waits for a turn and builds. Ends soon when it is cancelled, and never without having cleaned up.
pub async fn run(
    server: Arc<Server>,
    id: String,
    upload: Upload,
    log: Log,
    cancel: Cancel,
    seat: Seat,
) -> Done {
    let image = upload.order.image.to_string();
    let turning = server.queue.turn();
    let turn = tokio::select! {
        turn = turning => turn,
        () = cancel.cancelled() => None,
    };
    let begun = Instant::now();
    let (end, done) = match &turn {
        Some(_) => {
            server.say(&format!("{id}: building {image}"));
            let progress = Progress::plain_to(log.clone());
            let result = within(&server, upload, &progress, &cancel).await;
            progress.finish();
            describe(&server, &image, result)
        }
        None => (End::Cancelled, failed(Problem::Cancelled.into())),
    };
    if done.status != StatusCode::OK {
        // A log in memory can always be written to.
        let _ = log.clone().write_all(done.text.as_bytes());
    }
    log.end();
    server.metrics.ended(end, begun.elapsed());
    server.say(&format!(
        "{id}: {} after {:.1}s",
        end.word().replace('_', " "),
        begun.elapsed().as_secs_f64()
    ));
    drop(turn);
    tidy(&server).await;
    drop(seat);
    done
}

/// Why there is no image.
enum Miss {
    Build(BuildError),
    Other(Box<Failure>),
    TimedOut,
}

/// Does the work, unless it takes too long.
async fn within(
    server: &Server,
    upload: Upload,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<String, Miss> {
    let work = work(server, upload, progress, cancel);
    let mut work = std::pin::pin!(work);
    tokio::select! {
        result = &mut work => result,
        () = tokio::time::sleep(server.limits.time) => {
            cancel.cancel();
            // What was cancelled ends, with all that it started.
            let _ = work.await;
            Err(Miss::TimedOut)
        }
    }
}

/// Builds, and pushes the image; its digest.
async fn work(server: &Server, upload: Upload, progress: &Progress, cancel: &Cancel) -> Result<String, Miss> {
    let other = |error: anyhow::Error| Miss::Other(error.into());
    let context = upload.context();
    let Upload {
        order,
        access,
        directory,
    } = upload;
    let certificates = directory.path().join("certificates");
    let registry = access
        .registry(server.session.builder(), server.logins.clone(), certificates)
        .map_err(other)?;
    let shown = progress.clone();
    let mut build = Build::from_context(Context::Tar(context))
        .context_limits(Limits {
            bytes: server.limits.unpacked,
            entries: MAX_ENTRIES,
        })
        // Each context lies in a place of its own.
        .name(order.image.name())
        .isolation(server.isolation)
        .push_early(order.image.clone())
        .cancelled_by(cancel.clone())
        .on_event(move |event| shown.event(&event));
    if let Some(path) = order.containerfile {
        build = build.containerfile_in_context(path);
    }
    for (name, value) in order.args {
        build = build.arg(name, value);
    }
    build = server.caches.iter().fold(build, |build, cache| cache(build));
    let built = build.run(&server.store, &registry).await.map_err(Miss::Build)?;
    let place = Locator::Registry(order.image);
    tokio::select! {
        written = built.write_to(&place, &registry) => written.map_err(Miss::Build)?,
        () = cancel.cancelled() => return Err(Miss::Build(Problem::Cancelled.into())),
    }
    Ok(built.digest().to_string())
}

fn describe(server: &Server, image: &str, result: Result<String, Miss>) -> (End, Done) {
    match result {
        Ok(digest) => {
            let text = json!({ "image": image, "digest": digest }).to_string() + "\n";
            let status = StatusCode::OK;
            (End::Succeeded, Done { status, text })
        }
        Err(Miss::Build(error)) => {
            let is_cancelled = matches!(error.problem(), Problem::Cancelled);
            let end = if is_cancelled { End::Cancelled } else { End::Failed };
            (end, failed(error))
        }
        Err(Miss::Other(failure)) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            let text = failure.to_string();
            (End::Failed, Done { status, text })
        }
        Err(Miss::TimedOut) => {
            let status = StatusCode::GATEWAY_TIMEOUT;
            let text = format!(
                "error: the build took longer than {} s\n",
                server.limits.time.as_secs()
            );
            (End::TimedOut, Done { status, text })
        }
    }
}

fn failed(error: BuildError) -> Done {
    Done {
        status: status(&error),
        text: Box::<Failure>::from(error).to_string(),
    }
}

/// Whose fault it is. What fails within the build is told as OpenRun's own builder tells it.
fn status(error: &BuildError) -> StatusCode {
    match error.problem() {
        Problem::NoContainerfile { .. } => StatusCode::BAD_REQUEST,
        Problem::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        // What is wrong with no instruction is wrong with the context.
        Problem::Layer(why) if error.at().is_none() => match why {
            why if why.is_too_large() => StatusCode::PAYLOAD_TOO_LARGE,
            layer::Error::Tar { .. } | layer::Error::Read(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
        Problem::Tree(_) if error.at().is_none() => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Frees space, if nobody is at work.
async fn tidy(server: &Server) {
    let (Some(keep), (0, _)) = (server.limits.store, server.queue.counts()) else {
        return;
    };
    let store = server.store.clone();
    // A store that is in use, by a build that has just begun or by another process, is tidied after the next build.
    let _ = tokio::task::spawn_blocking(move || prune(&store, Some(keep))).await;
}
