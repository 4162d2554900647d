//! `registries.conf`: where images of a registry are really pulled from, which registries are not to be asked, and what
//! short names mean (containers-registries.conf(5), version 2).

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Cause, Error, ParseReferenceError, Reference};

/// What all files say together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Registries {
    #[serde(rename = "unqualified-search-registries")]
    search: Option<Vec<String>>,
    #[serde(rename = "short-name-mode")]
    mode: Option<Mode>,
    registry: Vec<Entry>,
    aliases: BTreeMap<String, String>,
}

/// What is made of a name without a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// It must be clear which image is meant.
    Enforcing,
    /// Aliases, and then all registries to search.
    Permissive,
    /// No aliases.
    Disabled,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Entry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    #[serde(rename = "mirror-by-digest-only")]
    by_digest_only: bool,
    mirror: Vec<Mirror>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Mirror {
    location: String,
    insecure: bool,
    #[serde(rename = "pull-from-mirror")]
    pull: Option<Pull>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Pull {
    All,
    DigestOnly,
    TagOnly,
}

impl Registries {
    /// The files that the environment says: `$CONTAINERS_REGISTRIES_CONF` alone with its directory, or the user's, or the
    /// system's; then those in `registries.conf.d`; then the aliases that podman noted down for the user.
    pub(super) fn from_environment() -> Result<Self, String> {
        let set = |name: &str| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        if let Some(file) = set("CONTAINERS_REGISTRIES_CONF") {
            return Self::read(&[file], &[]);
        }
        let below_home = |variable: &str, directory: &str| {
            let base = set(variable).or_else(|| Some(set("HOME")?.join(directory)));
            base.map(|base| base.join("containers"))
        };
        let own = below_home("XDG_CONFIG_HOME", ".config");
        let system = PathBuf::from("/etc/containers");
        let places: Vec<PathBuf> = [Some(system), own].into_iter().flatten().collect();
        let mut files = places.iter().map(|place| place.join("registries.conf"));
        // The user's own file stands in the place of the system's.
        let file = files.rfind(|file| file.is_file());
        let directories: Vec<PathBuf> = places
            .iter()
            .map(|place| place.join("registries.conf.d"))
            .collect();
        let mut all = Self::read(&file.into_iter().collect::<Vec<_>>(), &directories)?;
        let noted = below_home("XDG_CACHE_HOME", ".cache").map(|cache| cache.join("short-name-aliases.conf"));
        let noted = Self::read(&noted.into_iter().collect::<Vec<_>>(), &[])?;
        all.aliases.extend(noted.aliases);
        Ok(all)
    }

    /// These files, and those that end in `.conf` in these directories, later ones on top.
    pub(super) fn read(files: &[PathBuf], directories: &[PathBuf]) -> Result<Self, String> {
        let mut files = files.to_vec();
        for directory in directories {
            let Ok(entries) = fs::read_dir(directory) else {
                continue;
            };
            let mut names: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            names.retain(|name| name.extension().is_some_and(|extension| extension == "conf"));
            names.sort();
            files.extend(names);
        }
        let mut all = Self::default();
        for file in files {
            let text = match fs::read_to_string(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                read => read.map_err(|error| format!("{}: {error}", file.display()))?,
            };
            all.add(Self::parse(&text, &file)?);
        }
        Ok(all)
    }

    fn parse(text: &str, file: &Path) -> Result<Self, String> {
        let wrong = |why: String| format!("{}: {why}", file.display());
        let mut parsed: Self = toml::from_str(text).map_err(|error| wrong(error.message().to_owned()))?;
        for entry in &mut parsed.registry {
            if entry.prefix.is_empty() {
                entry.prefix.clone_from(&entry.location);
            }
            if entry.prefix.is_empty() {
                return Err(wrong("a [[registry]] has neither prefix nor location".to_owned()));
            }
        }
        Ok(parsed)
    }

    fn add(&mut self, later: Self) {
        self.search = later.search.or(self.search.take());
        self.mode = later.mode.or(self.mode);
        for entry in later.registry {
            self.registry.retain(|other| other.prefix != entry.prefix);
            self.registry.push(entry);
        }
        self.aliases.extend(later.aliases);
    }

    /// Where to pull from, first the mirrors. Itself, if nobody has said anything.
    pub(super) fn sources(&self, at: &Reference) -> Result<Vec<Reference>, Error> {
        let Some((entry, matched)) = self.entry(at) else {
            return Ok(vec![at.clone()]);
        };
        if entry.blocked {
            return Err(Error::new(at, Cause::Blocked));
        }
        let by_digest = at.digest().is_some();
        let wanted = |mirror: &&Mirror| match mirror.pull {
            Some(Pull::All) => true,
            Some(Pull::DigestOnly) => by_digest,
            Some(Pull::TagOnly) => !by_digest,
            None => by_digest || !entry.by_digest_only,
        };
        let mirrors = entry
            .mirror
            .iter()
            .filter(wanted)
            .map(|mirror| mirror.location.as_str());
        let own = if entry.location.is_empty() {
            matched
        } else {
            &entry.location
        };
        let moved = |location: &str| {
            let wrong = |error: ParseReferenceError| {
                Error::new(
                    at,
                    Cause::Protocol(format!("registries.conf says {location:?}: {error}")),
                )
            };
            moved(at, matched, location).map_err(wrong)
        };
        mirrors.chain([own]).map(moved).collect()
    }

    /// Whether this repository is not to be asked for anything.
    pub(super) fn is_blocked(&self, at: &Reference) -> bool {
        self.entry(at).is_some_and(|(entry, _)| entry.blocked)
    }

    /// Whether the certificate of a host need not be checked.
    pub(super) fn is_insecure(&self, host: &str) -> bool {
        let of_host = |location: &str| location.split('/').next() == Some(host);
        let place = |entry: &Entry| match entry.location.is_empty() {
            true => of_host(&entry.prefix),
            false => of_host(&entry.location),
        };
        self.registry.iter().any(|entry| {
            entry.insecure && place(entry)
                || entry
                    .mirror
                    .iter()
                    .any(|mirror| mirror.insecure && of_host(&mirror.location))
        })
    }

    /// The entry with the longest prefix, and what of the name that is.
    fn entry<'a>(&'a self, at: &Reference) -> Option<(&'a Entry, &'a str)> {
        let name = at.name();
        let matching = self.registry.iter().filter_map(|entry| {
            let matched = matches(&entry.prefix, &name, at.host()).then_some(&*entry.prefix)?;
            Some((entry, matched))
        });
        matching.max_by_key(|(_, matched)| matched.len())
    }

    /// What a name may mean, the likeliest first: itself, an alias, or a name in one of the registries to search, which are
    /// docker's own unless a file says otherwise. At least one.
    pub(super) fn candidates(&self, name: &str) -> Result<Vec<Reference>, Cause> {
        let parse = |name: &str| {
            name.parse()
                .map_err(|error: ParseReferenceError| Cause::Protocol(error.to_string()))
        };
        if has_host(name) {
            return Ok(vec![parse(name)?]);
        }
        let end = name.find([':', '@']).unwrap_or(name.len());
        let (bare, selector) = name.split_at(end);
        let alias = self
            .aliases
            .get(bare)
            .filter(|full| !full.is_empty() && self.mode != Some(Mode::Disabled));
        if let Some(full) = alias {
            return Ok(vec![parse(&format!("{full}{selector}"))?]);
        }
        let found: Vec<Reference> = match self.search.as_deref() {
            None | Some([]) => vec![parse(name)?],
            Some(hosts) => {
                let names = hosts.iter().map(|host| parse(&format!("{host}/{name}")));
                names.collect::<Result<_, _>>()?
            }
        };
        if self.mode == Some(Mode::Enforcing) && found.len() > 1 {
            let names: Vec<String> = found.iter().map(ToString::to_string).collect();
            return Err(Cause::Ambiguous(names));
        }
        Ok(found)
    }
}

/// As docker tells a host from the first part of a path.
fn has_host(name: &str) -> bool {
    let first = name.split_once('/').map(|(first, _)| first);
    first.is_some_and(|first| first == "localhost" || first.contains(['.', ':']))
}

/// A prefix ends where a part of the name does; `*.example.com` stands for all hosts below that one.
fn matches(prefix: &str, name: &str, host: &str) -> bool {
    if let Some(domain) = prefix.strip_prefix("*.") {
        return host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    }
    name.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '@']))
}

/// The same image at another location.
fn moved(at: &Reference, matched: &str, location: &str) -> Result<Reference, ParseReferenceError> {
    if matched == location {
        return Ok(at.clone());
    }
    let name = at.name();
    let rest = match matched.starts_with("*.") {
        true => name.strip_prefix(at.host()).unwrap_or_default(),
        false => name.strip_prefix(matched).unwrap_or_default(),
    };
    let mut moved = format!("{location}{rest}");
    if let Some(tag) = at.tag() {
        moved += &format!(":{tag}");
    }
    if let Some(digest) = at.digest() {
        moved += &format!("@{digest}");
    }
    moved.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        unqualified-search-registries = ["quay.example", "docker.io"]
        [[registry]]
        prefix = "docker.io"
        location = "mirror.example/hub"
        [[registry.mirror]]
        location = "near.example:5000/hub"
        insecure = true
        [[registry.mirror]]
        location = "digests.example"
        pull-from-mirror = "digest-only"
        [[registry]]
        location = "docker.io/library/secret"
        blocked = true
        [[registry]]
        prefix = "*.corp.example"
        location = "corp.example/all"
        [[registry]]
        location = "plain.example"
        insecure = true
        [aliases]
        fedora = "registry.fedora.example/fedora"
    "#;

    fn registries() -> Registries {
        Registries::parse(TEXT, Path::new("registries.conf")).unwrap()
    }

    #[test]
    fn pulls_go_where_the_file_says() {
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let by_digest = format!("alpine@{digest}");
        let table: [(&str, &[&str]); 5] = [
            (
                "alpine:3",
                &[
                    "near.example:5000/hub/library/alpine:3",
                    "mirror.example/hub/library/alpine:3",
                ],
            ),
            (
                &by_digest,
                &[
                    "near.example:5000/hub/library/alpine@",
                    "digests.example/library/alpine@",
                    "mirror.example/hub/library/alpine@",
                ],
            ),
            ("a.corp.example/x:1", &["corp.example/all/x:1"]),
            ("corp.example/x:1", &["corp.example/x:1"]),
            ("docker.io.example/x:1", &["docker.io.example/x:1"]),
        ];
        for (name, expected) in table {
            let found = registries().sources(&name.parse().unwrap()).unwrap();
            let found: Vec<String> = found
                .iter()
                .map(|at| at.to_string().replace(digest, ""))
                .collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn some_are_blocked_and_some_insecure() {
        let registries = registries();
        for (name, blocked) in [
            ("secret", true),
            ("secret:1", true),
            ("secrets", false),
            ("x/secret", false),
        ] {
            let at = name.parse().unwrap();
            assert_eq!(registries.is_blocked(&at), blocked, "{name}");
            assert_eq!(registries.sources(&at).is_err(), blocked, "{name}");
        }
        for (host, insecure) in [
            ("plain.example", true),
            ("near.example:5000", true),
            ("docker.io", false),
        ] {
            assert_eq!(registries.is_insecure(host), insecure, "{host}");
        }
    }

    #[test]
    fn short_names_have_a_meaning() {
        let both = ["quay.example/me/alpine:1", "docker.io/me/alpine:1"];
        let table: [(&str, &[&str]); 5] = [
            ("fedora:40", &["registry.fedora.example/fedora:40"]),
            ("alpine", &["quay.example/alpine", "docker.io/library/alpine"]),
            ("me/alpine:1", &both),
            ("docker.io/library/alpine", &["docker.io/library/alpine"]),
            ("localhost/x", &["localhost/x"]),
        ];
        let names = |registries: &Registries, name: &str| -> Vec<String> {
            let found = registries.candidates(name).unwrap();
            found.iter().map(ToString::to_string).collect()
        };
        for (name, full) in table {
            assert_eq!(names(&registries(), name), full, "{name}");
        }
        assert_eq!(names(&Registries::default(), "a"), ["docker.io/library/a"]);
        let mode = |mode| Registries {
            mode: Some(mode),
            ..registries()
        };
        assert_eq!(names(&mode(Mode::Disabled), "fedora").len(), 2);
        assert_eq!(names(&mode(Mode::Enforcing), "fedora").len(), 1);
        let error = mode(Mode::Enforcing)
            .candidates("alpine")
            .unwrap_err()
            .to_string();
        let expected = "it may mean quay.example/alpine or docker.io/library/alpine, and short-name-mode is enforcing: \
                        write it in full";
        assert_eq!(error, expected);
        assert!(registries().candidates("UPPER").is_err());
    }

    #[test]
    fn later_files_count_more() {
        let dir = tempfile::tempdir().unwrap();
        let drop_in = dir.path().join("registries.conf.d");
        fs::create_dir(&drop_in).unwrap();
        fs::write(dir.path().join("registries.conf"), TEXT).unwrap();
        fs::write(
            drop_in.join("1.conf"),
            "[[registry]]\nprefix = \"docker.io\"\nblocked = true\n",
        )
        .unwrap();
        fs::write(drop_in.join("2.txt"), "not even TOML").unwrap();
        let read = || {
            Registries::read(
                &[dir.path().join("registries.conf")],
                std::slice::from_ref(&drop_in),
            )
        };
        let registries = read().unwrap();
        assert!(registries.is_blocked(&"alpine".parse().unwrap()));
        assert_eq!(registries.search.as_ref().unwrap().len(), 2);
        for wrong in [
            "[[registry]]\nblocked = true\n",
            "x = ",
            "[[registry]]\nlocation = 1\n",
        ] {
            fs::write(drop_in.join("3.conf"), wrong).unwrap();
            assert!(read().unwrap_err().contains("3.conf: "), "{wrong}");
        }
    }
}
