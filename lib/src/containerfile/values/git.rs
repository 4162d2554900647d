//! Sources of `ADD`, and contexts, that are not files: git repositories and other URLs.

use super::parse_bool;

/// Why the address of a git repository cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidGitSource {
    /// A query key that there is not.
    #[error("git sources have no option {0}")]
    UnknownOption(String),
    /// A query key without its value.
    #[error("option {0} of a git source needs a value")]
    MissingValue(String),
    /// A query key given more than once.
    #[error("option {0} of a git source is given twice")]
    Duplicate(String),
    /// A value that is neither yes nor no.
    #[error("{1:?} is no value for option {0}: it is true or false")]
    NotBool(String, String),
    /// Two options that say different things.
    #[error("a git source has one {0}, not both {1:?} and {2:?}")]
    Conflict(&'static str, String, String),
}

/// Where a source comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A git repository.
    Git(GitSource),
    /// Something to download.
    Http(String),
    /// A path.
    Path(String),
}

/// A git repository, and what of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitSource {
    /// What `git` is told to fetch from: no query, no fragment.
    pub remote: String,
    /// Branch, tag, full reference or commit; none for what the remote has as its head.
    pub reference: Option<String>,
    /// A directory in it.
    pub subdir: Option<String>,
    /// The commit, or the first digits of it, that the reference must be.
    pub checksum: Option<String>,
    /// Whether `.git` is kept, where the address says.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules are fetched, where the address says.
    pub submodules: Option<bool>,
}

impl Origin {
    /// Tells what a source of `ADD` is.
    pub fn parse(text: &str) -> Result<Self, InvalidGitSource> {
        if let Some(git) = GitSource::parse(text)? {
            return Ok(Origin::Git(git));
        }
        let scheme = text
            .split_once("://")
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        Ok(match scheme.as_deref() {
            Some("http" | "https") => Origin::Http(text.to_owned()),
            _ => Origin::Path(text.to_owned()),
        })
    }
}

impl GitSource {
    /// Reads the address of a git repository: `https://host/repo.git`, where the `.git` matters, `git://…`, `ssh://…` or
    /// `user@host:path`; then `?ref=…&subdir=…`, `#ref` or `#ref:subdir`. None if it is none.
    pub fn parse(text: &str) -> Result<Option<Self>, InvalidGitSource> {
        let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (remote, query) = address.split_once('?').unwrap_or((address, ""));
        let is_git = match remote.split_once("://") {
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "http" | "https" => rest
                    .split_once('/')
                    .is_some_and(|(_, path)| path.ends_with(".git")),
                "git" | "ssh" => true,
                _ => false,
            },
            None => is_scp_style(remote),
        };
        match is_git {
            true => Self::with_options(remote, query, fragment).map(Some),
            false => Ok(None),
        }
    }

    /// Reads a build context: the same, and `github.com/owner/repo` without a scheme.
    pub fn parse_context(text: &str) -> Result<Option<Self>, InvalidGitSource> {
        match text.starts_with("github.com/") {
            true => Self::parse(&with_suffix(text)),
            false => Self::parse(text),
        }
    }

    /// The name of the repository: the directory it is cloned into by default.
    pub fn name(&self) -> &str {
        let last = self.remote.rsplit(['/', ':']).next().unwrap_or_default();
        last.strip_suffix(".git").unwrap_or(last)
    }

    fn with_options(remote: &str, query: &str, fragment: &str) -> Result<Self, InvalidGitSource> {
        let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let mut source = GitSource {
            remote: remote.to_owned(),
            reference: given(reference),
            subdir: given(subdir),
            ..GitSource::default()
        };
        let (mut tag, mut branch) = (None, None);
        let mut seen: Vec<String> = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let (key, value) = (decode(key), decode(value));
            if seen.contains(&key) {
                return Err(InvalidGitSource::Duplicate(key));
            }
            if !KEYS.contains(&key.as_str()) {
                return Err(InvalidGitSource::UnknownOption(key));
            }
            if value.is_empty() && !matches!(key.as_str(), "submodules" | "keep-git-dir") {
                return Err(InvalidGitSource::MissingValue(key));
            }
            match key.as_str() {
                "ref" => agree("ref", &mut source.reference, value)?,
                "subdir" => agree("subdir", &mut source.subdir, value)?,
                "tag" => tag = Some(prefixed("refs/tags/", value)),
                "branch" => branch = Some(prefixed("refs/heads/", value)),
                "keep-git-dir" => source.keep_git_dir = Some(flag(&key, &value)?),
                "submodules" => source.submodules = Some(flag(&key, &value)?),
                _ => agree("checksum", &mut source.checksum, value)?,
            }
            seen.push(key);
        }
        for reference in [tag, branch].into_iter().flatten() {
            agree("ref", &mut source.reference, reference)?;
        }
        if source.reference.is_none() {
            source.reference = source.checksum.clone();
        }
        Ok(source)
    }
}

const KEYS: [&str; 8] = [
    "ref",
    "tag",
    "branch",
    "subdir",
    "checksum",
    "commit",
    "keep-git-dir",
    "submodules",
];

/// `user@host:path`.
fn is_scp_style(text: &str) -> bool {
    let name = |text: &str, more: &[char]| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || more.contains(&c))
    };
    let Some((user, rest)) = text.split_once('@') else {
        return false;
    };
    rest.split_once(':')
        .is_some_and(|(host, _)| name(user, &['_']) && name(host, &['.']))
}

/// Repositories on GitHub are found with and without the suffix; addresses are recognized by it.
fn with_suffix(text: &str) -> String {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let (path, options) = text.split_at(end);
    let suffix = if path.ends_with(".git") { "" } else { ".git" };
    format!("https://{path}{suffix}{options}")
}

fn prefixed(prefix: &str, name: String) -> String {
    if name.starts_with(prefix) {
        name
    } else {
        format!("{prefix}{name}")
    }
}

fn flag(key: &str, value: &str) -> Result<bool, InvalidGitSource> {
    match value {
        "" => Ok(true),
        value => parse_bool(value).ok_or_else(|| InvalidGitSource::NotBool(key.to_owned(), value.to_owned())),
    }
}

/// Sets what may be set already, to the same value.
fn agree(what: &'static str, slot: &mut Option<String>, value: String) -> Result<(), InvalidGitSource> {
    match slot.replace(value.clone()) {
        Some(before) if before != value => Err(InvalidGitSource::Conflict(what, before, value)),
        _ => Ok(()),
    }
}

/// Undoes the encoding of queries. What is wrongly encoded stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let decoded = hex
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .filter(|_| *first == b'%');
        bytes.push(match (first, decoded) {
            (_, Some(byte)) => byte,
            (b'+', None) => b' ',
            (byte, None) => *byte,
        });
        rest = if decoded.is_some() {
            after.get(2..).unwrap_or_default()
        } else {
            after
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remote, reference, subdir, checksum.
    fn parts(text: &str) -> Option<(String, String, String, String)> {
        let git = GitSource::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))?;
        Some((
            git.remote,
            git.reference.unwrap_or_default(),
            git.subdir.unwrap_or_default(),
            git.checksum.unwrap_or_default(),
        ))
    }

    #[test]
    fn repositories() {
        for (text, remote, reference, subdir, checksum) in [
            ("https://h/foo.git", "https://h/foo.git", "", "", ""),
            ("HTTPS://h/foo.git#v1", "HTTPS://h/foo.git", "v1", "", ""),
            ("http://h/foo.git#a/b:c/d", "http://h/foo.git", "a/b", "c/d", ""),
            ("https://h/foo.git#:dir", "https://h/foo.git", "", "dir", ""),
            ("https://u:p@h/a/foo.git", "https://u:p@h/a/foo.git", "", "", ""),
            ("git://h/foo", "git://h/foo", "", "", ""),
            ("ssh://git@h:22/foo", "ssh://git@h:22/foo", "", "", ""),
            ("git@h.org:a/foo.git#main", "git@h.org:a/foo.git", "main", "", ""),
            (
                "https://h/foo.git?ref=v1&subdir=/s",
                "https://h/foo.git",
                "v1",
                "/s",
                "",
            ),
            (
                "https://h/foo.git?tag=v1",
                "https://h/foo.git",
                "refs/tags/v1",
                "",
                "",
            ),
            (
                "https://h/foo.git?branch=refs/heads/b",
                "https://h/foo.git",
                "refs/heads/b",
                "",
                "",
            ),
            (
                "https://h/foo.git?checksum=abc",
                "https://h/foo.git",
                "abc",
                "",
                "abc",
            ),
            (
                "https://h/foo.git?commit=abc&ref=v1",
                "https://h/foo.git",
                "v1",
                "",
                "abc",
            ),
            ("https://h/foo.git?ref=v1#v1", "https://h/foo.git", "v1", "", ""),
            (
                "https://h/foo.git?ref=a%2Fb+c",
                "https://h/foo.git",
                "a/b c",
                "",
                "",
            ),
        ] {
            let want = (remote.into(), reference.into(), subdir.into(), checksum.into());
            assert_eq!(parts(text), Some(want), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "https://h/",
            "https://h/foo",
            "https://h/foo.git/",
            "https://h/foo.git.bar",
            "https://foo.git",
            "h.xyz/foo.git",
            "./.git",
            ".git",
            "a",
            "ftp://h/foo.git",
            "h:foo",
            "a b@h:x",
            "github.com/a/b",
            "@h:x",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[test]
    fn flags() {
        let git = |query: &str| GitSource::parse(&format!("https://h/foo.git?{query}"));
        let found = git("keep-git-dir&submodules=false").expect("valid").expect("git");
        assert_eq!((found.keep_git_dir, found.submodules), (Some(true), Some(false)));
        for (query, want) in [
            ("foo=1", InvalidGitSource::UnknownOption("foo".into())),
            ("ref=", InvalidGitSource::MissingValue("ref".into())),
            ("ref=a&ref=a", InvalidGitSource::Duplicate("ref".into())),
            (
                "submodules=x",
                InvalidGitSource::NotBool("submodules".into(), "x".into()),
            ),
            (
                "ref=a&tag=b",
                InvalidGitSource::Conflict("ref", "a".into(), "refs/tags/b".into()),
            ),
            (
                "tag=a&branch=a",
                InvalidGitSource::Conflict("ref", "refs/tags/a".into(), "refs/heads/a".into()),
            ),
            (
                "ref=a#b",
                InvalidGitSource::Conflict("ref", "b".into(), "a".into()),
            ),
            (
                "checksum=a&commit=b",
                InvalidGitSource::Conflict("checksum", "a".into(), "b".into()),
            ),
        ] {
            assert_eq!(git(query), Err(want), "{query}");
        }
    }

    #[test]
    fn contexts() {
        for (text, remote, reference) in [
            ("github.com/a/b", "https://github.com/a/b.git", None),
            (
                "github.com/a/b.git#v1:d",
                "https://github.com/a/b.git",
                Some("v1"),
            ),
            ("https://h/r.git#x", "https://h/r.git", Some("x")),
        ] {
            let git = GitSource::parse_context(text).expect("valid").expect("git");
            assert_eq!(
                (git.remote.as_str(), git.reference.as_deref()),
                (remote, reference),
                "{text}"
            );
        }
        assert_eq!(GitSource::parse_context("dir"), Ok(None));
    }

    #[test]
    fn names() {
        for (text, want) in [
            ("https://h/a/foo.git", "foo"),
            ("git@h:foo", "foo"),
            ("git://h/foo.git#x", "foo"),
        ] {
            assert_eq!(GitSource::parse(text).expect("valid").expect("git").name(), want);
        }
    }

    #[test]
    fn origins() {
        for (text, want) in [
            ("http://h/f", Origin::Http("http://h/f".into())),
            ("HTTPS://h/f?x=1#y", Origin::Http("HTTPS://h/f?x=1#y".into())),
            ("a/b", Origin::Path("a/b".into())),
            ("ftp://h/f", Origin::Path("ftp://h/f".into())),
        ] {
            assert_eq!(Origin::parse(text), Ok(want), "{text}");
        }
        assert!(matches!(Origin::parse("git@h:foo"), Ok(Origin::Git(_))));
        assert!(Origin::parse("https://h/foo.git?x=1").is_err());
    }
}
