//! The layer between two Trees.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use super::{Change, InodeId, Kind, Tree, What, inodes::Entry};

/// What turns `old` into `new`: `old` with it applied equals `new`. Sorted by path; hard links name the first of their
/// names.
///
/// All names of an inode are in it or none, so that the layer can be unpacked without the ones below it. Files are
/// compared by their [`Content`](super::Content): give them digests first. Nothing is ever opaque in it: what is gone is
/// said name by name, so that equal trees have equal layers, however they came about.
pub fn diff(old: &Tree, new: &Tree) -> Vec<Change> {
    let mut difference = Difference {
        changes: Vec::new(),
        written: HashMap::new(),
        kept: kept(old, new),
    };
    if old.root.node != new.root.node {
        let what = What::Node((*new.root.node).clone());
        difference.changes.push(Change {
            path: PathBuf::new(),
            what,
        });
    }
    difference.entries(Path::new(""), Some(&old.root), &new.root);
    difference.changes
}

struct Difference {
    changes: Vec<Change>,
    /// Inodes of `new` that a change has made, by the name it has them at.
    written: HashMap<InodeId, PathBuf>,
    kept: HashSet<InodeId>,
}

impl Difference {
    /// Compares what is in two directories; `old` is `None` where no directory was.
    fn entries(&mut self, path: &Path, old: Option<&Entry>, new: &Entry) {
        let before = old.map(|old| &old.entries);
        let mut gone = before.into_iter().flat_map(|entries| entries.keys()).peekable();
        for (name, entry) in &*new.entries {
            while let Some(lost) = gone.next_if(|lost| *lost < name) {
                self.push(path.join(&**lost), What::Whiteout);
            }
            gone.next_if(|same| *same == name);
            self.entry(
                path.join(&**name),
                before.and_then(|entries| entries.get(name)),
                entry,
            );
        }
        for lost in gone {
            self.push(path.join(&**lost), What::Whiteout);
        }
    }

    fn entry(&mut self, path: PathBuf, old: Option<&Entry>, new: &Entry) {
        let inode = new.id();
        if new.is_directory() {
            let old = old.filter(|old| old.is_directory());
            if old.is_none_or(|old| old.node != new.node) {
                self.push(path.clone(), What::Node((*new.node).clone()));
            }
            self.entries(&path, old, new);
        } else if let Some(first) = self.written.get(&inode).cloned() {
            self.push(path, What::HardLink(first));
        } else if !self.kept.contains(&inode) {
            self.written.insert(inode, path.clone());
            self.push(path, What::Node((*new.node).clone()));
        }
    }

    fn push(&mut self, path: PathBuf, what: What) {
        self.changes.push(Change { path, what });
    }
}

/// The inodes of `new` that need no change: all their names were names of one equal inode in `old`, which no other
/// inode of `new` claims.
fn kept(old: &Tree, new: &Tree) -> HashSet<InodeId> {
    let mut claims: HashMap<InodeId, Option<InodeId>> = HashMap::new();
    for found in new.walk().filter(|found| found.node.kind != Kind::Directory) {
        let before = old
            .entry(&found.path)
            .filter(|before| *before.node == *found.node)
            .map(Entry::id);
        claims
            .entry(found.inode)
            .and_modify(|claim| *claim = claim.filter(|claim| Some(*claim) == before))
            .or_insert(before);
    }
    let mut taken = HashSet::new();
    new.walk()
        .map(|found| found.inode)
        .filter(|inode| {
            claims
                .remove(inode)
                .flatten()
                .is_some_and(|claim| taken.insert(claim))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::{Metadata, Node, arbitrary};

    fn check(old: &Tree, new: &Tree) {
        let changes = diff(old, new);
        let mut applied = old.clone();
        applied.apply(&changes).unwrap();
        assert_eq!(&applied, new, "{changes:#?}");
        assert_eq!(diff(&applied, new), []);
        let paths: Vec<_> = changes.iter().map(|change| &change.path).collect();
        assert!(paths.is_sorted(), "{paths:?}");
    }

    proptest! {
        #[test]
        fn applied_to_the_old_tree_is_the_new_one(old in arbitrary::tree(), new in arbitrary::tree()) {
            check(&old, &new);
        }

        #[test]
        fn also_for_trees_that_share_inodes((old, new) in arbitrary::two_trees()) {
            check(&old, &new);
            check(&new, &old);
        }

        #[test]
        fn of_equal_trees_is_empty(tree in arbitrary::tree()) {
            let mut copy = Tree::new();
            copy.apply(&diff(&Tree::new(), &tree)).unwrap();
            assert_eq!(diff(&tree, &copy), []);
        }
    }

    fn fifo() -> Node {
        Node {
            metadata: Metadata::default(),
            kind: Kind::Fifo,
        }
    }

    #[test]
    fn keeps_the_names_of_an_inode_together() {
        let mut old = Tree::new();
        old.insert("b", fifo()).unwrap();
        let mut new = old.clone();
        new.link("a", "b").unwrap();
        let whats: Vec<_> = diff(&old, &new)
            .into_iter()
            .map(|change| (change.path, change.what))
            .collect();
        assert_eq!(
            whats,
            [
                ("a".into(), What::Node(fifo())),
                ("b".into(), What::HardLink("a".into()))
            ]
        );
        let gone = diff(&new, &old);
        assert_eq!(
            gone,
            [Change {
                path: "a".into(),
                what: What::Whiteout
            }]
        );
    }

    #[test]
    fn tells_links_from_equal_files() {
        let mut linked = Tree::new();
        linked.insert("a", fifo()).unwrap();
        let mut apart = linked.clone();
        linked.link("b", "a").unwrap();
        apart.insert("b", fifo()).unwrap();
        assert_ne!(linked, apart);
        check(&linked, &apart);
        check(&apart, &linked);
    }
}
