//! The flags of `rbuild build` as a build of the library.

use std::{env, fs, path::Path};

use anyhow::{Context as _, Result, bail};
use rbuild::{
    Reference,
    build::{Build, Context},
};

use super::context;
use crate::{
    cli,
    options::{CacheFrom, CacheTo, Compress, Secret, SecretSource, Ssh},
};

/// The build that the flags ask for.
pub fn build(options: &cli::Build) -> Result<Build> {
    let mut build = match (&options.source_image, &options.file) {
        // Standard input has the Containerfile, and the context nothing but files of an image.
        (Some(_), None) if options.context == "-" => {
            context::with_containerfile(Context::Empty, Some(Path::new("-")))?
        }
        _ => context::with_containerfile(context::parse(&options.context)?, options.file.as_deref())?,
    };
    if let Some(image) = &options.source_image {
        for file in &options.source_image_paths {
            build = build.file_of_image(image, &file.path, &file.directory);
        }
    }
    if let Some(target) = &options.target {
        build = build.target(target);
    }
    if let Some(platform) = &options.platform {
        build = build.platform(platform.parse()?);
    }
    for (name, value) in options
        .build_args
        .iter()
        .filter_map(|arg| arg.resolve(|name| env::var(name).ok()))
    {
        build = build.arg(name, value);
    }
    build = times(build, options);
    for pair in &options.build_contexts {
        build = build.build_context(&pair.name, context::named(pair)?);
    }
    for label in &options.labels {
        build = build.label(&label.name, &label.value);
    }
    for tag in &options.tags {
        build = build.tag(tag.parse::<Reference>()?.or_latest());
    }
    for secret in &options.secrets {
        build = build.secret(&secret.id, value(secret)?);
    }
    for ssh in &options.ssh {
        build = build.ssh(&ssh.id, socket(ssh)?);
    }
    if let Some(Compress(compression)) = options.compression {
        build = build.compression(compression);
    }
    build = build.isolation(options.isolation.into());
    if options.squash {
        build = build.one_layer();
    }
    if options.no_cache {
        build = build.no_cache();
    }
    for CacheFrom(place) in &options.cache_from {
        build = build.cache_from(place.clone());
    }
    for CacheTo(place, mode) in &options.cache_to {
        build = build.cache_to(place.clone(), *mode);
    }
    if options.cache_mounts {
        build = build.carry_cache_mounts();
    }
    if options.pull {
        build = build.pull();
    }
    Ok(build)
}

/// `SOURCE_DATE_EPOCH` of the environment counts unless a flag says otherwise.
fn times(build: Build, options: &cli::Build) -> Build {
    const EPOCH: &str = "SOURCE_DATE_EPOCH";
    if let Some(seconds) = options.timestamp {
        return build.arg(EPOCH, seconds.to_string()).rewrite_timestamps();
    }
    let given = options.build_args.iter().any(|arg| arg.name == EPOCH);
    let build = match env::var(EPOCH) {
        Ok(seconds) if !given => build.arg(EPOCH, seconds),
        _ => build,
    };
    match options.rewrite_timestamp {
        true => build.rewrite_timestamps(),
        false => build,
    }
}

/// The value of a secret.
pub fn value(secret: &Secret) -> Result<Vec<u8>> {
    let from_environment = |name: &str| env::var_os(name).map(|value| value.into_encoded_bytes());
    let id = &secret.id;
    let from_file = |path: &std::path::Path| {
        fs::read(path).with_context(|| format!("cannot read the secret {id} from {}", path.display()))
    };
    match &secret.source {
        SecretSource::File(path) => from_file(path),
        SecretSource::Environment(name) => {
            from_environment(name).with_context(|| format!("the secret {id}: {name} is not set"))
        }
        SecretSource::Named => from_environment(id).map_or_else(|| from_file(id.as_ref()), Ok),
    }
}

/// The socket of an agent.
fn socket(ssh: &Ssh) -> Result<std::path::PathBuf> {
    use std::os::unix::fs::FileTypeExt;
    let path = match &ssh.paths[..] {
        [] => env::var_os("SSH_AUTH_SOCK")
            .context("--ssh: SSH_AUTH_SOCK is not set")?
            .into(),
        [path] => path.clone(),
        _ => bail!("--ssh {}: expected the socket of one agent", ssh.id),
    };
    let metadata = fs::metadata(&path).with_context(|| format!("--ssh {}: {}", ssh.id, path.display()))?;
    if !metadata.file_type().is_socket() {
        bail!(
            "--ssh {}: {} is not the socket of an agent; give keys to one with ssh-add",
            ssh.id,
            path.display()
        );
    }
    Ok(path)
}
