//! The image that all work begins with.
//!
//! Packages are Debian's, and so are the sources of Lua. What npm installs are the packages that Debian's own npm
//! consists of, packed as npm would have them, with nothing to depend on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

const CONTAINERFILE: &str = include_str!("base.Containerfile");
const PACK: &str = include_str!("pack.js");

/// The files that are copied.
const FILES: usize = 12_000;
const SIZE: usize = 4_000;

/// An OCI layout of it, made if it is missing.
pub fn provide(debian: &str, dir: &Path, rbuild: &Path) -> Result<PathBuf> {
    let (layout, context) = (dir.join("base"), dir.join("context"));
    if layout.join("oci-layout").exists() {
        return Ok(layout);
    }
    eprintln!("making {}", layout.display());
    let data = context.join("data");
    if !data.exists() {
        fs::create_dir_all(&data).with_context(|| data.display().to_string())?;
        rbuild_benches::directory(&data, FILES, SIZE).with_context(|| data.display().to_string())?;
    }
    for (name, text) in [("Containerfile", CONTAINERFILE), ("pack.js", PACK)] {
        fs::write(context.join(name), text).with_context(|| name.to_owned())?;
    }
    let status = Command::new(rbuild)
        .arg("--root")
        .arg(dir.join("root-store"))
        .args(["build", "--build-arg", &format!("DEBIAN={debian}"), "--output"])
        .arg(format!("type=oci,dest={}", layout.display()))
        .arg(&context)
        .status()
        .with_context(|| rbuild.display().to_string())?;
    ensure!(status.success(), "the base cannot be made: {status}");
    Ok(layout)
}
