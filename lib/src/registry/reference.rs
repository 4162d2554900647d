//! Names of images in registries: `[HOST/]PATH[:TAG][@DIGEST]`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Digest, ParseDigestError};

/// The registry that a name without one means.
const DEFAULT_HOST: &str = "docker.io";
/// Names that the default registry also goes by.
const DEFAULT_HOST_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];
/// The namespace that a path of one component has in the default registry.
const DEFAULT_NAMESPACE: &str = "library/";
/// What is meant when neither a tag nor a digest is given.
const DEFAULT_TAG: &str = "latest";
/// The longest `HOST/PATH` that registries take (OCI distribution-spec, pulling manifests).
const MAX_NAME: usize = 255;

/// The name of an image, or of a repository, in a registry.
///
/// Parses by docker's rules: `alpine` is `docker.io/library/alpine`, and the part before the first `/` is a host only if it has
/// a `.`, a `:` or an upper-case letter in it, or is `localhost`. [`Display`](fmt::Display) prints the full name,
/// [`familiar`](Reference::familiar) the short one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not a [`Reference`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image name: {reason}")]
pub struct ParseReferenceError {
    text: String,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("it is empty")]
    Empty,
    #[error("a transport such as docker:// does not belong here")]
    Transport,
    #[error("{0:?} is not a host name with an optional port")]
    Host(String),
    #[error("a repository is written in lower case: {0:?}")]
    UpperCase(String),
    #[error(
        "{0:?} cannot be part of a repository: letters, digits and single separators . _ __ - between them"
    )]
    Component(String),
    #[error("{0:?} is not a tag: up to 128 letters, digits, _ . and -, not beginning with . or -")]
    Tag(String),
    #[error("{0}")]
    Digest(ParseDigestError),
    #[error("64 hex digits alone could be an image ID")]
    LooksLikeId,
    #[error("it is longer than {MAX_NAME} characters")]
    TooLong,
}

impl Reference {
    /// The registry's host name, with its port if one is given: `docker.io`, `localhost:5000`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path in the registry: `library/alpine`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one is given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one is given.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What the manifest is asked for by: the digest, else the tag, else `latest`.
    pub fn selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// The same name with the tag `latest` if it has neither tag nor digest.
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same repository without tag and digest.
    pub fn without_selector(&self) -> Self {
        Self {
            host: self.host.clone(),
            repository: self.repository.clone(),
            tag: None,
            digest: None,
        }
    }

    /// The manifest with this digest in the same repository.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.without_selector()
        }
    }

    /// Another tag in the same repository; no digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ParseReferenceError> {
        check_tag(tag).map_err(|reason| reason.about(tag))?;
        Ok(Self {
            tag: Some(tag.to_owned()),
            ..self.without_selector()
        })
    }

    /// `HOST/PATH`, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// The short form that people type: `alpine:3.20`, `me/app`, `ghcr.io/me/app`.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let Some(path) = full
            .strip_prefix(DEFAULT_HOST)
            .and_then(|rest| rest.strip_prefix('/'))
        else {
            return full;
        };
        match (path.strip_prefix(DEFAULT_NAMESPACE), path.split_once('/')) {
            (Some(short), _) if !short.contains('/') => short.to_owned(),
            (_, Some((first, _))) if is_host(first) => full,
            _ => path.to_owned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|reason| reason.about(text))
    }
}

impl Reason {
    fn about(self, text: &str) -> ParseReferenceError {
        ParseReferenceError {
            text: text.chars().take(2 * MAX_NAME).collect(),
            reason: self,
        }
    }
}

fn parse(text: &str) -> Result<Reference, Reason> {
    if text.is_empty() {
        return Err(Reason::Empty);
    }
    if text.contains("://") {
        return Err(Reason::Transport);
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse().map_err(Reason::Digest)?)),
        None => (text, None),
    };
    let (name, tag) = split_tag(rest);
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    let looks_like_id = name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if looks_like_id {
        return Err(Reason::LooksLikeId);
    }
    let (host, repository) = split_host(name)?;
    if host.len() + 1 + repository.len() > MAX_NAME {
        return Err(Reason::TooLong);
    }
    Ok(Reference {
        host,
        repository,
        tag: tag.map(str::to_owned),
        digest,
    })
}

/// A tag follows the last `:` that no `/` follows; any other `:` is before a port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

fn split_host(name: &str) -> Result<(String, String), Reason> {
    let (host, path) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (first, rest),
        _ => (DEFAULT_HOST, name),
    };
    check_host(host)?;
    let host = if DEFAULT_HOST_ALIASES.contains(&host) {
        DEFAULT_HOST
    } else {
        host
    };
    for component in path.split('/') {
        check_component(component)?;
    }
    let namespace = if host == DEFAULT_HOST && !path.contains('/') {
        DEFAULT_NAMESPACE
    } else {
        ""
    };
    Ok((host.to_owned(), format!("{namespace}{path}")))
}

fn is_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn check_host(text: &str) -> Result<(), Reason> {
    let wrong = || Reason::Host(text.to_owned());
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            address.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            match rest.strip_prefix(':') {
                Some(port) => (None, Some(port)),
                None if rest.is_empty() => (None, None),
                None => return Err(wrong()),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let digits = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let well_formed = host.is_none_or(|host| host.split('.').all(is_label)) && port.is_none_or(digits);
    if well_formed { Ok(()) } else { Err(wrong()) }
}

fn is_label(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}

/// Runs of lower-case letters and digits, joined by one of `.`, `_`, `__` or any number of `-`.
fn check_component(component: &str) -> Result<(), Reason> {
    if component.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(Reason::UpperCase(component.to_owned()));
    }
    let is_alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = component.bytes().next().zip(component.bytes().last());
    let ends_well = ends.is_some_and(|(first, last)| is_alphanumeric(first) && is_alphanumeric(last));
    let separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let joined_well = |run: &str| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-');
    if ends_well && separators.into_iter().all(joined_well) {
        Ok(())
    } else {
        Err(Reason::Component(component.to_owned()))
    }
}

fn check_tag(tag: &str) -> Result<(), Reason> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let begins_well = tag.bytes().next().is_some_and(word);
    let goes_on_well = tag.bytes().all(|b| word(b) || b == b'.' || b == b'-');
    if begins_well && goes_on_well && tag.len() <= 128 {
        Ok(())
    } else {
        Err(Reason::Tag(tag.to_owned()))
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn parses_by_docker_rules() {
        // written, full form, familiar form
        let table = [
            ("alpine", "docker.io/library/alpine", "alpine"),
            ("alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"),
            ("library/alpine", "docker.io/library/alpine", "alpine"),
            ("index.docker.io/alpine", "docker.io/library/alpine", "alpine"),
            ("docker.io/me/app:1", "docker.io/me/app:1", "me/app:1"),
            ("library/a/b", "docker.io/library/a/b", "library/a/b"),
            ("me/app", "docker.io/me/app", "me/app"),
            ("localhost/app", "localhost/app", "localhost/app"),
            (
                "localhost:5000/app:2",
                "localhost:5000/app:2",
                "localhost:5000/app:2",
            ),
            ("Host/app", "Host/app", "Host/app"),
            ("docker.io/me.x/app", "docker.io/me.x/app", "docker.io/me.x/app"),
            ("127.0.0.1:80/a/b/c", "127.0.0.1:80/a/b/c", "127.0.0.1:80/a/b/c"),
            ("[::1]:5000/app:x", "[::1]:5000/app:x", "[::1]:5000/app:x"),
            (
                "ghcr.io/me/a.b_c__d---e:T.a-g_1",
                "ghcr.io/me/a.b_c__d---e:T.a-g_1",
                "ghcr.io/me/a.b_c__d---e:T.a-g_1",
            ),
        ];
        for (text, full, familiar) in table {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(
                (reference.to_string().as_str(), reference.familiar().as_str()),
                (full, familiar),
                "{text}"
            );
        }
    }

    #[test]
    fn a_digest_beats_a_tag() {
        let reference: Reference = format!("alpine:3@{D}").parse().unwrap();
        assert_eq!(reference.tag(), Some("3"));
        assert_eq!(reference.selector(), D);
        assert_eq!(reference.to_string(), format!("docker.io/library/alpine:3@{D}"));
        assert_eq!("alpine".parse::<Reference>().unwrap().selector(), "latest");
        assert_eq!(
            "alpine".parse::<Reference>().unwrap().or_latest().familiar(),
            "alpine:latest"
        );
    }

    #[test]
    fn refuses_what_docker_refuses() {
        let id = "a".repeat(64);
        let long = format!("{}/b", "a".repeat(250));
        let tag = format!("app:{}", "t".repeat(129));
        let table = [
            ("", "it is empty"),
            ("docker://alpine", "transport"),
            ("me/App", "lower case"),
            ("App", "lower case"),
            ("a//b", "cannot be part"),
            ("a/", "cannot be part"),
            ("/a", "cannot be part"),
            ("-a", "cannot be part"),
            ("a-", "cannot be part"),
            ("a..b", "cannot be part"),
            ("a___b", "cannot be part"),
            ("a._b", "cannot be part"),
            ("a b", "cannot be part"),
            ("ä", "cannot be part"),
            ("a:", "not a tag"),
            ("a:-x", "not a tag"),
            ("a:b:c", "cannot be part"),
            (tag.as_str(), "not a tag"),
            ("a@sha256:00", "not a digest"),
            ("a@sha512:00", "not supported"),
            ("host.:5000/a", "not a host"),
            ("host:x/a", "not a host"),
            ("host:99999/a", "not a host"),
            ("[::g]/a", "not a host"),
            (id.as_str(), "image ID"),
            (long.as_str(), "longer than"),
        ];
        for (text, reason) in table {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<Reference>();
        }

        #[test]
        fn every_form_parses_back(text in "((docker|[a-z0-9]{1,5})\\.io(:[1-9][0-9]{0,3})?/)?[a-z0-9]{1,4}([_-][a-z0-9]{1,3}){0,2}(/[a-z0-9]{1,3}){0,2}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,9})?") {
            let reference: Reference = text.parse().unwrap();
            prop_assert_eq!(&reference.to_string().parse::<Reference>().unwrap(), &reference);
            prop_assert_eq!(&reference.familiar().parse::<Reference>().unwrap(), &reference);
        }
    }
}
