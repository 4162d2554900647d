//! `NAME=VALUE` and `NAME[=VALUE]`.

use std::str::FromStr;

use anyhow::{Result, ensure};

/// `NAME=VALUE`: `--label`, `--build-context`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Before the first `=`.
    pub name: String,
    /// After it.
    pub value: String,
}

impl FromStr for Pair {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        ensure!(!name.is_empty() && text.contains('='), "expected NAME=VALUE");
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// `SRC[:DEST]`: `--source-image-path`, `--runtime-artifact`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// A path in an image.
    pub path: String,
    /// A directory elsewhere.
    pub directory: String,
}

impl FromStr for Moved {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (path, directory) = text.rsplit_once(':').unwrap_or((text, "."));
        ensure!(
            path.starts_with('/'),
            "expected the absolute path of a file or directory in the image"
        );
        Ok(Self {
            path: path.to_owned(),
            directory: if directory.is_empty() { "." } else { directory }.to_owned(),
        })
    }
}

/// `NAME[=VALUE]`: `--build-arg`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Before the first `=`.
    pub name: String,
    /// After it, if there is one.
    pub value: Option<String>,
}

impl Arg {
    /// Name and value; a value that was not given comes from the environment, and without one there is no argument.
    pub fn resolve(&self, environment: impl Fn(&str) -> Option<String>) -> Option<(String, String)> {
        let value = self.value.clone().or_else(|| environment(&self.name))?;
        Some((self.name.clone(), value))
    }
}

impl FromStr for Arg {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        ensure!(!name.is_empty(), "expected NAME or NAME=VALUE");
        Ok(Self {
            name: name.to_owned(),
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_split_at_the_first_sign() {
        let pair: Pair = "a=b=c".parse().unwrap();
        assert_eq!((pair.name.as_str(), pair.value.as_str()), ("a", "b=c"));
        assert_eq!("a=".parse::<Pair>().unwrap().value, "");
        for text in ["", "a", "=b"] {
            assert!(text.parse::<Pair>().is_err(), "{text}");
        }
    }

    #[test]
    fn arguments_fall_back_on_the_environment() {
        let environment = |name: &str| (name == "SET").then(|| "from outside".to_owned());
        let cases = [
            ("A=1", Some(("A", "1"))),
            ("A=", Some(("A", ""))),
            ("SET=own", Some(("SET", "own"))),
            ("SET", Some(("SET", "from outside"))),
            ("UNSET", None),
        ];
        for (text, expected) in cases {
            let resolved = text.parse::<Arg>().unwrap().resolve(environment);
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(resolved, expected, "{text}");
        }
        assert!("=1".parse::<Arg>().is_err());
    }
}
