//! Any bytes are read as a manifest and as an index; what is accepted says the same when written again.
//!
//! `cargo +nightly fuzz run manifest fuzz/corpus/manifest testdata/corpus/manifest`
#![no_main]

use libfuzzer_sys::fuzz_target;
use rbuild::{
    Digest,
    image::{Image, Index, Manifest, MediaType, Descriptor, Platform},
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(bytes) {
        let written = serde_json::to_vec(&manifest).expect("a manifest is JSON");
        assert_eq!(Manifest::parse(&written).expect("what was written is read"), manifest);
    }
    if let Ok(index) = Index::parse(bytes) {
        let _ = index.select(&Platform::host(), Digest::of(bytes));
        let written = serde_json::to_vec(&index).expect("an index is JSON");
        assert_eq!(Index::parse(&written).expect("what was written is read"), index);
    }
    let _ = Image::parse(Descriptor::of(MediaType::ImageManifest, bytes), bytes.to_vec(), b"{}".to_vec());
});
