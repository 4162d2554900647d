//! `rbuild s2i`.

use std::path::PathBuf;

use clap::Args;

use super::Build;
use crate::options::{Moved, Pair};

/// `rbuild s2i`.
#[derive(Args, Debug)]
#[command(
    after_help = "SOURCE is what `rbuild build` takes for CONTEXT: a directory, a tar, a git repository. Flags of `rbuild build` that \
        say how an image is built, and where it goes, mean the same here."
)]
pub struct S2i {
    #[command(flatten)]
    pub build: Build,
    /// The image with the scripts assemble and run: io.openshift.s2i.scripts-url says where
    pub builder: String,
    /// The name of the new image, as with --tag
    pub image: Option<String>,
    /// Set an environment variable, for the scripts and in the image
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<Pair>,
    /// A file with such lines
    #[arg(short = 'E', long, value_name = "FILE")]
    pub environment_file: Option<PathBuf>,
    /// Take scripts from there first: image:///DIR, file:///DIR, https://…
    #[arg(short, long, value_name = "URL")]
    pub scripts_url: Option<String>,
    /// The directory of the builder image for source and scripts [default: as its label says, or /tmp]
    #[arg(short, long, value_name = "DIR")]
    pub destination: Option<String>,
    /// This directory of SOURCE is the source
    #[arg(long, value_name = "DIR")]
    pub context_dir: Option<PathBuf>,
    /// Begin with what save-artifacts gives of the image that was built before
    #[arg(long)]
    pub incremental: bool,
    /// That image, if it is not IMAGE
    #[arg(long, value_name = "IMAGE", requires = "incremental")]
    pub incremental_from: Option<String>,
    /// Run assemble as this user [default: as the label says, or the builder's]
    #[arg(long, value_name = "USER")]
    pub assemble_user: Option<String>,
    /// Put what was assembled onto this image
    #[arg(long, value_name = "IMAGE")]
    pub runtime_image: Option<String>,
    /// What of it: a path, and a directory below the runtime image's working directory; may be repeated
    #[arg(
        short = 'a',
        long = "runtime-artifact",
        value_name = "SRC[:DEST]",
        requires = "runtime_image"
    )]
    pub runtime_artifacts: Vec<Moved>,
    /// Run assemble-runtime as this user [default: as the label says, or the runtime image's]
    #[arg(long, value_name = "USER", requires = "runtime_image")]
    pub assemble_runtime_user: Option<String>,
}

/// `rbuild s2i-usage`.
#[derive(Args, Debug)]
pub struct S2iUsage {
    /// The builder image
    pub builder: String,
    /// Set an environment variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<Pair>,
    /// Where the script is: image:///DIR [default: as the image's label says]
    #[arg(short, long, value_name = "URL")]
    pub scripts_url: Option<String>,
}
