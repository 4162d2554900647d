//! Credentials: what they are, and the trait of those who have them.

use std::fmt;

/// Someone who has credentials for registries.
///
/// Asked only when a registry wants a login, from a blocking pool, so it may read files, run programs and ask a person.
pub trait Keychain: Send + Sync {
    /// The credentials for a repository, by host name and port (`docker.io`, `localhost:5000`) and path; none if there are none.
    fn credentials(&self, host: &str, repository: &str) -> Result<Option<Credentials>, KeychainError>;

    /// Where it looks, for error messages: `/root/.docker/config.json`.
    fn looks_in(&self) -> Vec<String>;
}

/// What a registry is told so that it lets one in.
#[derive(Clone)]
pub struct Credentials {
    /// The secret itself.
    pub secret: Secret,
    /// Where it comes from, for error messages: a file, a helper program, an environment variable.
    pub source: String,
}

/// The kinds of credentials. Never printed, not by `Debug` either.
#[derive(Clone)]
#[non_exhaustive]
pub enum Secret {
    /// A user and a password or access token.
    Password {
        /// The user's name.
        username: String,
        /// The password.
        password: String,
    },
    /// An OAuth2 refresh token, which the token server changes into access tokens.
    IdentityToken(String),
    /// An access token, used as it is.
    RegistryToken(String),
}

/// Credentials should be there, but cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{source_name}: {reason}")]
pub struct KeychainError {
    /// The file or helper program.
    pub source_name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A keychain with nothing in it.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous;

impl Keychain for Anonymous {
    fn credentials(&self, _host: &str, _repository: &str) -> Result<Option<Credentials>, KeychainError> {
        Ok(None)
    }

    fn looks_in(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The same user and password for one host.
#[derive(Clone, Debug)]
pub struct Explicit {
    /// Any, if there is none.
    host: Option<String>,
    credentials: Credentials,
}

impl Explicit {
    /// `source` says where they come from, for error messages: `--creds`.
    pub fn new(host: &str, username: &str, password: &str, source: &str) -> Self {
        let secret = Secret::Password {
            username: username.to_owned(),
            password: password.to_owned(),
        };
        Self {
            host: Some(host.to_owned()),
            credentials: Credentials {
                secret,
                source: source.to_owned(),
            },
        }
    }

    /// The same for whichever host asks: for work that concerns one registry.
    pub fn for_any_host(mut self) -> Self {
        self.host = None;
        self
    }
}

impl Keychain for Explicit {
    fn credentials(&self, host: &str, _repository: &str) -> Result<Option<Credentials>, KeychainError> {
        let meant = self.host.as_ref().is_none_or(|meant| meant == host);
        Ok(meant.then(|| self.credentials.clone()))
    }

    fn looks_in(&self) -> Vec<String> {
        vec![self.credentials.source.clone()]
    }
}

/// Several keychains; the first that has credentials is believed.
pub struct Chain(Vec<Box<dyn Keychain>>);

impl Chain {
    /// In the order of asking.
    pub fn new(keychains: Vec<Box<dyn Keychain>>) -> Self {
        Self(keychains)
    }
}

impl Keychain for Chain {
    fn credentials(&self, host: &str, repository: &str) -> Result<Option<Credentials>, KeychainError> {
        for keychain in &self.0 {
            if let Some(found) = keychain.credentials(host, repository)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn looks_in(&self) -> Vec<String> {
        self.0.iter().flat_map(|keychain| keychain.looks_in()).collect()
    }
}

impl Credentials {
    /// For error messages: whose they are and where they come from, without the secret.
    pub(super) fn describe(&self) -> String {
        match &self.secret {
            Secret::Password { username, .. } => format!("user {username:?} from {}", self.source),
            Secret::IdentityToken(_) => format!("the identity token from {}", self.source),
            Secret::RegistryToken(_) => format!("the registry token from {}", self.source),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.describe())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password(…)",
            Self::IdentityToken(_) => "IdentityToken(…)",
            Self::RegistryToken(_) => "RegistryToken(…)",
        })
    }
}
