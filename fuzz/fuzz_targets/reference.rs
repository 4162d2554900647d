//! Any text is read as the name of an image, a place, a platform; what is accepted reads back from what it prints.
//!
//! `cargo +nightly fuzz run reference fuzz/corpus/reference testdata/corpus/reference`
#![no_main]

use libfuzzer_sys::fuzz_target;
use rbuild::{Digest, Locator, Reference, image::Platform};

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        let printed = reference.to_string();
        assert_eq!(printed.parse::<Reference>().expect("what was printed is a name"), reference);
    }
    if let Ok(place) = text.parse::<Locator>() {
        let printed = place.to_string();
        assert_eq!(printed.parse::<Locator>().expect("what was printed is a place"), place);
    }
    if let Ok(platform) = text.parse::<Platform>() {
        let printed = platform.to_string();
        assert_eq!(printed.parse::<Platform>().expect("what was printed is a platform"), platform);
    }
    let _ = text.parse::<Digest>();
});
