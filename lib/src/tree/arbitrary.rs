//! Random Trees for property tests.

use std::path::PathBuf;

use proptest::{collection::vec, prelude::*};

use super::{Content, Kind, Metadata, Node, Origin, Tree};
use crate::Digest;

/// Paths of few names, so that they collide; never the root.
pub(crate) fn path() -> impl Strategy<Value = PathBuf> {
    let name = prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned),
        1 => "[ä-ü.=\\PC]{1,3}".prop_filter("a name", |name| {
            !name.contains(['/', '\0']) && !name.starts_with(".wh.") && name != "." && name != ".."
        }),
        1 => "[x-z]{120}",
    ];
    vec(name, 1..4).prop_map(|names| names.iter().collect())
}

fn file() -> impl Strategy<Value = Kind> {
    vec(prop::num::u8::ANY, 0..40).prop_map(|bytes| {
        Kind::File(Content {
            size: bytes.len() as u64,
            digest: Some(Digest::of(&bytes)),
            origin: Origin::Memory(bytes.into()),
        })
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => file(),
        4 => Just(Kind::Directory),
        2 => prop::sample::select(vec!["a", "../b", "/c/../nowhere", "ü"]).prop_map(|target| Kind::Symlink(target.into())),
        1 => "[a-z]{101,250}".prop_map(|target| Kind::Symlink(target.into())),
        1 => Just(Kind::Fifo),
        1 => Just(Kind::CharDevice { major: 1, minor: 3 }),
        1 => (0..4096_u32, 0..1_048_576_u32).prop_map(|(major, minor)| Kind::BlockDevice { major, minor }),
    ]
}

pub(crate) fn node() -> impl Strategy<Value = Node> {
    let id = || prop_oneof![4 => 0..3_u32, 1 => 0..u32::MAX];
    let mtime = prop_oneof![4 => 0..3_i64, 1 => -2_000_000_000..15_000_000_000_i64];
    let mode = prop_oneof![4 => Just(0o644_u32), 1 => 0..0o10000_u32];
    let xattrs = prop::collection::btree_map("user\\.[a-z]{1,9}", vec(any::<u8>(), 0..9), 0..2);
    (mode, id(), id(), mtime, xattrs, kind()).prop_map(|(mode, uid, gid, mtime, xattrs, kind)| {
        // Linux knows no other mode of symbolic links.
        let mode = if matches!(kind, Kind::Symlink(_)) {
            0o777
        } else {
            mode
        };
        let xattrs = xattrs
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
        Node {
            metadata: Metadata {
                mode,
                uid,
                gid,
                mtime,
                xattrs,
            },
            kind,
        }
    })
}

#[derive(Clone, Debug)]
enum Step {
    Insert(PathBuf, Node),
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (path(), node()).prop_map(|(path, node)| Step::Insert(path, node)),
        4 => (path(), path()).prop_map(|(path, target)| Step::Link(path, target)),
        1 => path().prop_map(Step::Remove),
    ];
    vec(step, 0..25)
}

fn take(mut tree: Tree, steps: Vec<Step>) -> Tree {
    for step in steps {
        match step {
            Step::Insert(path, node) => tree.insert(path, node).unwrap(),
            // Links to what is not there are part of the game.
            Step::Link(path, target) => _ = tree.link(path, target),
            Step::Remove(path) => _ = tree.remove(path).unwrap(),
        }
    }
    tree
}

/// Any Tree.
pub(crate) fn tree() -> impl Strategy<Value = Tree> {
    steps().prop_map(|steps| take(Tree::new(), steps))
}

/// A Tree and one that was made from it.
pub(crate) fn two_trees() -> impl Strategy<Value = (Tree, Tree)> {
    (steps(), steps()).prop_map(|(first, second)| {
        let old = take(Tree::new(), first);
        (old.clone(), take(old, second))
    })
}
