//! What a source says of how it is to be built.

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use serde::Deserialize;

use super::super::error::{BuildError, Problem};

/// Labels for what `git log` prints in the places of this format, in this order.
const COMMIT: [(&str, &str); 5] = [
    ("io.openshift.s2i.build.commit.id", "%H"),
    ("io.openshift.s2i.build.commit.author", "%an <%ae>"),
    ("io.openshift.s2i.build.commit.date", "%ad"),
    ("io.openshift.s2i.build.commit.message", "%s"),
    ("io.openshift.s2i.build.commit.ref", "%D"),
];

/// All that it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Variables of `.s2i/environment`.
    pub environment: Vec<(String, String)>,
    /// Labels of `.s2i/image_metadata.json`.
    pub labels: Vec<(String, String)>,
    /// Lines of `.s2iignore`, after the directory of git.
    pub ignored: Vec<String>,
    /// Labels for the commit, if it is a checkout.
    pub commit: Vec<(String, String)>,
}

/// `.s2i/image_metadata.json`
#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    labels: Vec<std::collections::BTreeMap<String, String>>,
}

impl Said {
    /// Reads what there is of it in a directory.
    pub fn read(source: &Path) -> Result<Self, BuildError> {
        let environment = text(&source.join(".s2i/environment"))?.unwrap_or_default();
        let metadata = source.join(".s2i/image_metadata.json");
        let labels = match text(&metadata)? {
            Some(json) => {
                let wrong = |error| Problem::Value(format!("{}: {error}", metadata.display()));
                let parsed: Metadata = serde_json::from_str(&json).map_err(wrong)?;
                parsed.labels.into_iter().flatten().collect()
            }
            None => Vec::new(),
        };
        let ignore = text(&source.join(".s2iignore"))?.unwrap_or_default();
        Ok(Self {
            environment: variables(&environment),
            labels,
            ignored: patterns(&ignore),
            commit: commit(source),
        })
    }
}

/// A file that need not be there.
fn text(path: &Path) -> Result<Option<String>, Problem> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Problem::io("read", path)(error)),
    }
}

/// `NAME=VALUE` lines; `#` begins a comment, and what has no `=` is none.
fn variables(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

/// The patterns of an ignore file, by the rules of `.dockerignore`.
fn patterns(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim);
    let lines = lines
        .filter(|line| !line.is_empty() && *line != "!")
        .map(str::to_owned);
    [".git".to_owned()].into_iter().chain(lines).collect()
}

/// The commit that is checked out; nothing if it is no checkout, or there is no git that could say.
fn commit(source: &Path) -> Vec<(String, String)> {
    if !source.join(".git").exists() {
        return Vec::new();
    }
    let format = COMMIT.map(|(_, place)| place).join("%n");
    let mut git = Command::new("git");
    git.arg("-C")
        .arg(source)
        .args(["-c", "safe.directory=*", "-c", "core.fsmonitor=false"]);
    git.args([
        "log",
        "-1",
        &format!("--format={format}"),
        "--decorate=full",
        "--no-show-signature",
    ]);
    git.stdin(Stdio::null()).stderr(Stdio::null());
    let Ok(output) = git.output() else {
        return Vec::new();
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut labels: Vec<(String, String)> = COMMIT
        .iter()
        .zip(said.lines())
        .map(|((label, _), value)| ((*label).to_owned(), value.to_owned()))
        .collect();
    if let Some((_, of)) = labels.last_mut() {
        *of = branch(of);
    }
    labels
}

/// `HEAD -> refs/heads/main, …`: the branch that is checked out.
fn branch(decoration: &str) -> String {
    let first = decoration.split(", ").next().unwrap_or_default();
    let head = first.strip_prefix("HEAD -> ").unwrap_or(first);
    head.strip_prefix("refs/heads/").unwrap_or(head).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_source_says() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path();
        assert_eq!(
            Said::read(source).unwrap(),
            Said {
                ignored: vec![".git".to_owned()],
                ..Said::default()
            }
        );
        fs::create_dir(source.join(".s2i")).unwrap();
        fs::write(
            source.join(".s2i/environment"),
            "# a comment\nA = 1 \nB=x=y\nnothing\n=z\n",
        )
        .unwrap();
        fs::write(
            source.join(".s2i/image_metadata.json"),
            r#"{"labels":[{"a":"1"},{"b":"2"}]}"#,
        )
        .unwrap();
        fs::write(source.join(".s2iignore"), "# a comment\n*.o\n\n!keep.o\n").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let said = Said::read(source).unwrap();
        assert_eq!(said.environment, [pair("A", "1"), pair("B", "x=y")]);
        assert_eq!(said.labels, [pair("a", "1"), pair("b", "2")]);
        assert_eq!(said.ignored, [".git", "*.o", "!keep.o"]);
        fs::write(source.join(".s2i/image_metadata.json"), "{").unwrap();
        let error = Said::read(source).unwrap_err().to_string();
        assert!(error.contains("image_metadata.json: "), "{error}");
    }

    #[test]
    fn branches_have_short_names() {
        for (decoration, name) in [
            ("HEAD -> refs/heads/main, refs/remotes/origin/main", "main"),
            ("HEAD, tag: refs/tags/v1", "HEAD"),
            ("", ""),
        ] {
            assert_eq!(branch(decoration), name);
        }
    }
}
