//! `login` and `logout`: whether a password is good, and keeping it where docker keeps it.

use std::{
    env, fs, io,
    io::Write as _,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    Error, KeychainError, Kind, Reference, Registry,
    auth::Access,
    credential_helper::Helpers,
    docker_config::{DOCKER_HUB_KEY, bare},
    host::Host,
};

impl Registry {
    /// Asks a host (`ghcr.io`, `localhost:5000`) to let us in as the keychain says, and does nothing there.
    ///
    /// # Errors
    /// If it does not, or cannot be reached.
    pub async fn check_login(&self, host: &str) -> Result<(), Error> {
        // What is asked for belongs to no repository; its name is for the keychain alone.
        let at: Reference = format!("{host}/login").parse().map_err(|error| {
            let why = format!("no name of a host: {error}");
            Error::new(host, super::Cause::Protocol(why))
        })?;
        let retry = self.inner.settings.retry;
        let asked = retry.run(&at, async || {
            let get = |host: &Host| host.get("/v2/");
            let response = self.request(&at, &Access::nothing(), get).await?;
            self.expect(response, &at, Kind::Repository, &[StatusCode::OK])
                .await
        });
        asked.await.map(drop).map_err(|error| error.placed(host))
    }
}

/// A configuration file of docker's, in which logins are kept, or which names the program that keeps them.
///
/// What else is in it stays.
#[derive(Clone, Debug)]
pub struct LoginFile {
    path: PathBuf,
    helpers: Helpers,
}

impl LoginFile {
    /// `$REGISTRY_AUTH_FILE`, `$DOCKER_CONFIG/config.json`, or `~/.docker/config.json`; none if none of these is set.
    pub fn from_environment() -> Option<Self> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let docker = || {
            let directory = set("DOCKER_CONFIG").map(PathBuf::from);
            let home = || Some(PathBuf::from(set("HOME")?).join(".docker"));
            Some(directory.or_else(home)?.join("config.json"))
        };
        set("REGISTRY_AUTH_FILE")
            .map(PathBuf::from)
            .or_else(docker)
            .map(Self::new)
    }

    /// This file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            helpers: Helpers::default(),
        }
    }

    /// Runs the helper programs of this directory, not those on `PATH`.
    pub fn helpers(mut self, directory: impl Into<PathBuf>) -> Self {
        self.helpers = Helpers::of(directory.into());
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps user and password for a host, in place of what was kept for it.
    ///
    /// # Errors
    /// If the file cannot be read or written, or the helper program fails.
    pub fn keep(&self, host: &str, username: &str, password: &str) -> Result<(), KeychainError> {
        let mut config = self.read()?;
        let key = key(host);
        if let Some(helper) = helper(&config, host) {
            return self.helpers.keep(&helper, key, username, password);
        }
        let auths = config.entry("auths").or_insert_with(|| json!({}));
        let Some(auths) = auths.as_object_mut() else {
            return Err(self.problem("\"auths\" is no object"));
        };
        auths.retain(|known, _| !is_for(known, host));
        let auth = BASE64_STANDARD.encode(format!("{username}:{password}"));
        auths.insert(key.to_owned(), json!({ "auth": auth }));
        self.write(&config)
    }

    /// Forgets what is kept for a host; says whether there was something.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub fn forget(&self, host: &str) -> Result<bool, KeychainError> {
        let mut config = self.read()?;
        let mut known = false;
        if let Some(helper) = helper(&config, host) {
            known = self.helpers.ask(&helper, key(host))?.is_some();
            if known {
                self.helpers.forget(&helper, key(host))?;
            }
        }
        if let Some(auths) = config.get_mut("auths").and_then(Value::as_object_mut) {
            let before = auths.len();
            auths.retain(|known, _| !is_for(known, host));
            if auths.len() < before {
                self.write(&config)?;
                known = true;
            }
        }
        Ok(known)
    }

    fn read(&self) -> Result<Map<String, Value>, KeychainError> {
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| self.problem(error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
            Err(error) => Err(self.problem(error)),
        }
    }

    /// All at once, and readable by its owner alone. Where the file is a link, what it leads to is replaced.
    fn write(&self, config: &Map<String, Value>) -> Result<(), KeychainError> {
        let write = || -> io::Result<()> {
            let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
            let directory = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            serde_json::to_writer_pretty(&mut file, config)?;
            file.write_all(b"\n")?;
            file.as_file().sync_data()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|error| self.problem(format!("cannot be written: {error}")))
    }

    fn problem(&self, reason: impl ToString) -> KeychainError {
        KeychainError {
            source_name: self.path.display().to_string(),
            reason: reason.to_string(),
        }
    }
}

/// What docker calls a host in its configuration.
fn key(host: &str) -> &str {
    match host {
        "docker.io" => DOCKER_HUB_KEY,
        host => host,
    }
}

/// Whether an entry is for a host, whatever old versions wrote around its name.
fn is_for(known: &str, host: &str) -> bool {
    let known = bare(known);
    known == host || known == bare(key(host))
}

/// The program that keeps the logins of a host.
fn helper(config: &Map<String, Value>, host: &str) -> Option<String> {
    let own = config.get("credHelpers").and_then(Value::as_object);
    let own = own.and_then(|helpers| helpers.iter().find(|(known, _)| is_for(known, host)));
    let name = own
        .map(|(_, name)| name)
        .or_else(|| config.get("credsStore"))?
        .as_str()?;
    (!name.is_empty()).then(|| name.to_owned())
}
