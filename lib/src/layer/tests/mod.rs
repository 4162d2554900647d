//! Tests of layers as a whole.

mod blobs;
mod disk;
mod hostile;
mod interop;
mod round_trips;
mod sources;
mod sparse;
mod upper;

use std::io::Write;

use super::*;
use crate::tree::{Change, Tree, diff};

/// The tar of a list of changes whose contents are at hand.
fn tar_of(changes: &[Change]) -> Vec<u8> {
    let mut tar = Vec::new();
    write_tar(changes, &LocalContents, &mut tar).unwrap();
    tar
}

/// The layer that a whole tree is.
fn layer_of(tree: &Tree) -> Vec<Change> {
    diff(&Tree::new(), tree)
}

/// A tar made by hand, for what no writer of ours would write.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    /// An entry of some type, its header checksum right.
    fn entry(self, kind: u8, name: &[u8], link: &[u8], data: &[u8]) -> Self {
        self.header(kind, name, link, data.len() as u64, |_| {})
            .data(data)
    }

    /// A header changed at will before its checksum is computed.
    fn header(
        mut self,
        kind: u8,
        name: &[u8],
        link: &[u8],
        size: u64,
        change: impl FnOnce(&mut [u8; 512]),
    ) -> Self {
        let fields = tar::Fields {
            name,
            link,
            size,
            mode: 0o644,
            kind,
            ..tar::Fields::default()
        };
        let (mut block, _) = tar::header(&fields);
        change(&mut block);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        write!(&mut block[148..156], "{sum:06o}\0").unwrap();
        self.0.extend_from_slice(&block);
        self
    }

    fn data(mut self, data: &[u8]) -> Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(b'0', name.as_bytes(), b"", data)
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name.as_bytes(), target.as_bytes(), b"")
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut bytes = Vec::new();
        for (key, value) in records {
            tar::record(&mut bytes, key.as_bytes(), value);
        }
        self.entry(b'x', b"x", b"", &bytes)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}
