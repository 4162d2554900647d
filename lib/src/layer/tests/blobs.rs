//! Compression: the same bytes on any number of cores, and back.

use std::io::Read;

use super::*;
use crate::{
    Digest,
    layer::compress::ingest_on,
    tree::{Content, Kind, Metadata, Node, Origin, What},
};

/// A tar of several MiB, half of it hard to compress.
fn large() -> Vec<u8> {
    let mut state = 1_u32;
    let mut bytes = vec![b'a'; 9 << 20];
    for byte in &mut bytes[..4 << 20] {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    let content = Content {
        size: bytes.len() as u64,
        digest: None,
        origin: Origin::Memory(bytes.into()),
    };
    let what = What::Node(Node {
        metadata: Metadata::default(),
        kind: Kind::File(content),
    });
    tar_of(&[Change {
        path: "large".into(),
        what,
    }])
}

/// Gives a few bytes at a time.
struct Slowly<'a>(&'a [u8], usize);

impl Read for Slowly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(self.1);
        self.0.read(&mut buffer[..length])
    }
}

#[test]
fn bytes_do_not_depend_on_threads_or_on_how_they_come() {
    let tar = large();
    for compression in [
        Compression::default(),
        Compression::Gzip(6),
        Compression::Zstd(3),
        Compression::None,
    ] {
        let mut blob = Vec::new();
        let (layer, packed) = ingest_on(1, &*tar, &mut blob, compression).unwrap();
        assert_eq!((layer.diff_id, layer.size), (Digest::of(&tar), tar.len() as u64));
        assert_eq!(
            (packed.digest, packed.size),
            (Digest::of(&blob), blob.len() as u64)
        );
        assert_eq!(packed.media_type, compression.media_type());
        for (threads, piece) in [(2, 1 << 20), (3, 1000), (5, 65_536)] {
            let mut again = Vec::new();
            ingest_on(threads, Slowly(&tar, piece), &mut again, compression).unwrap();
            assert_eq!(
                Digest::of(&again),
                packed.digest,
                "{compression:?} on {threads} threads"
            );
        }
        let mut back = Vec::new();
        decompress(&*blob).unwrap().read_to_end(&mut back).unwrap();
        assert!(back == tar, "{compression:?}");
    }
}

#[test]
fn nothing_is_a_layer_too() {
    for compression in [Compression::default(), Compression::Zstd(3), Compression::None] {
        let mut blob = Vec::new();
        ingest(&[][..], &mut blob, compression).unwrap();
        let mut back = Vec::new();
        decompress(&*blob).unwrap().read_to_end(&mut back).unwrap();
        assert!(back.is_empty(), "{compression:?}");
    }
}

#[test]
fn formats_are_known_by_their_bytes() {
    // `printf hello | bzip2`, `printf hello | xz`: what the other end writes.
    let bzip2 = "425a68393141592653591931653d00000081000244a000219a68334d07338bb9229c28480c98b29e80";
    let xz = "fd377a585a000004e6d6b4460200210116000000742fe5a301000468656c6c6f00000000b137b9dbe5da1e9b00011d05b82d80af1fb6f37d010000000004595a";
    for (name, blob) in [
        ("bzip2", unhex(bzip2)),
        ("xz", unhex(xz)),
        ("plain", b"hello".to_vec()),
    ] {
        let mut text = String::new();
        decompress(&*blob).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello", "{name}");
    }
}

#[test]
fn several_members_and_frames_are_one_stream() {
    for compression in [Compression::default(), Compression::Zstd(3)] {
        let mut blob = Vec::new();
        for text in ["a", "b"] {
            ingest(&*Tar::default().file(text, b"").0, &mut blob, compression).unwrap();
        }
        let layer = index(decompress(&*blob).unwrap(), None).unwrap();
        assert_eq!(layer.changes.len(), 2, "{compression:?}");
    }
}

#[test]
fn damage_is_an_error() {
    let tar = large();
    for compression in [Compression::default(), Compression::Zstd(3)] {
        let mut blob = Vec::new();
        ingest(&*tar, &mut blob, compression).unwrap();
        let cut = &blob[..blob.len() / 2];
        assert!(
            matches!(index(decompress(cut).unwrap(), None), Err(Error::Read(_))),
            "{compression:?}"
        );
    }
}

#[test]
fn a_full_disk_is_an_error_of_writing() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let tar = large();
    for compression in [Compression::default(), Compression::Zstd(3), Compression::None] {
        let result = ingest(&*tar, Full, compression);
        assert!(
            matches!(result, Err(Error::Write(_))),
            "{compression:?}: {result:?}"
        );
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
