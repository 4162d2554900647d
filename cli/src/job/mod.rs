//! `rbuild job`: a build as a Kubernetes Job.
//!
//! - `order`: the flags as what is sent and what the cluster is asked for
//!   - `arguments`: the build's own flags; `registries`: logins and certificates; `files`: what goes along
//! - `manifest`: the objects; `print`: these as text
//! - `cluster`: which cluster; `objects`: made there, and removed
//! - `follow`: a Job from its creation to its end
//!   - `views`: as much of the cluster's objects as is read
//!   - `watch`: the pod as it changes; `status`: what that comes to
//!   - `send`: the context on its way; `logs`: the log on its way back; `lines`: which of it is new
//! - `screen`: what is shown meanwhile

mod arguments;
mod cluster;
mod files;
mod follow;
mod lines;
mod logs;
mod manifest;
mod objects;
mod order;
mod print;
mod registries;
mod screen;
mod send;
mod status;
#[cfg(test)]
mod tests;
mod views;
mod watch;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::sync::Notify;

use self::{cluster::Cluster, follow::Follower, objects::Objects, screen::Screen, status::End};
use crate::{
    cli,
    command::{
        build::files as files_of_build,
        session::Session,
        shared::{print, run_async},
    },
    interrupt::Watch,
    report::{Failure, Outcome},
};

/// Has an image built in a cluster, or prints how that would be asked for.
pub fn run(mut options: cli::Job, session: &Session) -> Outcome {
    match options.dry_run {
        Some(cli::DryRun::Client) => run_async(async {
            let format = print::format(&mut options.build.outputs)?;
            let namespace = cluster::namespace(&options.cluster).await?;
            let (order, _) = order::place(&options, namespace, session)?;
            Ok(print(&print::manifests(&order, format)?)?)
        }),
        None => run_async(build(&options, session)),
    }
}

async fn build(options: &cli::Job, session: &Session) -> Outcome {
    let cluster = Cluster::of(&options.cluster).await?;
    let (order, parcel) = order::place(options, Some(cluster.namespace.clone()), session)?;
    let screen = Screen::new(options.build.progress, options.build.quiet);
    if !options.build.push && options.build.outputs.is_empty() {
        screen.warn("nothing says where the image goes, so it ends with the pod: say --push");
    }
    let cancelled = Arc::new(Notify::new());
    let watch = {
        let cancelled = Arc::clone(&cancelled);
        Watch::start(move || cancelled.notify_one(), || ())?
    };
    let objects = Objects::create(&cluster, &order).await?;
    screen.say(&format!("{} in the namespace {}", order.name, cluster.namespace));
    let follower = Follower::new(&cluster, &order.name, screen, parcel);
    let end = tokio::select! {
        end = follower.follow(options.pod.start_timeout.0) => end,
        () = cancelled.notified() => Ok(End::Broken(String::new())),
    };
    objects.remove(screen).await;
    match watch.seen() {
        Some(signal) => Err(Box::new(Failure::interrupted(signal))),
        None => conclude(options, end?),
    }
}

/// The end of the pod as the end of this command.
fn conclude(options: &cli::Job, end: End) -> Outcome {
    let failure = match end {
        End::Exited { code: 0, message } => return Ok(take_over(options, &message)?),
        // The pod has said why, and it was shown.
        End::Exited { code, .. } => Failure::silent(u8::try_from(code).unwrap_or(u8::MAX)),
        End::Broken(why) => Failure::new(why),
    };
    let json = options.build.progress == cli::ProgressMode::Json;
    Err(Box::new(if json { failure.into_json() } else { failure }))
}

/// What the pod left to be read, as `--metadata-file` has it, for those who want it here.
fn take_over(options: &cli::Job, metadata: &str) -> Result<()> {
    let parsed: Value = serde_json::from_str(metadata).context("the pod does not say what it built")?;
    let digest = parsed["containerimage.digest"].as_str();
    let digest = digest.context("the pod does not say the digest of what it built")?;
    if let Some(file) = &options.build.iidfile {
        files_of_build::put(file, digest)?;
    }
    if let Some(file) = &options.build.metadata_file {
        files_of_build::put(file, metadata)?;
    }
    if options.build.quiet {
        print(&format!("{digest}\n"))?;
    }
    Ok(())
}
