//! Credential helpers: programs that keep secrets (docker-credential-helpers, README, the protocol).

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

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
        let program = format!("docker-credential-{name}");
        let path = self
            .directory
            .as_ref()
            .map_or(PathBuf::from(&program), |directory| directory.join(&program));
        match run(&path, server) {
            Ok(Some(secret)) => Ok(Some(Credentials {
                secret,
                source: program,
            })),
            Ok(None) => Ok(None),
            Err(reason) => Err(KeychainError {
                source_name: program,
                reason,
            }),
        }
    }
}

fn run(program: &Path, server: &str) -> Result<Option<Secret>, String> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that ends without reading says why by its output.
        let _ = stdin.write_all(server.as_bytes());
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
    let answer: Answer =
        serde_json::from_str(&said).map_err(|error| format!("its answer cannot be read: {error}"))?;
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => Secret::IdentityToken(answer.secret),
        _ => Secret::Password {
            username: answer.username,
            password: answer.secret,
        },
    }))
}
