//! Paths as tars have them, made safe.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Component, Path, PathBuf},
};

use crate::layer::TarFault;

/// A file of this name and another says that the other is gone (OCI image-spec `layer.md`, whiteouts).
pub(in crate::layer) const WHITEOUT: &str = ".wh.";
/// A file of this name says that its directory is opaque.
pub(in crate::layer) const OPAQUE: &str = ".wh..wh..opq";
/// What AUFS keeps for itself.
const AUFS: &str = ".wh..wh.";

/// Deeper paths serve no purpose but to exhaust somebody's stack.
const MAX_DEPTH: usize = 1000;
/// As many symbolic links as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// A path without `.`, `..`, double, leading and trailing slashes. `a/../b` is `b`, as all extractors have it.
pub(super) fn clean(name: &[u8]) -> Result<PathBuf, TarFault> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in name.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => _ = names.pop().ok_or(TarFault::Escapes)?,
            name if name.contains(&0) => return Err(TarFault::Path),
            name => names.push(name),
        }
    }
    if names.len() > MAX_DEPTH {
        return Err(TarFault::TooDeep);
    }
    Ok(PathBuf::from(OsString::from_vec(names.join(&b'/'))))
}

/// What the name of an entry says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Entry(PathBuf),
    Whiteout(PathBuf),
    Opaque(PathBuf),
    /// Something of AUFS's.
    Nothing,
}

/// Tells whiteouts from other entries.
pub(super) fn meaning(path: PathBuf) -> Result<Meaning, TarFault> {
    let mut parents = path.iter();
    let Some(name) = parents.next_back().map(OsStr::as_bytes) else {
        return Ok(Meaning::Entry(path));
    };
    let aufs = |name: &OsStr| name.as_bytes().starts_with(AUFS.as_bytes());
    if name == OPAQUE.as_bytes() && !parents.clone().any(aufs) {
        return Ok(Meaning::Opaque(
            path.parent().map(Path::to_owned).unwrap_or_default(),
        ));
    }
    if path.iter().any(aufs) {
        return Ok(Meaning::Nothing);
    }
    if parents.any(|name| name.as_bytes().starts_with(WHITEOUT.as_bytes())) {
        return Err(TarFault::Whiteout);
    }
    match name.strip_prefix(WHITEOUT.as_bytes()) {
        None => Ok(Meaning::Entry(path)),
        Some(b"" | b"." | b"..") => Err(TarFault::Whiteout),
        Some(gone) => Ok(Meaning::Whiteout(path.with_file_name(OsStr::from_bytes(gone)))),
    }
}

/// The symbolic links that an archive has had so far. Entries below one go where it leads, within the root, as with
/// every extractor: from here on, paths name places.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: HashMap<PathBuf, OsString>,
    /// The last parent that was looked up, and where it leads: entries come by directory.
    last: Option<(PathBuf, PathBuf)>,
}

impl Links {
    /// Where a clean path leads, links in its parents followed.
    pub(super) fn resolve(&mut self, path: PathBuf) -> Result<PathBuf, TarFault> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(path);
        };
        if self.links.is_empty() || parent.as_os_str().is_empty() {
            return Ok(path);
        }
        let known = self.last.as_ref().filter(|(from, _)| from == parent);
        let to = match known {
            Some((_, to)) => to,
            None => {
                let to = self.follow(parent)?;
                &self.last.insert((parent.to_owned(), to)).1
            }
        };
        Ok(if to == parent { path } else { to.join(name) })
    }

    /// Takes note of what the path is now.
    pub(super) fn note(&mut self, path: &Path, target: Option<&OsStr>) {
        let changed = match target {
            Some(target) => self.links.insert(path.to_owned(), target.to_owned()).as_deref() != Some(target),
            None => !self.links.is_empty() && self.links.remove(path).is_some(),
        };
        if changed {
            self.last = None;
        }
    }

    fn follow(&self, path: &Path) -> Result<PathBuf, TarFault> {
        let mut pending: Vec<&OsStr> = path.iter().rev().collect();
        let (mut place, mut depth, mut links) = (PathBuf::new(), 0, 0);
        while let Some(name) = pending.pop() {
            match Path::new(name).components().next() {
                Some(Component::RootDir) => (place, depth) = (PathBuf::new(), 0),
                Some(Component::ParentDir) => depth -= usize::from(place.pop()),
                Some(Component::Normal(name)) => (_, depth) = (place.push(name), depth + 1),
                _ => {}
            }
            if let Some(target) = self.links.get(&place) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(TarFault::Loop);
                }
                depth -= usize::from(place.pop());
                pending.extend(Path::new(target).components().rev().map(Component::as_os_str));
            }
            if depth > MAX_DEPTH {
                return Err(TarFault::TooDeep);
            }
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_names() {
        for (name, expected) in [
            ("a/b", Ok("a/b")),
            ("./a//b/./c/", Ok("a/b/c")),
            ("/etc/passwd", Ok("etc/passwd")),
            ("a/../b", Ok("b")),
            ("", Ok("")),
            ("./", Ok("")),
            ("/", Ok("")),
            ("..", Err(TarFault::Escapes)),
            ("a/../../b", Err(TarFault::Escapes)),
            ("/../b", Err(TarFault::Escapes)),
            ("a\0b", Err(TarFault::Path)),
        ] {
            assert_eq!(clean(name.as_bytes()), expected.map(PathBuf::from), "{name:?}");
        }
        assert!(clean(&b"a/".repeat(MAX_DEPTH)).is_ok());
        assert_eq!(clean(&b"a/".repeat(MAX_DEPTH + 1)), Err(TarFault::TooDeep));
    }

    #[test]
    fn tells_whiteouts() {
        for (path, expected) in [
            ("", Ok(Meaning::Entry("".into()))),
            ("a/b", Ok(Meaning::Entry("a/b".into()))),
            ("a/.wh.b", Ok(Meaning::Whiteout("a/b".into()))),
            (".wh.b", Ok(Meaning::Whiteout("b".into()))),
            (".wh..b", Ok(Meaning::Whiteout(".b".into()))),
            ("a/.wh..wh..opq", Ok(Meaning::Opaque("a".into()))),
            (".wh..wh..opq", Ok(Meaning::Opaque("".into()))),
            (".wh..wh.plnk/1.2", Ok(Meaning::Nothing)),
            (".wh..wh.aufs", Ok(Meaning::Nothing)),
            (".wh.", Err(TarFault::Whiteout)),
            (".wh..", Err(TarFault::Whiteout)),
            ("a/.wh...", Err(TarFault::Whiteout)),
            (".wh.a/b", Err(TarFault::Whiteout)),
        ] {
            assert_eq!(meaning(path.into()), expected, "{path}");
        }
    }

    #[test]
    fn goes_where_links_lead() {
        let mut links = Links::default();
        for (path, target) in [
            ("lib", "usr/lib"),
            ("usr/lib/up", "../../.."),
            ("out", "../../etc"),
            ("absolute", "/etc/."),
            ("loop", "loop"),
        ] {
            links.note(Path::new(path), Some(OsStr::new(target)));
        }
        for (path, expected) in [
            ("lib", Ok("lib")),
            ("lib/x", Ok("usr/lib/x")),
            ("lib/y", Ok("usr/lib/y")),
            ("lib/up/x", Ok("x")),
            ("out/passwd", Ok("etc/passwd")),
            ("absolute/passwd", Ok("etc/passwd")),
            ("other/x", Ok("other/x")),
            ("loop/x", Err(TarFault::Loop)),
        ] {
            assert_eq!(links.resolve(path.into()), expected.map(PathBuf::from), "{path}");
        }
        links.note(Path::new("lib"), None);
        assert_eq!(links.resolve("lib/y".into()), Ok("lib/y".into()));
    }

    #[test]
    fn links_that_grow_stop() {
        let mut links = Links::default();
        links.note(Path::new("a"), Some(OsStr::new(&"b/".repeat(600))));
        links.note(
            Path::new("b/b"),
            Some(OsStr::new(&format!("/c/{}", "c/".repeat(600)))),
        );
        assert_eq!(links.resolve("a/x".into()), Err(TarFault::TooDeep));
    }
}
