//! Base images, made once and kept as tars; pushed to the registry by rbuild itself.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};

use crate::{
    registry::Registry,
    shell,
    workloads::{Text, write_small_files},
};

/// A minimal Debian, some 170 MB.
pub const SMALL: &str = "base/small";
/// The same with compilers, some 1 GB.
pub const LARGE: &str = "base/large";
/// The small one with 12,000 files in `/data`.
pub const FILES: &str = "base/files";

/// What the large one has more.
const COMPILERS: [&str; 6] = [
    "build-essential",
    "clang",
    "cmake",
    "git",
    "python3",
    "default-jdk-headless",
];

/// Packages come from afar.
const LIMIT: Duration = Duration::from_secs(1800);

/// Files in [`FILES`].
const COUNT: usize = 12_000;

/// Makes a base, if it is missing, and pushes it.
pub fn provide(base: &str, dir: &Path, rbuild: &Path, registry: &Registry) -> Result<()> {
    let context = dir.join(base);
    let containerfile = match base {
        FILES => {
            provide(SMALL, dir, rbuild, registry)?;
            if !context.exists() {
                write_small_files(&context.join("data"), COUNT, &mut Text::new(1))?;
            }
            format!("FROM {}\nCOPY data /data\n", registry.name(SMALL))
        }
        _ => {
            debian(&context, if base == LARGE { &COMPILERS } else { &[] })?;
            "FROM scratch\nADD root.tar /\nCMD [\"bash\"]\n".to_owned()
        }
    };
    let path = context.join("Containerfile");
    fs::write(&path, containerfile).with_context(|| path.display().to_string())?;
    let mut command = Command::new(rbuild);
    command.arg("--root").arg(dir.join("bases-store"));
    command
        .args(["build", "--push", "-t", &registry.name(base)])
        .arg(&context);
    shell::run(&mut command, &context.join("push.log"), LIMIT)
}

/// A Debian root file system in a tar.
fn debian(context: &Path, packages: &[&str]) -> Result<()> {
    let (tar, unfinished) = (context.join("root.tar"), context.join("unfinished.tar"));
    if tar.exists() {
        return Ok(());
    }
    eprintln!("making {}", tar.display());
    fs::create_dir_all(context).with_context(|| context.display().to_string())?;
    let mut command = Command::new("mmdebstrap");
    command.arg("--variant=minbase");
    if !packages.is_empty() {
        command.arg(format!("--include={}", packages.join(",")));
    }
    command.arg("bookworm").arg(&unfinished);
    shell::run(&mut command, &context.join("mmdebstrap.log"), LIMIT)?;
    fs::rename(&unfinished, &tar).with_context(|| tar.display().to_string())
}
