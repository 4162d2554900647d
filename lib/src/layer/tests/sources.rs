//! Contents out of layers, in any order.

use std::{cell::Cell, io::Read};

use proptest::prelude::*;

use super::*;
use crate::{
    Digest,
    tree::{Content, Kind, Metadata, Node, Origin, What},
};

fn files(texts: &[Vec<u8>]) -> Vec<Change> {
    let change = |(at, text): (usize, &Vec<u8>)| {
        let origin = Origin::Memory(text.clone().into());
        let content = Content {
            size: text.len() as u64,
            digest: Some(Digest::of(text)),
            origin,
        };
        let node = Node {
            metadata: Metadata::default(),
            kind: Kind::File(content),
        };
        Change {
            path: format!("f{at:04}").into(),
            what: What::Node(node),
        }
    };
    texts.iter().enumerate().map(change).collect()
}

proptest! {
    #[test]
    fn any_choice_in_any_order_is_read_in_one_pass(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..900), 1..12),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        read_all in any::<bool>(),
    ) {
        let tar = tar_of(&files(&texts));
        let layer = index(&*tar, None).unwrap();
        let wanted: Vec<Change> = order.iter().map(|at| at.get(&layer.changes).clone()).collect();
        let opened = Cell::new(0);
        let open = |_: &Digest| -> Result<Box<dyn Read + Send>, Error> {
            opened.set(opened.get() + 1);
            Ok(Box::new(std::io::Cursor::new(tar.clone())))
        };
        let sources = Sources::new(&open, &wanted);
        for change in &wanted {
            let What::Node(Node { kind: Kind::File(content), .. }) = &change.what else { panic!("{change:?}") };
            let mut bytes = Vec::new();
            let mut reader = sources.open(content).unwrap();
            // Some readers stop in the middle.
            if read_all || content.size % 2 == 0 {
                reader.read_to_end(&mut bytes).unwrap();
                prop_assert_eq!(content.digest, Some(Digest::of(bytes)));
            } else {
                reader.read_exact(&mut [0]).unwrap();
            }
        }
        prop_assert!(opened.get() <= 1);
    }
}

#[test]
fn a_layer_that_lies_or_is_missing_is_an_error() {
    let tar = tar_of(&files(&[b"one".to_vec(), b"two".to_vec()]));
    let changes = index(&*tar, None).unwrap().changes;
    let short = |_: &Digest| -> Result<Box<dyn Read + Send>, Error> { Ok(Box::new(&b"short"[..])) };
    for order in [[0, 1], [1, 0]] {
        let wanted = order.map(|at| changes[at].clone());
        let written = write_tar(&wanted, &Sources::new(&short, &wanted), Vec::new());
        assert!(written.is_err(), "{order:?}");
    }
    let missing = write_tar(&changes, &LocalContents, Vec::new());
    assert!(matches!(missing, Err(Error::NoSuchLayer(_))));
    let undeclared = write_tar(&changes, &Sources::new(&short, &[]), Vec::new());
    assert!(matches!(undeclared, Err(Error::NoSuchLayer(_))));
}
