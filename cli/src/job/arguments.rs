//! The flags of `rbuild build` as the pod gets them: what is on this machine goes along, what would stay in the pod is
//! refused.

use anyhow::{Result, bail, ensure};
use clap::ValueEnum as _;
use rbuild::{
    Locator, Reference,
    build::{CacheMode, CachePlace, NamedContext},
    layer::Compression,
};

use super::files::Files;
use crate::{
    cli::{Build, ProgressMode},
    command::build::{context, request},
    options::{CacheFrom, CacheTo, Compress, Output, Secret},
};

/// The variable of time, which counts as if it were an argument of the build.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Variables of this machine.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A command line in the making.
struct Line(Vec<String>);

impl Line {
    fn put(&mut self, flag: &str, value: impl Into<String>) {
        self.0.push(format!("--{flag}={}", value.into()));
    }

    fn all<T>(&mut self, flag: &str, values: &[T], text: impl Fn(&T) -> String) {
        for value in values {
            self.put(flag, text(value));
        }
    }
}

/// The arguments behind `build`, but for the Containerfile and the context.
///
/// # Errors
/// When something is asked for that a pod cannot give.
pub fn of(build: &Build, variables: Variables<'_>, files: &mut Files) -> Result<Vec<String>> {
    check(build)?;
    let mut line = Line(Vec::new());
    settings(build, variables, &mut line);
    switches(build, &mut line);
    places(build, &mut line)?;
    for (number, secret) in build.secrets.iter().enumerate() {
        line.put("secret", carried(secret, number, files)?);
    }
    Ok(line.0)
}

fn check(build: &Build) -> Result<()> {
    ensure!(!build.check, "--check needs no pod: it is `rbuild check`");
    ensure!(
        build.timings.is_none(),
        "--timings writes a file in the pod, which is gone at the end"
    );
    ensure!(
        build.ssh.is_empty(),
        "--ssh: a pod cannot reach an agent of this machine; give a key with --secret"
    );
    Ok(())
}

fn settings(build: &Build, variables: Variables<'_>, line: &mut Line) {
    line.all("target", build.target.as_slice(), Clone::clone);
    for (name, value) in build.build_args.iter().filter_map(|arg| arg.resolve(variables)) {
        line.put("build-arg", format!("{name}={value}"));
    }
    let timed = build.timestamp.is_some() || build.build_args.iter().any(|arg| arg.name == EPOCH);
    if let Some(seconds) = variables(EPOCH).filter(|_| !timed) {
        line.put("build-arg", format!("{EPOCH}={seconds}"));
    }
    line.all("label", &build.labels, |label| {
        format!("{}={}", label.name, label.value)
    });
    line.all("platform", build.platform.as_slice(), Clone::clone);
    line.all("timestamp", build.timestamp.as_slice(), u64::to_string);
    line.all(
        "compression",
        build.compression.as_slice(),
        |Compress(how)| match how {
            Compression::Gzip(level) => format!("gzip:{level}"),
            Compression::Zstd(level) => format!("zstd:{level}"),
            Compression::None => "none".to_owned(),
        },
    );
    let progress = match build.progress {
        ProgressMode::Json => "json",
        _ => "plain",
    };
    line.put("progress", progress);
    let isolation = build.isolation.to_possible_value();
    line.all("isolation", isolation.as_slice(), |mode| {
        mode.get_name().to_owned()
    });
}

fn switches(build: &Build, line: &mut Line) {
    let switches = [
        ("no-cache", build.no_cache),
        ("cache-mounts", build.cache_mounts),
        ("pull", build.pull),
        ("push", build.push),
        ("quiet", build.quiet),
        ("rewrite-timestamp", build.rewrite_timestamp),
        ("squash", build.squash),
    ];
    for (flag, _) in switches.into_iter().filter(|(_, on)| *on) {
        line.0.push(format!("--{flag}"));
    }
}

fn places(build: &Build, line: &mut Line) -> Result<()> {
    line.all("tag", &build.tags, Clone::clone);
    for pair in &build.build_contexts {
        match context::named(pair)? {
            NamedContext::Remote(_) | NamedContext::Image(Locator::Registry(_)) => {}
            _ => bail!(
                "--build-context {}: {} is on this machine, and one context is all that is sent",
                pair.name,
                pair.value
            ),
        }
        line.put("build-context", format!("{}={}", pair.name, pair.value));
    }
    for CacheFrom(place) in &build.cache_from {
        line.put("cache-from", format!("type=registry,ref={}", shared(place)?));
    }
    for CacheTo(place, mode) in &build.cache_to {
        let mode = match mode {
            CacheMode::Min => "min",
            CacheMode::Max => "max",
        };
        line.put(
            "cache-to",
            format!("type=registry,ref={},mode={mode}", shared(place)?),
        );
    }
    for output in &build.outputs {
        line.put("output", registry(output)?);
    }
    line.all("source-image", build.source_image.as_slice(), Clone::clone);
    line.all("source-image-path", &build.source_image_paths, |file| {
        format!("{}:{}", file.path, file.directory)
    });
    Ok(())
}

/// A cache that the pod reaches, too.
fn shared(place: &CachePlace) -> Result<&Reference> {
    match place {
        CachePlace::Registry(reference) => Ok(reference),
        local => bail!("{local}: a pod cannot reach a cache on this machine; keep it in a registry"),
    }
}

/// An output that outlives the pod.
fn registry(output: &Output) -> Result<String> {
    match output {
        Output::Registry(None) => Ok("type=registry".to_owned()),
        Output::Registry(Some(name)) => Ok(format!("type=registry,name={name}")),
        _ => bail!("-o: what a pod builds goes to a registry: say --push, or -o type=registry"),
    }
}

/// A secret, its value among the files.
fn carried(secret: &Secret, number: usize, files: &mut Files) -> Result<String> {
    let place = files.add(&format!("secrets/{number}"), request::value(secret)?);
    // Quoted, as an id may have a comma in it.
    Ok(format!("\"id={}\",src={place}", secret.id.replace('"', "\"\"")))
}
