//! The commands that change images without a build.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use rbuild::{Reference, image::Platform};

use super::{RawCommand, Repack, Show, Unpack};
use crate::options::{Compress, Pair};

/// How to change an image.
#[derive(Subcommand, Debug)]
pub enum EditCommand {
    /// Put files, directories or tars onto an image as new layers, without reading those it has
    Append(Append),
    /// Change what an image says of its containers: command, environment, labels, …
    Config(Configure),
    /// Put the layers above an image's base onto another base
    Rebase(Rebase),
    /// Make one layer of an image's layers
    Squash(Squash),
    /// Put one file or directory into an image
    Insert(Insert),
    /// Make a directory of an image, whose files any tool can edit: an OCI runtime bundle, as umoci makes them
    Unpack(Unpack),
    /// Make an image of such a directory: one layer of what changed
    Repack(Repack),
    /// An image's files alone
    #[command(subcommand)]
    Raw(RawCommand),
    /// Make and change indexes: images for several platforms under one name
    #[command(subcommand)]
    Index(IndexCommand),
    /// Say what differs between two images: layers, config, files
    Diff(Diff),
    /// Say whether the bases of images have moved; exit code 1 if one has
    Outdated(Outdated),
}

/// Where a changed image goes.
const DESTINATIONS: &str = "\
IMAGE is a place, as in `rbuild copy --help`, or a name: of an image in the store, or else of one in a registry.
DEST is a place, or a name in the store; without it the image is changed where it is.";

/// Which image to change, and where the result goes.
#[derive(Args, Debug)]
pub struct Target {
    /// Where the changed image goes [default: where it was]
    #[arg(short, long, value_name = "DEST")]
    pub tag: Option<String>,
    /// Of an index, the image for this platform [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
    /// Compress new layers with gzip[:LEVEL], zstd[:LEVEL] or none [default: gzip]
    #[arg(long, value_name = "HOW")]
    pub compression: Option<Compress>,
    /// What the image's history says of the change [default: the command]
    #[arg(long, value_name = "TEXT")]
    pub history: Option<String>,
    #[command(flatten)]
    pub show: Show,
}

/// What to change about an image's config.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Config")]
pub struct Settings {
    /// The entrypoint: a JSON array, or one word; may be repeated for further words
    #[arg(
        long,
        alias = "config.entrypoint",
        value_name = "WORD",
        allow_hyphen_values = true
    )]
    pub entrypoint: Vec<String>,
    /// The command: a JSON array, or one word; may be repeated for further words
    #[arg(long, alias = "config.cmd", value_name = "WORD", allow_hyphen_values = true)]
    pub cmd: Vec<String>,
    /// Set an environment variable
    #[arg(short, long, alias = "config.env", value_name = "NAME=VALUE")]
    pub env: Vec<Pair>,
    /// Take an environment variable away
    #[arg(long, value_name = "NAME")]
    pub unset_env: Vec<String>,
    /// Set a label
    #[arg(short, long, alias = "config.label", value_name = "NAME=VALUE")]
    pub label: Vec<Pair>,
    /// Take a label away
    #[arg(long, value_name = "NAME")]
    pub unset_label: Vec<String>,
    /// The user, and perhaps the group, that containers run as
    #[arg(short, long, alias = "config.user", value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// The working directory
    #[arg(long, alias = "config.workingdir", value_name = "DIR")]
    pub workdir: Option<String>,
    /// A port that the image listens on, as in 80 or 53/udp
    #[arg(long, alias = "config.exposedports", value_name = "PORT")]
    pub port: Vec<String>,
    /// A directory that is a volume
    #[arg(long, alias = "config.volume", value_name = "DIR")]
    pub volume: Vec<String>,
    /// The signal that stops a container
    #[arg(long, alias = "config.stopsignal", value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// Set an annotation of the manifest
    #[arg(long, alias = "manifest.annotation", value_name = "NAME=VALUE")]
    pub annotation: Vec<Pair>,
    /// Take an annotation of the manifest away
    #[arg(long, value_name = "NAME")]
    pub unset_annotation: Vec<String>,
    /// Who made the image
    #[arg(long, value_name = "NAME")]
    pub author: Option<String>,
    /// When it was made: RFC 3339, or seconds since 1970 [default: SOURCE_DATE_EPOCH, or now]
    #[arg(long, value_name = "TIME")]
    pub created: Option<String>,
    /// What the image is for, whatever it was for before
    #[arg(long, value_name = "OS/ARCH")]
    pub set_platform: Option<Platform>,
    /// Empty a part of the config before anything is set
    #[arg(long, value_enum, value_name = "PART")]
    pub clear: Vec<Part>,
}

/// `--clear` of `rbuild config`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The entrypoint
    Entrypoint,
    /// The command
    Cmd,
    /// All environment variables
    Env,
    /// All labels
    Labels,
    /// All ports
    Ports,
    /// All volumes
    Volumes,
    /// All annotations of the manifest
    Annotations,
    /// The history, but for how many layers there are
    History,
}

/// `rbuild append`.
#[derive(Args, Debug)]
#[command(after_help = DESTINATIONS, group = ArgGroup::new("content").required(true).multiple(true))]
pub struct Append {
    /// The image, `scratch` for one of nothing
    pub image: String,
    /// A file, or what is in a directory, and where in the image it goes [default: the root]
    #[arg(value_name = "SRC[:DEST]", group = "content")]
    pub files: Vec<String>,
    /// A tar as a layer of its own, compressed or not; - for standard input
    #[arg(long, value_name = "FILE", group = "content")]
    pub tar: Vec<PathBuf>,
    /// Who owns the files [default: 0:0]
    #[arg(long, value_name = "UID[:GID]")]
    pub chown: Option<Owner>,
    /// The mode of the files, in octal [default: as on disk]
    #[arg(long, value_name = "MODE", value_parser = octal)]
    pub chmod: Option<u32>,
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub settings: Settings,
}

/// `rbuild config`.
#[derive(Args, Debug)]
#[command(after_help = DESTINATIONS)]
pub struct Configure {
    /// The image
    pub image: String,
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub settings: Settings,
}

/// `rbuild rebase`.
#[derive(Args, Debug)]
#[command(after_help = DESTINATIONS)]
pub struct Rebase {
    /// The image
    pub image: String,
    /// The base that it was built on [default: what its annotations say]
    #[arg(long, value_name = "IMAGE")]
    pub old_base: Option<String>,
    /// The base that it should be built on [default: what the old one's name stands for now]
    #[arg(long, value_name = "IMAGE")]
    pub new_base: Option<String>,
    #[command(flatten)]
    pub target: Target,
}

/// `rbuild squash`.
#[derive(Args, Debug)]
#[command(after_help = DESTINATIONS)]
pub struct Squash {
    /// The image
    pub image: String,
    /// Keep the layers of this image, which it was built on
    #[arg(long, value_name = "IMAGE")]
    pub base: Option<String>,
    #[command(flatten)]
    pub target: Target,
}

/// `rbuild insert`.
#[derive(Args, Debug)]
#[command(after_help = DESTINATIONS)]
pub struct Insert {
    /// The image
    #[arg(long)]
    pub image: String,
    /// A file or a directory
    #[arg(required_unless_present = "whiteout")]
    pub source: Option<PathBuf>,
    /// Where it goes
    #[arg(value_name = "TARGET", required_unless_present = "whiteout")]
    pub dest: Option<PathBuf>,
    /// Nothing that the image has in the directory shows any more
    #[arg(long, conflicts_with = "whiteout")]
    pub opaque: bool,
    /// Take this path away instead
    #[arg(long, value_name = "TARGET", conflicts_with_all = ["source", "dest"])]
    pub whiteout: Option<PathBuf>,
    /// Accepted for umoci's sake: it is always so
    #[arg(long, hide = true)]
    pub rootless: bool,
    #[command(flatten)]
    pub target: Target,
}

/// `rbuild index`.
#[derive(Subcommand, Debug)]
pub enum IndexCommand {
    /// Make an index of images
    Make(IndexMake),
    /// Add images to an index; one of a platform that it has takes that one's place
    Add(IndexAdd),
    /// Take images out of an index
    #[command(visible_alias = "rm")]
    Remove(IndexRemove),
}

/// `rbuild index make`.
#[derive(Args, Debug)]
#[command(after_help = DESTINATIONS)]
pub struct IndexMake {
    /// The images, or indexes of which all images are taken
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Where the index goes
    #[arg(short, long, value_name = "DEST")]
    pub tag: String,
    /// Set an annotation of the index
    #[arg(long, value_name = "NAME=VALUE")]
    pub annotation: Vec<Pair>,
    #[command(flatten)]
    pub show: Show,
}

/// `rbuild index add`.
#[derive(Args, Debug)]
#[command(after_help = DESTINATIONS)]
pub struct IndexAdd {
    /// The index
    pub index: String,
    /// The images, or indexes of which all images are taken
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Where the index goes [default: where it was]
    #[arg(short, long, value_name = "DEST")]
    pub tag: Option<String>,
    #[command(flatten)]
    pub show: Show,
}

/// `rbuild index remove`.
#[derive(Args, Debug)]
#[command(after_help = DESTINATIONS)]
pub struct IndexRemove {
    /// The index
    pub index: String,
    /// Digests, or platforms as in linux/arm64
    #[arg(required = true, value_name = "DIGEST|OS/ARCH")]
    pub images: Vec<String>,
    /// Where the index goes [default: where it was]
    #[arg(short, long, value_name = "DEST")]
    pub tag: Option<String>,
    #[command(flatten)]
    pub show: Show,
}

/// `rbuild diff`.
#[derive(Args, Debug)]
pub struct Diff {
    /// The image
    pub old: String,
    /// The other one
    pub new: String,
    /// Only this
    #[arg(long, value_enum, value_name = "WHAT")]
    pub only: Option<Difference>,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
    /// Fail if there is a difference
    #[arg(long)]
    pub exit_code: bool,
    /// Of an index, the image for this platform [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}

/// `--only` of `rbuild diff`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Which layers they share
    Layers,
    /// Field by field
    Config,
    /// Path by path
    Files,
}

/// `UID[:GID]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

impl std::str::FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is not a number"));
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        Ok(Self {
            uid: number(uid)?,
            gid: number(gid)?,
        })
    }
}

fn octal(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err("a mode is an octal number, as in 755".to_owned()),
    }
}

/// `rbuild outdated`.
#[derive(Args, Debug)]
pub struct Outdated {
    /// The images
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Ask about this base, where an image does not say which it has
    #[arg(long, value_name = "REF")]
    pub base: Option<Reference>,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
    /// Of an index, the image for this platform [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}
