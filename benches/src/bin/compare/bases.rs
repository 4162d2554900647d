//! Base images, made once and kept as tars; pushed to the registry by rbuild itself.

use std::{fs, path::Path, process::Command};

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

/// Files in [`FILES`].
const COUNT: usize = 12_000;

/// Makes what is missing and pushes all.
pub fn push_all(dir: &Path, rbuild: &Path, registry: &Registry) -> Result<()> {
    debian(dir, SMALL, &[])?;
    debian(
        dir,
        LARGE,
        &[
            "build-essential",
            "clang",
            "cmake",
            "git",
            "python3",
            "default-jdk-headless",
        ],
    )?;
    for base in [SMALL, LARGE] {
        let context = dir.join(base);
        push(
            &context,
            "FROM scratch\nADD root.tar /\nCMD [\"bash\"]\n",
            base,
            dir,
            rbuild,
            registry,
        )?;
    }
    let context = dir.join(FILES);
    if !context.exists() {
        write_small_files(&context.join("data"), COUNT, &mut Text::new(1))?;
    }
    let text = format!("FROM {}\nCOPY data /data\n", registry.name(SMALL));
    push(&context, &text, FILES, dir, rbuild, registry)
}

/// A Debian root file system in a tar.
fn debian(dir: &Path, base: &str, packages: &[&str]) -> Result<()> {
    let context = dir.join(base);
    let (tar, unfinished) = (context.join("root.tar"), context.join("unfinished.tar"));
    if tar.exists() {
        return Ok(());
    }
    eprintln!("making {}", tar.display());
    fs::create_dir_all(&context).with_context(|| context.display().to_string())?;
    let mut command = Command::new("mmdebstrap");
    command.arg("--variant=minbase");
    if !packages.is_empty() {
        command.arg(format!("--include={}", packages.join(",")));
    }
    command.arg("bookworm").arg(&unfinished);
    shell::run(&mut command, &context.join("mmdebstrap.log"))?;
    fs::rename(&unfinished, &tar).with_context(|| tar.display().to_string())
}

fn push(
    context: &Path,
    text: &str,
    base: &str,
    dir: &Path,
    rbuild: &Path,
    registry: &Registry,
) -> Result<()> {
    let containerfile = context.join("Containerfile");
    fs::write(&containerfile, text).with_context(|| containerfile.display().to_string())?;
    let mut command = Command::new(rbuild);
    command.arg("--root").arg(dir.join("bases-store"));
    command
        .args(["build", "--push", "-t", &registry.name(base)])
        .arg(context);
    shell::run(&mut command, &context.join("push.log"))
}
