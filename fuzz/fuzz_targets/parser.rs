//! Any text is parsed, linted and printed; what was printed parses to what prints the same.
//!
//! `ASAN_OPTIONS=detect_odr_violation=0 cargo +nightly fuzz run parser fuzz/corpus/parser testdata/corpus/parser`; without the
//! variable, tables that libdeflate has in several variants of its code are taken for a mistake.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rbuild::containerfile::{Containerfile, Instruction, lint::Options};

fuzz_target!(|source: &str| {
    let _ = Instruction::parse_trigger(source);
    match Containerfile::parse(source) {
        Ok(file) => {
            for found in file.lint(&Options::default()) {
                found.render("Containerfile", source);
            }
            let printed = file.to_string();
            let again = Containerfile::parse(&printed).expect("what was printed is valid");
            assert_eq!(again.to_string(), printed);
        }
        Err(errors) => {
            errors.render("Containerfile");
        }
    }
});
