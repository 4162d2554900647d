//! What is written is what is read.

use proptest::prelude::*;

use super::*;
use crate::{
    Digest,
    tree::{Content, Kind, Metadata, Node, Origin, What, arbitrary},
};

proptest! {
    #[test]
    fn changes_to_tar_to_changes((old, new) in arbitrary::two_trees()) {
        let changes = diff(&old, &new);
        let tar = tar_of(&changes);
        let mut copy = Vec::new();
        let layer = index(&*tar, Some(&mut copy)).unwrap();
        prop_assert_eq!(&layer.changes, &changes);
        prop_assert_eq!((layer.diff_id, layer.size), (Digest::of(&tar), tar.len() as u64));
        prop_assert_eq!(&copy, &tar);
        prop_assert_eq!(layer.foreign_links(), []);

        let mut saved = Vec::new();
        layer.save(&mut saved).unwrap();
        prop_assert_eq!(LayerIndex::load(&*saved).unwrap(), layer);
    }

    #[test]
    fn offsets_are_where_the_bytes_are(tree in arbitrary::tree()) {
        let tar = tar_of(&layer_of(&tree));
        let layer = index(&*tar, None).unwrap();
        for change in &layer.changes {
            if let What::Node(Node { kind: Kind::File(content), .. }) = &change.what {
                let Origin::Layer { diff_id, offset } = content.origin else { panic!("{content:?}") };
                let bytes = &tar[offset as usize..][..content.size as usize];
                prop_assert_eq!((diff_id, content.digest), (layer.diff_id, Some(Digest::of(bytes))));
            }
        }
    }

    #[test]
    fn tree_to_layer_to_tree(tree in arbitrary::tree()) {
        let layer = index(&*tar_of(&layer_of(&tree)), None).unwrap();
        let mut copy = Tree::new();
        copy.apply(&layer.changes).unwrap();
        prop_assert_eq!(copy, tree);
    }

    #[test]
    fn a_damaged_index_is_refused(tree in arbitrary::tree(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut saved = Vec::new();
        index(&*tar_of(&layer_of(&tree)), None).unwrap().save(&mut saved).unwrap();
        let at = at.index(saved.len());
        prop_assert!(matches!(LayerIndex::load(&saved[..at]), Err(Error::Index)));
        saved[at] ^= 1 << bit;
        prop_assert!(matches!(LayerIndex::load(&*saved), Err(Error::Index)));
    }
}

fn file(bytes: &[u8], size: u64) -> What {
    let content = Content {
        size,
        digest: None,
        origin: Origin::Memory(bytes.into()),
    };
    What::Node(Node {
        metadata: Metadata::default(),
        kind: Kind::File(content),
    })
}

#[test]
fn what_a_tar_cannot_say_is_refused() {
    let attribute = |name: &str| {
        let xattrs = [(name.into(), vec![])].into();
        What::Node(Node {
            metadata: Metadata {
                xattrs,
                ..Metadata::default()
            },
            kind: Kind::Fifo,
        })
    };
    for (path, what) in [
        ("a/.wh.b", file(b"", 0)),
        (".wh.d/b", file(b"", 0)),
        (".wh.b", What::HardLink("a".into())),
        ("", What::Whiteout),
        ("a", attribute("user.a=b")),
    ] {
        let change = Change {
            path: path.into(),
            what,
        };
        let error = write_tar(std::slice::from_ref(&change), &LocalContents, Vec::new()).unwrap_err();
        assert!(
            matches!(&error, Error::Unrepresentable { path: blamed, .. } if *blamed == change.path),
            "{error}"
        );
    }
}

#[test]
fn a_file_of_another_size_is_refused() {
    for size in [0, 1, 4, 1000] {
        let change = Change {
            path: "a".into(),
            what: file(b"123", size),
        };
        let written = write_tar(&[change], &LocalContents, Vec::new());
        // Nobody reads a file that is to be empty.
        if size > 0 {
            assert!(
                matches!(written, Err(Error::Changed { expected, .. }) if expected == size),
                "{size}"
            );
        }
    }
}

#[test]
fn implied_directories_are_those_nothing_is_said_of() {
    let tar = Tar::default()
        .entry(b'5', b"a", b"", b"")
        .file("a/b/c", b"")
        .file("d/.wh.e", b"")
        .file("f/g/.wh..wh..opq", b"")
        .entry(b'1', b"h", b"lower/file", b"")
        .end();
    let layer = index(&*tar, None).unwrap();
    assert_eq!(
        layer.implied_directories(),
        ["a/b", "d", "f", "f/g"].map(std::path::PathBuf::from)
    );
    assert_eq!(layer.foreign_links(), [("h".into(), "lower/file".into())]);
}
