//! `--iidfile` and `--metadata-file`.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use rbuild::build::Built;
use serde_json::json;

use crate::cli::Build;

/// Writes the files that the flags ask for.
pub fn write(options: &Build, built: &Built) -> Result<()> {
    if let Some(path) = &options.iidfile {
        put(path, &built.digest().to_string())?;
    }
    if let Some(path) = &options.metadata_file {
        put(path, &metadata(options, built)?)?;
    }
    Ok(())
}

/// The keys are those of docker's `--metadata-file`.
fn metadata(options: &Build, built: &Built) -> Result<String> {
    let descriptor = built.descriptor();
    let encoded = built.image().encode()?;
    let metadata = json!({
        "containerimage.digest": descriptor.digest,
        "containerimage.config.digest": encoded.config_descriptor.digest,
        "containerimage.descriptor": descriptor,
        "image.name": options.tags.join(","),
    });
    Ok(serde_json::to_string_pretty(&metadata)? + "\n")
}

/// Writes a file.
pub fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
