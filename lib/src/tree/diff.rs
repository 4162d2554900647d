//! The layer between two Trees.

use std::{
    collections::{HashMap, HashSet},
    iter::Peekable,
    path::{Path, PathBuf},
};

use super::{Change, InodeId, Kind, Tree, Walk, What, inodes::Entry};

/// What turns `old` into `new`: `old` with it applied equals `new`. Sorted by path; hard links name the first of their
/// names.
///
/// All names of an inode are in it or none, so that the layer can be unpacked without the ones below it. Files are
/// compared by their [`Content`](super::Content): give them digests first. Nothing is ever opaque in it: what is gone is
/// said name by name, so that equal trees have equal layers, however they came about.
pub fn diff(old: &Tree, new: &Tree) -> Vec<Change> {
    let kept = kept(old, new);
    let mut written: HashMap<InodeId, PathBuf> = HashMap::new();
    let mut before = old.walk_at("").peekable();
    let mut changes = Vec::new();
    for found in new.walk_at("") {
        while let Some(gone) = before.next_if(|gone| gone.path < found.path) {
            pass_over(&mut before, &gone.path);
            changes.push(Change {
                path: gone.path,
                what: What::Whiteout,
            });
        }
        let was = before.next_if(|was| was.path == found.path);
        let same = if found.node.kind == Kind::Directory {
            was.is_some_and(|was| was.node == found.node)
        } else {
            // What was below goes with it.
            pass_over(&mut before, &found.path);
            kept.contains(&found.inode)
        };
        if !same {
            let first = written.get(&found.inode).cloned();
            let what = first.map_or_else(|| What::Node(found.node.clone()), What::HardLink);
            written.entry(found.inode).or_insert_with(|| found.path.clone());
            changes.push(Change {
                path: found.path,
                what,
            });
        }
    }
    while let Some(gone) = before.next() {
        pass_over(&mut before, &gone.path);
        changes.push(Change {
            path: gone.path,
            what: What::Whiteout,
        });
    }
    changes
}

/// Drops what is below a path.
fn pass_over(walk: &mut Peekable<Walk<'_>>, path: &Path) {
    while walk.next_if(|below| below.path.starts_with(path)).is_some() {}
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
