//! Paths with symbolic links in them, which never leave the root.

use std::{
    ffi::{OsStr, OsString},
    path::{Component, Path, PathBuf},
};

use super::{Error, Kind, Node, Tree, inodes::Entry};

/// As many symbolic links as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved<'a> {
    /// Clean, and no part of it is a symbolic link, but for the last when that was not to be followed.
    pub path: PathBuf,
    /// What is there. Where nothing is, [`path`](Self::path) is the place to create it at.
    pub node: Option<&'a Node>,
}

impl Tree {
    /// Follows a path as a process in this root would: absolute links start at the root, and `..` stops there.
    /// The path may be absolute or relative to the root, and may have `.` and `..` in it.
    ///
    /// From the first missing name on, the rest is taken as it stands. A slash or a dot at the end means nothing.
    ///
    /// # Errors
    /// When there are too many links, or the path goes through something that is not a directory.
    pub fn resolve(&self, path: impl AsRef<Path>, follow_last: bool) -> Result<Resolved<'_>, Error> {
        let path = path.as_ref();
        let mut walk = Way {
            tree: self,
            names: Vec::new(),
        };
        let mut pending: Vec<OsString> = Vec::new();
        push(&mut pending, path);
        let mut links = 0;
        while let Some(name) = pending.pop() {
            walk.step(&name)?;
            let follow = follow_last || !pending.is_empty();
            if let (true, Some(Kind::Symlink(target))) = (follow, walk.here().map(|entry| &entry.node.kind)) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Error::Loop(path.to_owned()));
                }
                push(&mut pending, Path::new(target));
                walk.names.pop();
            }
        }
        Ok(Resolved {
            path: walk.path(),
            node: walk.here().map(|entry| &*entry.node),
        })
    }
}

/// Puts the components of a path on a stack, the first on top.
fn push(pending: &mut Vec<OsString>, path: &Path) {
    pending.extend(
        path.components()
            .rev()
            .map(|component| component.as_os_str().to_owned()),
    );
}

/// The names from the root to where we are.
struct Way<'a> {
    tree: &'a Tree,
    names: Vec<(OsString, Option<&'a Entry>)>,
}

impl<'a> Way<'a> {
    fn here(&self) -> Option<&'a Entry> {
        self.names
            .last()
            .map_or(Some(&self.tree.root), |(_, entry)| *entry)
    }

    fn path(&self) -> PathBuf {
        self.names.iter().map(|(name, _)| name).collect()
    }

    fn step(&mut self, name: &OsStr) -> Result<(), Error> {
        let here = self.here();
        let component = Path::new(name).components().next();
        if component != Some(Component::RootDir) && here.is_some_and(|entry| !entry.is_directory()) {
            return Err(Error::NotADirectory(self.path()));
        }
        match component {
            Some(Component::RootDir) => self.names.clear(),
            Some(Component::ParentDir) => _ = self.names.pop(),
            Some(Component::Normal(name)) => {
                let next = here.and_then(|entry| entry.entries().get(name));
                self.names.push((name.to_owned(), next));
            }
            Some(Component::CurDir | Component::Prefix(_)) | None => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Metadata;

    fn tree() -> Tree {
        let mut tree = Tree::new();
        let node = |kind| Node {
            metadata: Metadata::default(),
            kind,
        };
        for directory in ["usr/lib", "home/me"] {
            tree.insert(directory, node(Kind::Directory)).unwrap();
        }
        tree.insert("usr/file", node(Kind::Fifo)).unwrap();
        for (path, target) in [
            ("lib", "usr/lib"),
            ("home/me/root", "/"),
            ("home/me/up", "../../../../usr"),
            ("loop", "loop"),
            ("dangling", "usr/missing/thing"),
            ("usr/lib/file", "../file"),
        ] {
            tree.insert(path, node(Kind::Symlink(target.into()))).unwrap();
        }
        tree
    }

    #[test]
    fn follows_links_inside_the_root() {
        let tree = tree();
        for (path, follow_last, expected, exists) in [
            ("", true, "", true),
            ("/", true, "", true),
            ("..", true, "", true),
            ("lib", false, "lib", true),
            ("lib", true, "usr/lib", true),
            ("lib/.", true, "usr/lib", true),
            ("lib/file", true, "usr/file", true),
            ("lib/file", false, "usr/lib/file", true),
            ("/home/me/root/lib/..", true, "usr", true),
            ("home/me/up/../home", true, "home", true),
            ("dangling", true, "usr/missing/thing", false),
            ("dangling", false, "dangling", true),
            ("usr/missing/../file", true, "usr/file", true),
            ("a/b/../c", true, "a/c", false),
        ] {
            let found = tree.resolve(path, follow_last).unwrap();
            assert_eq!(
                (found.path.to_str(), found.node.is_some()),
                (Some(expected), exists),
                "{path}"
            );
        }
    }

    #[test]
    fn refuses_loops_and_files_as_directories() {
        let tree = tree();
        assert_eq!(tree.resolve("loop", true), Err(Error::Loop("loop".into())));
        assert!(tree.resolve("loop", false).is_ok());
        for path in ["usr/file/x", "usr/file/..", "lib/file/x"] {
            assert_eq!(
                tree.resolve(path, true),
                Err(Error::NotADirectory("usr/file".into())),
                "{path}"
            );
        }
    }
}
