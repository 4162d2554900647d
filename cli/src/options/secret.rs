//! `--secret` and `--ssh`: what a RUN may see and no layer may hold.

use std::{path::PathBuf, str::FromStr};

use anyhow::{Result, bail, ensure};

use super::fields::fields;

/// One `--secret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// What `RUN --mount=type=secret,id=…` asks for.
    pub id: String,
    /// Where the value is.
    pub source: SecretSource,
}

/// Where the value of a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file.
    File(PathBuf),
    /// In a variable of the environment.
    Environment(String),
    /// In the variable named like the secret if there is one, else in the file of that name.
    Named,
}

impl FromStr for Secret {
    type Err = anyhow::Error;

    /// `id=ID[,src=FILE|,env=VARIABLE][,type=file|env]`.
    fn from_str(text: &str) -> Result<Self> {
        let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
        for (key, value) in fields(text)? {
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                bail!("{key:?} needs a value, as in {key}=VALUE");
            };
            match key.as_str() {
                "id" => id = Some(value),
                "src" | "source" => file = Some(value),
                "env" => variable = Some(value),
                "type" => kind = Some(value),
                _ => bail!("unknown key {key:?}; known are id, src, env, type"),
            }
        }
        let Some(id) = id else {
            bail!("the id is missing, as in id=token,src=token.txt")
        };
        let source = match (kind.as_deref(), file, variable) {
            (_, Some(_), Some(_)) => bail!("src and env exclude each other"),
            (Some("env"), Some(name), None) | (None | Some("env"), None, Some(name)) => {
                SecretSource::Environment(name)
            }
            (None | Some("file"), Some(path), None) => SecretSource::File(path.into()),
            (Some("env"), None, None) => SecretSource::Environment(id.clone()),
            (Some("file"), None, None) => SecretSource::File(id.clone().into()),
            (None, None, None) => SecretSource::Named,
            (Some("file"), None, Some(_)) => bail!("type=file takes src, not env"),
            (Some(kind), ..) => bail!("unknown type {kind:?}; known are file, env"),
        };
        Ok(Self { id, source })
    }
}

/// One `--ssh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// What `RUN --mount=type=ssh,id=…` asks for.
    pub id: String,
    /// An agent's socket, or keys; none means the agent of `SSH_AUTH_SOCK`.
    pub paths: Vec<PathBuf>,
}

impl FromStr for Ssh {
    type Err = anyhow::Error;

    /// `ID[=SOCKET|=KEY[,KEY…]]`.
    fn from_str(text: &str) -> Result<Self> {
        let (id, paths) = text.split_once('=').unwrap_or((text, ""));
        ensure!(!id.is_empty(), "expected default, ID=SOCKET or ID=KEY[,KEY]");
        let paths = paths
            .split(',')
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .collect();
        Ok(Self {
            id: id.to_owned(),
            paths,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_secret() {
        let file = |path: &str| SecretSource::File(path.into());
        let variable = |name: &str| SecretSource::Environment(name.into());
        let cases = [
            ("id=t", SecretSource::Named),
            ("id=t,src=f", file("f")),
            ("source=f,id=t", file("f")),
            ("id=t,type=file,src=f", file("f")),
            ("id=t,type=file", file("t")),
            ("id=t,env=V", variable("V")),
            ("id=t,type=env,env=V", variable("V")),
            ("id=t,type=env,src=V", variable("V")),
            ("id=t,type=env", variable("t")),
        ];
        for (text, source) in cases {
            assert_eq!(
                text.parse::<Secret>().unwrap(),
                Secret {
                    id: "t".into(),
                    source
                },
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_said() {
        let cases = [
            ("src=f", "the id is missing, as in id=token,src=token.txt"),
            ("id=", "\"id\" needs a value, as in id=VALUE"),
            ("id=t,src=f,env=V", "src and env exclude each other"),
            ("id=t,type=file,env=V", "type=file takes src, not env"),
            ("id=t,type=vault", "unknown type \"vault\"; known are file, env"),
            (
                "id=t,mode=1",
                "unknown key \"mode\"; known are id, src, env, type",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(
                text.parse::<Secret>().unwrap_err().to_string(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn every_form_of_ssh() {
        let cases: [(&str, &str, &[&str]); 4] = [
            ("default", "default", &[]),
            ("default=", "default", &[]),
            ("git=/run/agent", "git", &["/run/agent"]),
            ("git=a,b", "git", &["a", "b"]),
        ];
        for (text, id, paths) in cases {
            let expected = Ssh {
                id: id.into(),
                paths: paths.iter().map(PathBuf::from).collect(),
            };
            assert_eq!(text.parse::<Ssh>().unwrap(), expected, "{text}");
        }
        assert!("=x".parse::<Ssh>().is_err());
    }
}
