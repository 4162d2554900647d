//! A program that embeds the builder: it follows a build by its events, and cancels a second one half-way.
//!
//! `cargo run -p rbuild --example embed -- CONTEXT`; without a context it builds an example of the repository.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rbuild::{Build, Event, build::Problem, exec::Cancel, registry::Registry, store::Store};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/quickstart");
    let context = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from(example), PathBuf::from);
    let directory = tempfile::tempdir()?;
    let store = Store::open(directory.path().join("store"))?;
    let registry = Registry::from_environment();

    let steps = Arc::new(AtomicUsize::new(0));
    let image = build(&context)
        .on_event(follow(steps.clone()))
        .run(&store, &registry)
        .await?;
    println!(
        "built {} in {} steps",
        image.digest(),
        steps.load(Ordering::Relaxed)
    );

    let cancel = Cancel::new()?;
    let stop = cancel.clone();
    let half_way = move |event: Event| {
        if matches!(event, Event::StepOutput { .. }) {
            stop.cancel();
        }
    };
    let second = build(&context)
        .no_cache()
        .on_event(half_way)
        .cancelled_by(cancel)
        .run(&store, &registry)
        .await;
    match second {
        Err(error) if matches!(error.problem(), Problem::Cancelled) => println!("cancelled half-way"),
        Err(error) => return Err(error.into()),
        Ok(image) => println!("built {} before anybody could cancel it", image.digest()),
    }
    Ok(())
}

/// The quick start's base image comes with the repository.
fn build(context: &std::path::Path) -> Build {
    let base = concat!("oci:", env!("CARGO_MANIFEST_DIR"), "/../testdata/busybox");
    let build = Build::context(context);
    match base.parse() {
        Ok(base) => build.build_context("busybox", rbuild::build::NamedContext::Image(base)),
        Err(_) => build,
    }
}

/// What an app manager would show on a page.
fn follow(steps: Arc<AtomicUsize>) -> impl Fn(Event) + Send + Sync + 'static {
    move |event| match event {
        Event::StepStarted {
            stage,
            position,
            of,
            instruction,
            ..
        } => {
            steps.fetch_add(1, Ordering::Relaxed);
            println!("[{stage} {position}/{of}] {instruction}");
        }
        Event::StepOutput { bytes, .. } => print!("{}", String::from_utf8_lossy(&bytes)),
        _ => {}
    }
}
