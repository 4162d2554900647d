//! Any bytes are read as a layer. What is accepted fits into a tree or is refused there, is remembered as it was, and
//! can be written and read again.
//!
//! `cargo +nightly fuzz run layer fuzz/corpus/layer testdata/corpus/layer`
#![no_main]

use std::io::Read as _;

use libfuzzer_sys::fuzz_target;
use rbuild::{
    layer::{LayerIndex, Sources, decompress, index, write_tar},
    tree::{Tree, diff},
};

/// Enough for every way through the code; more would only be slow.
const MOST: u64 = 4 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Ok(plain) = decompress(bytes) else { return };
    let mut tar = Vec::new();
    if plain.take(MOST).read_to_end(&mut tar).is_err() {
        return;
    }
    let Ok(layer) = index(&tar[..], None) else { return };
    let mut saved = Vec::new();
    layer.save(&mut saved).expect("writing to memory does not fail");
    assert_eq!(LayerIndex::load(&saved[..]).expect("what was saved is read"), layer);
    let mut tree = Tree::new();
    if tree.apply(&layer.changes).is_err() {
        return;
    }
    let changes = diff(&Tree::new(), &tree);
    let open = |_: &_| -> Result<Box<dyn std::io::Read + Send>, _> { Ok(Box::new(std::io::Cursor::new(tar.clone()))) };
    let mut written = Vec::new();
    if write_tar(&changes, &Sources::new(&open, &changes), &mut written).is_err() {
        return;
    }
    let mut again = Tree::new();
    let read = index(&written[..], None).expect("what was written is a layer");
    again.apply(&read.changes).expect("and fits");
    assert_eq!(again, tree);
});
