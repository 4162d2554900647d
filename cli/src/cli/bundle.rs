//! The commands that make directories of images, and images of directories.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rbuild::image::Platform;

use super::{Settings, Show};
use crate::options::Compress;

/// Where images of bundles are.
const PLACES: &str = "\
IMAGE is a place, as in `rbuild copy --help`; DIR[:NAME], as umoci has it, for an OCI layout that is there; or a name: of an image in the
store, or else of one in a registry.";

/// `rbuild unpack`.
#[derive(Args, Debug)]
#[command(after_help = PLACES)]
pub struct Unpack {
    /// The image
    #[arg(long)]
    pub image: String,
    /// The directory to make
    pub bundle: PathBuf,
    /// All files belong to the caller; so it is anyhow if he cannot give files away
    #[arg(long)]
    pub rootless: bool,
    /// Of an index, the image for this platform [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}

/// `rbuild repack`.
#[derive(Args, Debug)]
#[command(after_help = PLACES)]
pub struct Repack {
    /// Where the new image goes, the layout with the bundle's image in it or any other place
    #[arg(long)]
    pub image: String,
    /// A directory that `rbuild unpack` or `umoci unpack` made
    pub bundle: PathBuf,
    /// What is at this path and below counts as unchanged; so do volumes
    #[arg(long, value_name = "PATH")]
    pub mask_path: Vec<PathBuf>,
    /// What is in volumes counts like anything else
    #[arg(long)]
    pub no_mask_volumes: bool,
    /// Make the directory the bundle of the new image
    #[arg(long)]
    pub refresh_bundle: bool,
    /// Compress the new layer with gzip[:LEVEL], zstd[:LEVEL] or none [default: gzip]
    #[arg(long, value_name = "HOW")]
    pub compression: Option<Compress>,
    /// What the image's history says of the change [default: rbuild repack]
    #[arg(long, alias = "history.created_by", value_name = "TEXT")]
    pub history: Option<String>,
    #[command(flatten)]
    pub show: Show,
    #[command(flatten)]
    pub settings: Settings,
}

/// `rbuild raw`.
#[derive(Subcommand, Debug)]
pub enum RawCommand {
    /// Write an image's files into a directory, and nothing else
    Unpack(RawUnpack),
}

/// `rbuild raw unpack`.
#[derive(Args, Debug)]
#[command(after_help = PLACES)]
pub struct RawUnpack {
    /// The image
    #[arg(long)]
    pub image: String,
    /// The directory to make
    pub rootfs: PathBuf,
    /// All files belong to the caller; so it is anyhow if he cannot give files away
    #[arg(long)]
    pub rootless: bool,
    /// Of an index, the image for this platform [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}
