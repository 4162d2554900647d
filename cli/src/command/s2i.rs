//! `rbuild s2i`

use std::{fs, io::Write as _};

use anyhow::{Context as _, Result, ensure};
use rbuild::{
    Build, Event,
    build::{Context, SourceToImage},
    event::Stream,
};

use super::{build, session::Session, shared::run_async};
use crate::{
    cli::{S2i, S2iUsage},
    report::{Failure, Outcome},
};

/// Builds an application's image of its source.
pub fn run(mut options: S2i, session: &Session) -> Outcome {
    let has_file = options.build.file.is_some() || options.build.target.is_some() || options.build.check;
    if has_file {
        return Err(Failure::new(
            "there is no Containerfile in a build of source: --file, --target and --check have no meaning",
        )
        .into());
    }
    options.build.tags.extend(options.image.take());
    let environment = environment(&options)?;
    build::make(&options.build, session, async |build, store, registry| {
        let image = request(&options, build, environment);
        image.run(store, registry).await
    })
}

/// The flags as a build of the library.
fn request(options: &S2i, mut build: Build, environment: Vec<(String, String)>) -> SourceToImage {
    if let Some(directory) = &options.context_dir {
        build = build.context_subdirectory(directory);
    }
    let mut image = SourceToImage::new(build, &options.builder);
    for (name, value) in environment {
        image = image.env(name, value);
    }
    if let Some(url) = &options.scripts_url {
        image = image.scripts_url(url);
    }
    if let Some(directory) = &options.destination {
        image = image.destination(directory);
    }
    let before = options.incremental_from.as_ref().or(options.build.tags.first());
    if let Some(before) = before.filter(|_| options.incremental) {
        image = image.incremental_from(before);
    }
    if let Some(user) = &options.assemble_user {
        image = image.assemble_user(user);
    }
    if let Some(runtime) = &options.runtime_image {
        image = image.runtime_image(runtime);
    }
    for artifact in &options.runtime_artifacts {
        image = image.runtime_artifact(&artifact.path, &artifact.directory);
    }
    match &options.assemble_runtime_user {
        Some(user) => image.assemble_runtime_user(user),
        None => image,
    }
}

/// `-E`, and `-e` after it.
fn environment(options: &S2i) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    if let Some(file) = &options.environment_file {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let pair = line.split_once('=');
            let (name, value) =
                pair.with_context(|| format!("{}: {line:?} is no NAME=VALUE", file.display()))?;
            all.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    let given = options
        .env
        .iter()
        .map(|pair| (pair.name.clone(), pair.value.clone()));
    all.extend(given);
    ensure!(
        !options.incremental || options.incremental_from.is_some() || !options.build.tags.is_empty(),
        "an incremental build begins with an earlier image: name it"
    );
    Ok(all)
}

/// Runs the builder's script `usage`, and prints what it prints.
pub fn usage(options: &S2iUsage, session: &Session) -> Outcome {
    let store = session.store()?;
    let registry = session.registry_for_build()?;
    let build = Build::from_context(Context::Empty).on_event(|event| {
        let Event::StepOutput { stream, bytes, .. } = event else {
            return;
        };
        // A reader that went away wants no more of it.
        let _ = match stream {
            Stream::Stdout => std::io::stdout().write_all(&bytes),
            Stream::Stderr => std::io::stderr().write_all(&bytes),
        };
    });
    let mut image = SourceToImage::new(build, &options.builder);
    for pair in &options.env {
        image = image.env(&pair.name, &pair.value);
    }
    if let Some(url) = &options.scripts_url {
        image = image.scripts_url(url);
    }
    run_async(async { Ok(image.usage(&store, &registry).await?) })
}
