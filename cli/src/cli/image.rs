//! The commands that move images and look into them.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rbuild::{Locator, Reference, copy, image::Platform, registry::ParseReferenceError};

use super::ProgressMode;

/// What to do with an image.
#[derive(Subcommand, Debug)]
pub enum ImageCommand {
    /// Copy an image from any place to any other, bytes and digests unchanged
    Copy(Box<Copy>),
    /// Copy many images: all tags of repositories, all images of layouts
    Sync(Sync),
    /// Push an image of the store to a registry
    Push(Push),
    /// Pull an image from a registry into the store
    Pull(Pull),
    /// Give an image of the store more names
    Tag(Tag),
    /// Say what an image is, as JSON
    Inspect(Inspect),
    /// Print the digest of an image's manifest or index
    Digest(Digest),
    /// List the tags of a repository
    Tags(Tags),
    /// Delete an image from a registry, by tag or digest
    Delete(Delete),
    /// Keep a user's name and password for a registry, where docker keeps them
    Login(Login),
    /// Forget what was kept for a registry
    Logout(Logout),
    /// Compute every digest, size and count of an image again, and say what is wrong
    Validate(Look),
    /// List the files of an image
    Ls(Ls),
    /// Print a file of an image
    Cat(Cat),
}

/// Where images are: in words for `--help`.
const PLACES: &str = "\
Places:
  docker://REF                         a registry
  oci:DIR[:NAME][@DIGEST]              an OCI image layout
  oci-archive:FILE[:NAME][@DIGEST]     the same in a tar
  docker-archive:FILE[:NAME]           what `docker load` and `docker save` know
  dir:DIR                              plain files
  store:NAME                           rbuild's own store";

/// Where many images are, and go: in words for `--help`.
const SYNC_PLACES: &str = "\
SRC is a place as in `rbuild copy --help`; a repository without a tag means all its tags, a layout or an archive without a name all its images.
DEST is docker://HOST[/PATH], oci:DIR or dir:DIR.";

/// Where an image to look at may be.
const NAMES: &str = "\
IMAGE is a place, as in `rbuild copy --help`, or a name: of an image in the store, or else of one in a registry.";

/// How to show what is going on.
#[derive(Args, Debug)]
pub struct Show {
    /// Print the image's digest and nothing else
    #[arg(short, long)]
    pub quiet: bool,
    /// How to show progress
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, value_name = "MODE")]
    pub progress: ProgressMode,
}

/// `rbuild copy`.
#[derive(Args, Debug)]
#[command(after_help = PLACES)]
pub struct Copy {
    /// The image
    #[arg(value_name = "SRC")]
    pub from: Locator,
    /// Where it should go
    #[arg(value_name = "DEST")]
    pub to: Locator,
    /// Copy an index whole, with the images of all platforms
    #[arg(short, long, conflicts_with = "platform")]
    pub all: bool,
    /// Copy the image for this platform [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
    /// One more name for it: a tag in the same repository of a registry, any name elsewhere; may be repeated
    #[arg(long = "additional-tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Copy what refers to the image, too: signatures, bills of materials
    #[arg(long)]
    pub referrers: bool,
    /// Write the digest of what was copied to a file
    #[arg(long, value_name = "FILE")]
    pub digestfile: Option<PathBuf>,
    #[command(flatten)]
    pub show: Show,
}

/// `rbuild sync`.
#[derive(Args, Debug)]
#[command(after_help = SYNC_PLACES)]
pub struct Sync {
    /// Repositories, images, layouts, archives
    #[arg(required = true, value_name = "SRC")]
    pub from: Vec<Locator>,
    /// Where they should go
    #[arg(value_name = "DEST")]
    pub to: copy::Mirror,
    /// Names keep their host and their whole path below DEST, and not only the last part
    #[arg(long)]
    pub scoped: bool,
    /// Copy indexes whole, with the images of all platforms
    #[arg(short, long)]
    pub all: bool,
    /// Copy what refers to the images, too: signatures, bills of materials
    #[arg(long)]
    pub referrers: bool,
    /// Go on with the others when one fails
    #[arg(long)]
    pub keep_going: bool,
    /// Only say what would be copied
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub show: Show,
}

/// `rbuild push`.
#[derive(Args, Debug)]
pub struct Push {
    /// The image, by a name or a digest as `rbuild images` lists them
    pub name: String,
    /// Where it should go [default: what its name says]
    pub dest: Option<String>,
    #[command(flatten)]
    pub show: Show,
}

/// `rbuild pull`.
#[derive(Args, Debug)]
pub struct Pull {
    /// The image
    pub name: String,
    /// Pull the images of all platforms
    #[arg(short, long, conflicts_with = "platform")]
    pub all: bool,
    /// Pull the image for this platform [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
    #[command(flatten)]
    pub show: Show,
}

/// `rbuild tag`.
#[derive(Args, Debug)]
pub struct Tag {
    /// The image, by a name or a digest as `rbuild images` lists them
    pub image: String,
    /// Its new names
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<Reference>,
}

/// An image to look at.
#[derive(Args, Debug)]
#[command(after_help = NAMES)]
pub struct Look {
    /// The image
    pub image: String,
}

/// `rbuild inspect`.
#[derive(Args, Debug)]
#[command(after_help = NAMES)]
pub struct Inspect {
    /// The image
    pub image: String,
    /// Print this, with fields of the JSON in it: {{.digest}}, {{.config.User}}, {{json .layers}}
    #[arg(short, long, value_name = "TEMPLATE", conflicts_with_all = ["config", "raw"])]
    pub format: Option<String>,
    /// Print the config, byte for byte
    #[arg(long)]
    pub config: bool,
    /// Describe it in the fields of `docker inspect`
    #[arg(long, hide = true, conflicts_with_all = ["config", "raw"])]
    pub as_docker: bool,
    /// Print the manifest or the index, byte for byte
    #[arg(long, conflicts_with_all = ["config", "platform"])]
    pub raw: bool,
    /// Of an index, the image for this platform [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}

/// `rbuild digest`.
#[derive(Args, Debug)]
#[command(after_help = NAMES)]
pub struct Digest {
    /// The image
    pub image: String,
    /// Not the index, but its image for this platform
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}

/// `rbuild tags`.
#[derive(Args, Debug)]
pub struct Tags {
    /// A repository, as in ghcr.io/me/app; or a layout or an archive, as in oci:DIR
    pub repository: String,
}

/// A name of an image in a registry, with or without `docker://`.
fn in_a_registry(text: &str) -> Result<Reference, ParseReferenceError> {
    text.strip_prefix("docker://").unwrap_or(text).parse()
}

/// `rbuild delete`.
#[derive(Args, Debug)]
pub struct Delete {
    /// The image; with it go all tags that stand for the same manifest
    #[arg(value_parser = in_a_registry)]
    pub image: Reference,
}

/// `rbuild login`.
#[derive(Args, Debug)]
pub struct Login {
    /// The user
    #[arg(short, long, value_name = "NAME")]
    pub username: String,
    /// The password, for all to see who can list this machine's processes; better: --password-stdin
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    pub password: Option<String>,
    /// The registry, as in ghcr.io
    #[arg(default_value = "docker.io")]
    pub host: String,
}

/// `rbuild logout`.
#[derive(Args, Debug)]
pub struct Logout {
    /// The registry, as in ghcr.io
    #[arg(default_value = "docker.io")]
    pub host: String,
}

/// `rbuild ls`.
#[derive(Args, Debug)]
#[command(after_help = NAMES)]
pub struct Ls {
    /// The image
    pub image: String,
    /// A directory or a file in it
    #[arg(default_value = "/")]
    pub path: PathBuf,
    /// List what is below, too
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Of an index, the image for this platform [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}

/// `rbuild cat`.
#[derive(Args, Debug)]
#[command(after_help = NAMES)]
pub struct Cat {
    /// The image
    pub image: String,
    /// A file in it
    pub path: PathBuf,
    /// Of an index, the image for this platform [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}
