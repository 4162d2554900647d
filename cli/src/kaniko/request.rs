//! The flags as a build of the library, and as registries to pull from and to push to.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rbuild::{
    Reference,
    build::{Build, CacheMode, CachePlace, Context},
    containerfile::values::parse_duration,
    registry::{DockerKeychain, Registry, Retry},
};
use tempfile::TempDir;

use super::{context::Source, flags::Given};
use crate::{
    certificates::{Certificates, Role},
    cli::ProgressMode,
    command::build::request::value,
    options::{Arg, Compress, Pair, Secret},
    progress::Progress,
};

/// How long Kaniko trusts what is in its cache.
const CACHE_TTL: &str = "336h";

/// The build that the flags ask for.
pub fn build(given: &Given, source: Source) -> Result<Build> {
    let mut build = with_dockerfile(given, source).pull();
    if let Some(target) = given.one("target") {
        build = build.target(target);
    }
    if let Some(platform) = given.one("custom-platform") {
        build = build.platform(platform.parse()?);
    }
    for argument in given.all("build-arg") {
        let argument: Arg = argument.parse()?;
        if let Some((name, value)) = argument.resolve(|name| env::var(name).ok()) {
            build = build.arg(name, value);
        }
    }
    for label in given.all("label") {
        let Pair { name, value } = label.parse()?;
        build = build.label(name, value);
    }
    for secret in given.all("secret") {
        let secret: Secret = secret.parse()?;
        build = build.secret(&secret.id, value(&secret)?);
    }
    for path in given.all("ignore-path") {
        build = build.ignore_path(path);
    }
    // An archive holds the names. They would stay in the store, too, and there stand before what registries have.
    if given.one("tar-path").is_some() || given.one("oci-layout-path").is_some() {
        for name in given.all("destination") {
            build = build.tag(name.parse::<Reference>()?.or_latest());
        }
    }
    if given.on("single-snapshot")? {
        build = build.one_layer();
    }
    if given.on("reproducible")? {
        build = build.arg("SOURCE_DATE_EPOCH", "0").rewrite_timestamps();
    }
    if let Some(compression) = compression(given)? {
        build = build.compression(compression.0);
    }
    cache(logins(build), given)
}

/// Kaniko looks for the Dockerfile where it was called, and then in the context.
fn with_dockerfile(given: &Given, source: Source) -> Build {
    let name = given.one("dockerfile").unwrap_or("Dockerfile");
    let of_machine = match (&source.context, &source.below) {
        (Context::Directory(directory), None) => vec![PathBuf::from(name), directory.join(name)],
        (Context::Directory(directory), Some(below)) => vec![name.into(), directory.join(below).join(name)],
        _ => vec![PathBuf::from(name)],
    };
    let found = of_machine.into_iter().find(|path| path.is_file());
    let build = Build::from_context(source.context);
    let build = match source.below {
        Some(below) => build.context_subdirectory(below),
        None => build,
    };
    match found {
        Some(path) => build.containerfile(path),
        None => build.containerfile_in_context(name),
    }
}

/// `GIT_TOKEN`, or `GIT_USERNAME` and `GIT_PASSWORD`, for a context in a repository.
fn logins(build: Build) -> Build {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    match (
        variable("GIT_TOKEN"),
        variable("GIT_USERNAME"),
        variable("GIT_PASSWORD"),
    ) {
        (Some(token), ..) => build.secret("GIT_AUTH_TOKEN", token),
        (None, Some(user), password) => {
            let pair = format!("{user}:{}", password.unwrap_or_default());
            build.secret("GIT_AUTH_HEADER", format!("basic {}", base64(pair.as_bytes())))
        }
        _ => build,
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(bytes)
}

/// Without `--cache` every step runs, as Kaniko has it.
fn cache(mut build: Build, given: &Given) -> Result<Build> {
    if !given.on("cache")? {
        return Ok(build.no_cache());
    }
    for (flag, instructions) in [
        ("cache-run-layers", &["RUN"][..]),
        ("cache-copy-layers", &["COPY", "ADD"]),
    ] {
        let off = !given.on(flag)?;
        build = instructions
            .iter()
            .filter(|_| off)
            .fold(build, |build, name| build.no_cache_for(*name));
    }
    if let Some(place) = cache_place(given)? {
        build = build.cache_from(place.clone());
        if !given.on("no-push-cache")? {
            build = build.cache_to(place, CacheMode::Max);
        }
    }
    let ttl = given.one("cache-ttl").unwrap_or(CACHE_TTL);
    let ttl = parse_duration(ttl).map_err(|error| anyhow::anyhow!("--cache-ttl {ttl}: {error}"))?;
    Ok(build.cache_not_older_than(Duration::from_nanos(u64::try_from(ttl).unwrap_or(0))))
}

/// Where results are shared: `--cache-repo`, as a repository or as `oci:DIRECTORY`; else beside where the image goes.
fn cache_place(given: &Given) -> Result<Option<CachePlace>> {
    if let Some(directory) = given
        .one("cache-repo")
        .and_then(|place| place.strip_prefix("oci:"))
    {
        return Ok(Some(CachePlace::Local(directory.into())));
    }
    let name = match given.one("cache-repo") {
        Some(name) => name.to_owned(),
        None if given.on("no-push")? => return Ok(None),
        None => match given.all("destination").next() {
            Some(name) => format!("{}/cache", name.parse::<Reference>()?.name()),
            None => return Ok(None),
        },
    };
    Ok(Some(CachePlace::Registry(name.parse()?)))
}

fn compression(given: &Given) -> Result<Option<Compress>> {
    let level = given.number("compression-level")?;
    let name = given.one("compression");
    if name.is_none() && level.is_none() {
        return Ok(None);
    }
    let name = name.unwrap_or("gzip");
    ensure!(
        ["gzip", "zstd"].contains(&name),
        "--compression {name}: expected gzip or zstd"
    );
    let text = level.map_or(name.to_owned(), |level| format!("{name}:{level}"));
    Ok(Some(text.parse().map_err(anyhow::Error::msg)?))
}

/// `--verbosity`, `--log-format`, `--log-timestamp`.
pub fn progress(given: &Given) -> Result<Progress> {
    let quiet = match given.one("verbosity").unwrap_or("info") {
        "panic" | "fatal" | "error" | "warn" | "warning" => true,
        "info" | "debug" | "trace" => false,
        other => bail!("--verbosity {other}: expected panic, fatal, error, warn, info, debug or trace"),
    };
    let mode = match given.one("log-format").unwrap_or("color") {
        "color" | "text" => ProgressMode::Plain,
        "json" => ProgressMode::Json,
        other => bail!("--log-format {other}: expected text, color or json"),
    };
    let progress = Progress::new(mode, quiet);
    Ok(match given.on("log-timestamp")? {
        true => progress.with_timestamps(),
        false => progress,
    })
}

/// A registry, and the certificates that it reads when it needs them.
pub struct Client {
    registry: Registry,
    _certificates: Option<TempDir>,
}

impl Client {
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// Where base images come from.
pub fn pull_registry(given: &Given) -> Result<Client> {
    let any = given.on("insecure-pull")? || given.on("skip-tls-verify-pull")?;
    let mut builder = Registry::builder();
    let hub = given.all("registry-mirror").map(|mirror| ("docker.io", mirror));
    for (host, mirror) in given.pairs("registry-map")?.into_iter().chain(hub) {
        let host = if host == "index.docker.io" {
            "docker.io"
        } else {
            host
        };
        builder = builder.mirror(host, mirror.trim_start_matches("https://"));
    }
    if given.on("skip-default-registry-fallback")? {
        builder = builder.only_mirrors();
    }
    client(given, builder, any, "image-download-retry")
}

/// Where the image goes.
pub fn push_registry(given: &Given) -> Result<Client> {
    let any = given.on("insecure")? || given.on("skip-tls-verify")?;
    client(given, Registry::builder(), any, "push-retry")
}

fn client(given: &Given, mut builder: rbuild::registry::Builder, any: bool, retry: &str) -> Result<Client> {
    let listed = given
        .all("insecure-registry")
        .chain(given.all("skip-tls-verify-registry"));
    for host in listed.chain(any.then_some("*")) {
        builder = builder.insecure(host);
    }
    if let Some(retries) = given.number(retry)? {
        builder = builder.retry(Retry {
            attempts: retries.saturating_add(1),
            ..Retry::default()
        });
    }
    if let Some(keychain) = keychain(given) {
        builder = builder.keychain(keychain);
    }
    let certificates = certificates(given)?;
    if let Some(directory) = &certificates {
        builder = builder.certificates(directory.path());
    }
    Ok(Client {
        registry: builder.build(),
        _certificates: certificates,
    })
}

/// The logins in Kaniko's own directory, unless `DOCKER_CONFIG` says where they are.
fn keychain(given: &Given) -> Option<DockerKeychain> {
    let own = Path::new(given.one("kaniko-dir").unwrap_or("/kaniko")).join(".docker");
    let said = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let elsewhere = env::var_os("REGISTRY_AUTH_FILE").is_some();
    let directory = said.as_ref().unwrap_or(&own);
    // A secret of Kubernetes' type for logins has its file by the second name.
    let mut files = ["config.json", ".dockerconfigjson"]
        .map(|name| directory.join(name))
        .into_iter();
    let file = files.find(|file| file.exists())?;
    (!elsewhere).then(|| DockerKeychain::new(vec![file]))
}

/// `--registry-certificate` and `--registry-client-cert`, laid out as the library reads them.
fn certificates(given: &Given) -> Result<Option<TempDir>> {
    let (authorities, clients) = (
        given.pairs("registry-certificate")?,
        given.pairs("registry-client-cert")?,
    );
    if authorities.is_empty() && clients.is_empty() {
        return Ok(None);
    }
    let directory = TempDir::new().context("cannot make a directory for certificates")?;
    let made = Certificates::new(directory.path());
    let add = |host: &str, role: Role, file: &str| {
        let pem = fs::read(file).with_context(|| format!("cannot read the certificate {file}"))?;
        made.add(host, role, &pem)
    };
    for (host, file) in authorities {
        add(host, Role::Authorities, file)?;
    }
    for (host, files) in clients {
        let Some((certificate, key)) = files.split_once(',') else {
            bail!("--registry-client-cert {host}={files}: expected HOST=CERTIFICATE,KEY");
        };
        add(host, Role::Client, certificate)?;
        add(host, Role::ClientKey, key)?;
    }
    Ok(Some(directory))
}
