//! Any text before a line `---` is an ignore file, and a pattern a line; what follows is a path.
//!
//! `ASAN_OPTIONS=detect_odr_violation=0 cargo +nightly fuzz run ignore fuzz/corpus/ignore testdata/corpus/ignore`; without the
//! variable, tables that libdeflate has in several variants of its code are taken for a mistake.
#![no_main]

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use libfuzzer_sys::fuzz_target;
use rbuild::containerfile::{ignore::Ignore, pattern::Pattern};

fuzz_target!(|data: &[u8]| {
    let at = data.windows(5).position(|window| window == b"\n---\n");
    let (patterns, path) = match at {
        Some(at) => (&data[..at], &data[at + 5..]),
        None => (data, &b"a/b"[..]),
    };
    let patterns = String::from_utf8_lossy(patterns);
    let path = Path::new(OsStr::from_bytes(path));
    if let Ok(ignore) = Ignore::parse(&patterns) {
        // Nothing below a directory comes back if nothing may.
        if ignore.matches(path) && !ignore.may_descend(path) {
            assert!(path.as_os_str().is_empty() || ignore.matches(path.join("x")));
        }
    }
    for line in patterns.lines() {
        if let Ok(pattern) = Pattern::parse(line) {
            pattern.matches(path);
            pattern.directory();
        }
    }
});
