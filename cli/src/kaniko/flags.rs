//! The flags that Kaniko knows: `--flag value`, `--flag=value`, and for switches `--flag`, `--flag=false`, as Go's pflag
//! has them. What is not given may be in the environment, as `KANIKO_FLAG`.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Nothing, `true` or `false`; on or off unless it is given.
    Switch(bool),
    /// A value; the last one counts.
    Value,
    /// A value each time.
    List,
}

use Takes::{List, Switch, Value};

/// A flag that has an effect: its name, a letter that stands for it, an older spelling, what it takes.
const FLAGS: [(&str, &str, &str, Takes); 47] = [
    ("build-arg", "", "", List),
    ("bucket", "b", "", Value),
    ("cache", "", "", Switch(false)),
    ("cache-copy-layers", "", "", Switch(true)),
    ("cache-dir", "", "", Value),
    ("cache-repo", "", "", Value),
    ("cache-run-layers", "", "", Switch(true)),
    ("cache-ttl", "", "", Value),
    ("compression", "", "", Value),
    ("compression-level", "", "", Value),
    ("context", "c", "", Value),
    ("context-sub-path", "", "", Value),
    ("custom-platform", "", "customPlatform", Value),
    ("destination", "d", "", List),
    ("digest-file", "", "", Value),
    ("dockerfile", "f", "", Value),
    ("git", "", "", Value),
    ("ignore-path", "", "", List),
    ("image-download-retry", "", "", Value),
    ("image-name-tag-with-digest-file", "", "", Value),
    ("image-name-with-digest-file", "", "", Value),
    ("insecure", "", "", Switch(false)),
    ("insecure-pull", "", "", Switch(false)),
    ("insecure-registry", "", "", List),
    ("kaniko-dir", "", "", Value),
    ("label", "", "", List),
    ("log-format", "", "", Value),
    ("log-timestamp", "", "", Switch(false)),
    ("no-push", "", "", Switch(false)),
    ("no-push-cache", "", "", Switch(false)),
    ("oci-layout-path", "", "", Value),
    ("push-ignore-immutable-tag-errors", "", "", Switch(false)),
    ("push-retry", "", "", Value),
    ("registry-certificate", "", "", List),
    ("registry-client-cert", "", "", List),
    ("registry-map", "", "", List),
    ("registry-mirror", "", "", List),
    ("reproducible", "", "", Switch(false)),
    ("secret", "", "", List),
    ("single-snapshot", "", "", Switch(false)),
    ("skip-default-registry-fallback", "", "", Switch(false)),
    ("skip-tls-verify", "", "", Switch(false)),
    ("skip-tls-verify-pull", "", "", Switch(false)),
    ("skip-tls-verify-registry", "", "", List),
    ("tar-path", "", "tarPath", Value),
    ("target", "", "", Value),
    ("verbosity", "v", "", Value),
];

/// A flag that is taken and changes nothing: its name, an older spelling, what it takes, why.
const MEANINGLESS: [(&str, &str, Takes, &str); 14] = [
    (
        "cleanup",
        "",
        Switch(false),
        "the file system of this container is not touched",
    ),
    (
        "compressed-caching",
        "",
        Switch(true),
        "layers are never held in memory",
    ),
    (
        "credential-helpers",
        "",
        List,
        "those that the docker config names are used",
    ),
    (
        "force",
        "",
        Switch(false),
        "building is safe outside a container, too",
    ),
    (
        "force-build-metadata",
        "",
        Switch(false),
        "labels and the like never cost a layer",
    ),
    (
        "ignore-var-run",
        "whitelist-var-run",
        Switch(true),
        "nothing of this container gets into the image",
    ),
    (
        "image-fs-extract-retry",
        "",
        Value,
        "images are not unpacked over this container",
    ),
    (
        "initial-fs-unpacked",
        "",
        Switch(false),
        "images are not unpacked over this container",
    ),
    (
        "materialize",
        "",
        Switch(false),
        "images are not unpacked over this container",
    ),
    (
        "preserve-context",
        "",
        Switch(false),
        "contexts are never changed",
    ),
    (
        "skip-push-permission-check",
        "",
        Switch(false),
        "a push that is refused fails when it is made",
    ),
    (
        "skip-unused-stages",
        "",
        Switch(false),
        "stages that the image does not need never run",
    ),
    (
        "snapshot-mode",
        "snapshotMode",
        Value,
        "what a step wrote is known without looking for it",
    ),
    (
        "use-new-run",
        "",
        Switch(false),
        "what a step wrote is known without looking for it",
    ),
];

/// What was given.
#[derive(Debug)]
pub struct Given(BTreeMap<&'static str, Vec<String>>);

/// A flag by any of its names.
fn find(name: &str) -> Option<(&'static str, Takes)> {
    let known = FLAGS.iter().find(|(long, short, old, _)| {
        [long, short, old]
            .into_iter()
            .any(|known| !known.is_empty() && *known == name)
    });
    let meaningless = || {
        let found = MEANINGLESS
            .iter()
            .find(|(long, old, ..)| *long == name || (!old.is_empty() && *old == name));
        found.map(|(long, _, takes, _)| (*long, *takes))
    };
    known
        .map(|(long, _, _, takes)| (*long, *takes))
        .or_else(meaningless)
}

impl Given {
    /// Reads arguments, and what they leave open from the environment.
    pub fn parse(arguments: &[String], environment: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut given = Self(BTreeMap::new());
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let (name, value) = split(argument)?;
            let (long, takes) = find(name).ok_or_else(|| unknown(argument, name))?;
            let value = match (value, takes) {
                (Some(value), _) => value.to_owned(),
                (None, Switch(_)) => "true".to_owned(),
                (None, _) => rest
                    .next()
                    .cloned()
                    .ok_or_else(|| anyhow!("{argument} needs a value"))?,
            };
            given.0.entry(long).or_default().push(value);
        }
        let names = FLAGS.iter().map(|(long, ..)| *long);
        for name in names.chain(MEANINGLESS.iter().map(|(long, ..)| *long)) {
            let variable = format!("KANIKO_{}", name.to_uppercase().replace('-', "_"));
            if let (false, Some(value)) = (given.0.contains_key(name), environment(&variable)) {
                given.0.insert(name, vec![value]);
            }
        }
        // The directory has a variable of another form.
        if let Some(directory) = environment("KANIKO_DIR") {
            given.0.entry("kaniko-dir").or_insert_with(|| vec![directory]);
        }
        for (name, ..) in FLAGS.iter().filter(|(.., takes)| matches!(takes, Switch(_))) {
            given.on(name)?;
        }
        Ok(given)
    }

    /// The last value of a flag.
    pub fn one(&self, name: &str) -> Option<&str> {
        let last = self.0.get(name)?.last()?;
        Some(last.as_str()).filter(|value| !value.is_empty())
    }

    /// All values of a flag.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    /// Pairs of a flag that takes `A=B`, or several of them with semicolons between.
    pub fn pairs(&self, name: &str) -> Result<Vec<(&str, &str)>> {
        let parts = self.all(name).flat_map(|value| value.split(';'));
        let pairs = parts.filter(|part| !part.is_empty()).map(|part| {
            part.split_once('=')
                .ok_or_else(|| anyhow!("--{name} {part}: expected NAME=VALUE"))
        });
        pairs.collect()
    }

    /// Whether a switch is on.
    pub fn on(&self, name: &str) -> Result<bool> {
        let Some((_, Switch(default))) = find(name) else {
            bail!("--{name} is no switch");
        };
        match self.one(name) {
            None => Ok(default),
            // As Go reads them.
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some(other) => bail!("--{name}={other}: expected true or false"),
        }
    }

    /// A number.
    pub fn number(&self, name: &str) -> Result<Option<u32>> {
        let number = self.one(name).map(|text| {
            text.parse()
                .map_err(|_| anyhow!("--{name} {text}: expected a number that is not negative"))
        });
        number.transpose()
    }

    /// A line for each flag that was given and changes nothing.
    pub fn notices(&self) -> Vec<String> {
        MEANINGLESS
            .iter()
            .filter(|(name, ..)| self.0.contains_key(name))
            .map(|(name, _, _, why)| format!("--{name} changes nothing: {why}"))
            .collect()
    }
}

/// A flag's name, and the value behind `=` or, for a letter, right behind it.
fn split(argument: &str) -> Result<(&str, Option<&str>)> {
    if let Some(long) = argument.strip_prefix("--").filter(|long| !long.is_empty()) {
        return Ok(long
            .split_once('=')
            .map_or((long, None), |(name, value)| (name, Some(value))));
    }
    let letter = argument.strip_prefix('-').filter(|letter| !letter.is_empty());
    let Some((at, first)) =
        letter.and_then(|letter| letter.char_indices().nth(1).map(|(at, _)| (at, letter)))
    else {
        return letter
            .map(|letter| (letter, None))
            .ok_or_else(|| anyhow!("{argument}: expected a flag"));
    };
    let (name, value) = first.split_at(at);
    Ok((name, Some(value.strip_prefix('=').unwrap_or(value))))
}

fn unknown(argument: &str, name: &str) -> anyhow::Error {
    let names = FLAGS.iter().map(|(long, ..)| *long);
    let near = names
        .filter(|known| known.starts_with(name) || name.starts_with(known))
        .min_by_key(|known| known.len());
    let shown = argument.split('=').next().unwrap_or(argument);
    match near.filter(|_| name.len() > 2) {
        Some(near) => anyhow!("unknown flag {shown}; there is --{near}"),
        None => anyhow!("unknown flag {shown}"),
    }
}

/// What there is, in words.
pub fn help() -> String {
    let mut text = "Builds an image as Kaniko's executor does, with its flags:\n".to_owned();
    for (long, short, _, takes) in FLAGS {
        let letter = if short.is_empty() {
            String::new()
        } else {
            format!("-{short}, ")
        };
        let value = if let Switch(_) = takes { "" } else { " VALUE" };
        text.push_str(&format!("  {letter}--{long}{value}\n"));
    }
    let rest: Vec<&str> = MEANINGLESS.iter().map(|(long, ..)| *long).collect();
    text + &format!("Taken, and without a meaning here: {}\n", rest.join(", "))
}
