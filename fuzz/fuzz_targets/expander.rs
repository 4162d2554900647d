//! Any word is expanded, and read as a mount and as every small language there is.
//!
//! `ASAN_OPTIONS=detect_odr_violation=0 cargo +nightly fuzz run expander fuzz/corpus/expander testdata/corpus/expander`; without the
//! variable, tables that libdeflate has in several variants of its code are taken for a mistake.
#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use rbuild::containerfile::{
    expand::{expand, expand_heredoc, expand_report},
    mount::Mount,
    values,
};

fuzz_target!(|word: &str| {
    let lookup = |name: &str| name.len().is_multiple_of(2).then_some(Cow::Borrowed("a b/c.d*\n"));
    for escape in ['\\', '`'] {
        let one = expand(word, escape, &lookup);
        let report = expand_report(word, escape, &lookup);
        assert_eq!(one, report.map(|report| report.text));
    }
    let _ = expand_heredoc(word, &lookup);
    let _ = Mount::parse(word, |value| expand(value, '\\', &lookup));
    let _ = values::Chmod::parse(word).map(|chmod| chmod.apply(0o644, true));
    let _ = values::Ports::parse(word);
    let _ = values::Origin::parse(word);
    let _ = values::GitSource::parse_context(word);
    let _ = values::parse_duration(word);
    let _ = values::parse_size(word);
    let _ = values::check_signal(word);
    values::Owner::parse(word);
});
