//! Packs the relocations of the static binary, which begin as a twentieth of it: musl undoes that itself when the program
//! starts. A linker that is too old for it leaves them as they are.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "musl") {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
