//! Credential helpers: programs that keep secrets (docker-credential-helpers, README, the protocol).

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;
use serde_json::json;

use super::{Credentials, KeychainError, Secret};

/// The user name by which a helper says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// What a helper prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Where the programs are.
#[derive(Clone, Debug, Default)]
pub(super) struct Helpers {
    /// On `PATH` if it is none.
    directory: Option<PathBuf>,
}

impl Helpers {
    pub(super) fn of(directory: PathBuf) -> Self {
        Self {
            directory: Some(directory),
        }
    }

    /// Runs `docker-credential-NAME get` with the server's name on its standard input; none if the helper has nothing for it.
    pub(super) fn ask(&self, name: &str, server: &str) -> Result<Option<Credentials>, KeychainError> {
        let secret = self
            .run(name, "get", server)?
            .map(|said| secret(&said))
            .transpose();
        let source = program(name);
        match secret {
            Ok(secret) => Ok(secret.map(|secret| Credentials { secret, source })),
            Err(reason) => Err(KeychainError {
                source_name: source,
                reason,
            }),
        }
    }

    /// Gives a helper something to keep.
    pub(super) fn keep(
        &self,
        name: &str,
        server: &str,
        username: &str,
        password: &str,
    ) -> Result<(), KeychainError> {
        let secret = json!({ "ServerURL": server, "Username": username, "Secret": password });
        self.run(name, "store", &secret.to_string()).map(drop)
    }

    /// Makes a helper forget what it keeps for a server.
    pub(super) fn forget(&self, name: &str, server: &str) -> Result<(), KeychainError> {
        self.run(name, "erase", server).map(drop)
    }

    /// What the helper prints; none if it has nothing.
    fn run(&self, name: &str, verb: &str, input: &str) -> Result<Option<String>, KeychainError> {
        let program = program(name);
        let path = self
            .directory
            .as_ref()
            .map_or(PathBuf::from(&program), |directory| directory.join(&program));
        run(&path, verb, input).map_err(|reason| KeychainError {
            source_name: program,
            reason,
        })
    }
}

fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

fn run(program: &Path, verb: &str, input: &str) -> Result<Option<String>, String> {
    let mut child = Command::new(program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that ends without reading says why by its output.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        if said.contains("credentials not found") {
            return Ok(None);
        }
        let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let reason = [said, complaint, output.status.to_string()]
            .into_iter()
            .find(|text| !text.is_empty());
        return Err(reason.unwrap_or_default());
    }
    Ok(Some(said))
}

/// What an answer to `get` holds.
fn secret(said: &str) -> Result<Secret, String> {
    let answer: Answer =
        serde_json::from_str(said).map_err(|error| format!("its answer cannot be read: {error}"))?;
    Ok(match answer.username.as_str() {
        TOKEN_USER => Secret::IdentityToken(answer.secret),
        _ => Secret::Password {
            username: answer.username,
            password: answer.secret,
        },
    })
}
