//! Everything in a Tree, sorted.

use std::{
    collections::btree_map,
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{InodeId, Node, Tree, inodes::Entry};

/// One name in a Tree.
#[derive(Clone, Debug)]
pub struct Walked<'a> {
    /// From the root of the Tree.
    pub path: PathBuf,
    /// What is there.
    pub node: &'a Node,
    /// The same for names that are hard links.
    pub inode: InodeId,
}

/// Every name at and below a path, directories before their entries, entries sorted by the bytes of their names.
pub struct Walk<'a> {
    first: Option<(PathBuf, &'a Entry)>,
    /// The directories around the next entry, outermost first, each with what is left of it.
    open: Vec<btree_map::Iter<'a, Arc<OsStr>, Entry>>,
    /// The innermost of them.
    path: PathBuf,
}

impl Tree {
    /// Every name but the root's.
    pub fn walk(&self) -> Walk<'_> {
        Walk {
            first: None,
            open: vec![self.root.entries().iter()],
            path: PathBuf::new(),
        }
    }

    /// The name at a path and all below it; nothing if the path is not there.
    pub fn walk_at(&self, path: impl AsRef<Path>) -> Walk<'_> {
        let path = path.as_ref();
        let first = self.entry(path).map(|entry| (path.to_owned(), entry));
        Walk {
            first,
            open: Vec::new(),
            path: PathBuf::new(),
        }
    }
}

impl<'a> Walk<'a> {
    fn visit(&mut self, path: PathBuf, entry: &'a Entry) -> Walked<'a> {
        if entry.is_directory() {
            self.open.push(entry.entries().iter());
            self.path.clone_from(&path);
        }
        Walked {
            path,
            node: &entry.node,
            inode: entry.id(),
        }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Walked<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((path, entry)) = self.first.take() {
            return Some(self.visit(path, entry));
        }
        while let Some(directory) = self.open.last_mut() {
            if let Some((name, entry)) = directory.next() {
                let path = self.path.join(&**name);
                return Some(self.visit(path, entry));
            }
            self.open.pop();
            self.path.pop();
        }
        None
    }
}

/// Equal when the same names hold equal inodes and the same names are hard links of one another.
impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        let mut pairs = std::collections::HashMap::new();
        let mut back = std::collections::HashMap::new();
        let (mut ours, mut theirs) = (self.walk_at(""), other.walk_at(""));
        loop {
            let (a, b) = match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(a), Some(b)) => (a, b),
                _ => return false,
            };
            let linked = *pairs.entry(a.inode).or_insert(b.inode) == b.inode
                && *back.entry(b.inode).or_insert(a.inode) == a.inode;
            if a.path != b.path || a.node != b.node || !linked {
                return false;
            }
        }
    }
}

impl Eq for Tree {}
