//! Any bytes are read as an image's config; what is accepted says the same when written again.
//!
//! `cargo +nightly fuzz run config fuzz/corpus/config testdata/corpus/config`
#![no_main]

use libfuzzer_sys::fuzz_target;
use rbuild::image::Config;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut config) = Config::parse(bytes) else { return };
    let written = serde_json::to_vec(&config).expect("a config is JSON");
    assert_eq!(Config::parse(&written).expect("what was written is read"), config);
    let _ = config.platform().to_string();
    config.config.set_env("PATH", "/bin");
    assert_eq!(config.config.get_env("PATH"), Some("/bin"));
});
