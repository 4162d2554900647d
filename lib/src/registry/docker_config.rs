//! Credentials where `docker login` and `podman login` put them: their configuration files and helper programs.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

use super::{Credentials, Keychain, KeychainError, Secret, credential_helper::Helpers};

/// What docker calls its own registry in its configuration.
pub(super) const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// The files that docker, podman, buildah and skopeo share.
///
/// `$REGISTRY_AUTH_FILE` alone if it is set; else, the first that knows the registry: `$DOCKER_CONFIG/config.json`,
/// `$XDG_RUNTIME_DIR/containers/auth.json`, `$XDG_CONFIG_HOME/containers/auth.json`, `~/.docker/config.json`. Read anew each time it is
/// asked.
#[derive(Clone, Debug)]
pub struct DockerKeychain {
    files: Vec<PathBuf>,
    helpers: Helpers,
}

impl DockerKeychain {
    /// The files that the environment says.
    pub fn from_environment() -> Self {
        let set = |name: &str| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        Self {
            files: files(set),
            helpers: Helpers::default(),
        }
    }

    /// These files, in this order.
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self {
            files,
            helpers: Helpers::default(),
        }
    }

    /// Runs the helper programs of this directory, not those on `PATH`.
    pub fn helpers(mut self, directory: impl Into<PathBuf>) -> Self {
        self.helpers = Helpers::of(directory.into());
        self
    }
}

fn files(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    if let Some(file) = variable("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let home = variable("HOME");
    let run = PathBuf::from(format!("/run/containers/{}", nix::unistd::getuid()));
    let config = variable("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
    [
        variable("DOCKER_CONFIG").map(|directory| directory.join("config.json")),
        variable("XDG_RUNTIME_DIR").map(|directory| directory.join("containers/auth.json")),
        Some(run.join("auth.json")),
        config.map(|directory| directory.join("containers/auth.json")),
        home.map(|directory| directory.join(".docker/config.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Keychain for DockerKeychain {
    fn credentials(&self, host: &str, repository: &str) -> Result<Option<Credentials>, KeychainError> {
        for file in &self.files {
            let Some(config) = Config::read(file)? else {
                continue;
            };
            if let Some(found) = config.credentials(file, &self.helpers, host, repository)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn looks_in(&self) -> Vec<String> {
        self.files.iter().map(|file| file.display().to_string()).collect()
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

impl Config {
    fn read(file: &Path) -> Result<Option<Self>, KeychainError> {
        let text = match fs::read(file) {
            Ok(text) => text,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(problem(file.display(), error)),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| problem(file.display(), error))
    }

    /// A helper for this host first, then the file itself, then the helper for all hosts.
    fn credentials(
        &self,
        file: &Path,
        helpers: &Helpers,
        host: &str,
        repository: &str,
    ) -> Result<Option<Credentials>, KeychainError> {
        let keys = keys(host, repository);
        if let Some((key, helper)) = self
            .cred_helpers
            .iter()
            .find(|(key, _)| keys.contains(&bare(key).to_owned()))
        {
            return helpers.ask(helper, key);
        }
        for key in &keys {
            let entry = self
                .auths
                .iter()
                .find(|(written, _)| bare(written) == key)
                .map(|(_, entry)| entry);
            if let Some(secret) = entry.map(|entry| entry.secret(file, host)).transpose()?.flatten() {
                return Ok(Some(Credentials {
                    secret,
                    source: file.display().to_string(),
                }));
            }
        }
        match self.creds_store.as_str() {
            "" => Ok(None),
            helper if host == "docker.io" => helpers.ask(helper, DOCKER_HUB_KEY),
            helper => helpers.ask(helper, host),
        }
    }
}

impl Entry {
    fn secret(&self, file: &Path, host: &str) -> Result<Option<Secret>, KeychainError> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Secret::IdentityToken(self.identitytoken.clone())));
        }
        if !self.registrytoken.is_empty() {
            return Ok(Some(Secret::RegistryToken(self.registrytoken.clone())));
        }
        if !self.auth.is_empty() {
            let wrong = || {
                problem(
                    file.display(),
                    format!("the auth of {host} is not base64 of user:password"),
                )
            };
            let bytes = BASE64_STANDARD.decode(self.auth.trim()).map_err(|_| wrong())?;
            let text = String::from_utf8(bytes).map_err(|_| wrong())?;
            let (username, password) = text.split_once(':').ok_or_else(wrong)?;
            // Docker pads passwords with NULs.
            return Ok(Some(password_of(username, password.trim_end_matches('\0'))));
        }
        Ok((!self.username.is_empty()).then(|| password_of(&self.username, &self.password)))
    }
}

fn password_of(username: &str, password: &str) -> Secret {
    Secret::Password {
        username: username.to_owned(),
        password: password.to_owned(),
    }
}

fn problem(source_name: impl ToString, reason: impl ToString) -> KeychainError {
    KeychainError {
        source_name: source_name.to_string(),
        reason: reason.to_string(),
    }
}

/// The keys that may name a repository, the most particular first: `host/a/b`, `host/a`, `host` (containers-auth.json(5)).
fn keys(host: &str, repository: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut key = format!("{host}/{repository}");
    loop {
        keys.push(key.clone());
        match key.rfind('/') {
            Some(end) => key.truncate(end),
            None => break,
        }
    }
    if host == "docker.io" {
        keys.extend(["index.docker.io".to_owned(), "registry-1.docker.io".to_owned()]);
    }
    keys
}

/// A key without what old versions of docker wrote around the host: `https://index.docker.io/v1/`.
pub(super) fn bare(key: &str) -> &str {
    let key = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let key = key.trim_end_matches('/');
    key.strip_suffix("/v1")
        .or_else(|| key.strip_suffix("/v2"))
        .unwrap_or(key)
}
