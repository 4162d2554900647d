//! The commands and their flags.

mod bundle;
mod edit;
mod image;
mod job;
mod registries;
mod s2i;
mod serve;

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use bundle::{RawCommand, RawUnpack, Repack, Unpack};
pub use edit::{
    Append, Configure, Diff, Difference, EditCommand, IndexAdd, IndexCommand, IndexMake, IndexRemove, Insert,
    Outdated, Part, Rebase, Settings, Squash, Target,
};
pub use image::{
    Cat, Copy, Delete, Digest, ImageCommand, Inspect, Login, Logout, Look, Ls, Pull, Push, Show, Sync, Tag,
    Tags,
};
pub use job::{Cluster, DryRun, Job, Pod as JobPod, Quantity, RunAs};
pub use registries::{Creds, RegistryFlags};
pub use s2i::{S2i, S2iUsage};
pub use serve::{Serve, Time};

use rbuild::{Reference, exec::Isolation};

use crate::options::{Arg, CacheFrom, CacheTo, Compress, Moved, Output, Pair, Secret, Size, Ssh};

/// A command line, or what is wrong with it.
pub fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(arguments)
}

/// Builds container images from a Containerfile, with no daemon and no privileges.
#[derive(Parser, Debug)]
#[command(
    name = "rbuild",
    version,
    max_term_width = 110,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Where images and caches are kept [default: rbuild in the user's data directory]
    #[arg(long, global = true, env = "RBUILD_ROOT", value_name = "DIR", hide_env = true)]
    pub root: Option<PathBuf>,
    #[command(flatten)]
    pub registries: RegistryFlags,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Build an image from a Containerfile
    #[command(visible_alias = "bud")]
    Build(Box<Build>),
    /// Build an application's image of its source and of a builder image with scripts for that (source-to-image)
    #[command(name = "s2i")]
    S2i(Box<S2i>),
    /// Print what a builder image says of its use; also `rbuild s2i usage`
    #[command(name = "s2i-usage")]
    S2iUsage(S2iUsage),
    /// Say what is wrong with a Containerfile, and what is likely not meant, without building it
    Check(Check),
    #[command(flatten)]
    Image(Box<ImageCommand>),
    #[command(flatten)]
    Edit(Box<EditCommand>),
    /// List the images in the store
    Images(Images),
    /// Remove names of images from the store; `prune` then frees the space
    Rmi(Rmi),
    /// Remove what no image and no cached step needs; with --keep-bytes also what was not used for longest
    Prune(Prune),
    /// Say what takes how much space in the store
    Du,
    /// Say what this machine allows, what RUN steps would run in, and why
    Doctor(Doctor),
    /// Write an image of the store into an archive
    Save(Save),
    /// Take the images of an archive into the store
    Load(Load),
    /// Build as Kaniko's executor does, with its flags
    #[command(disable_help_flag = true)]
    Kaniko(Kaniko),
    /// Build in a Kubernetes cluster: as a Job, in a pod without privileges
    Job(Box<Job>),
    /// Build for others: a build machine for OpenRun's delegated builds
    Serve(Box<Serve>),
    /// Print the version
    Version(Version),
    /// Print what a shell needs to complete the command line
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a directory
    Man {
        /// The directory
        directory: PathBuf,
    },
}

/// `rbuild save`.
#[derive(Args, Debug)]
pub struct Save {
    /// The archive [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What kind of archive
    #[arg(long, value_enum, default_value_t = ArchiveFormat::Docker, value_name = "FORMAT")]
    pub format: ArchiveFormat,
    /// The image
    pub name: String,
}

/// `--format` of `rbuild save`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// What `docker load` takes
    #[value(name = "docker-archive")]
    Docker,
    /// An OCI layout in a tar
    #[value(name = "oci-archive")]
    Oci,
}

/// `rbuild load`.
#[derive(Args, Debug)]
pub struct Load {
    /// The archive [default: standard input]
    #[arg(short, long, value_name = "FILE")]
    pub input: Option<PathBuf>,
}

/// `rbuild version`.
#[derive(Args, Debug)]
pub struct Version {
    /// Print this, with {{.Version}} in it; {{.Client.Version}} and {{.Server.Version}} are the same
    #[arg(short, long, value_name = "TEMPLATE")]
    pub format: Option<String>,
}

/// `rbuild kaniko`.
#[derive(Args, Debug)]
pub struct Kaniko {
    /// As `executor --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    pub arguments: Vec<String>,
}

/// `rbuild build`.
#[derive(Args, Debug)]
pub struct Build {
    /// The Containerfile, `-` for standard input [default: Containerfile, then Dockerfile, in CONTEXT]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Name the image; may be repeated
    #[arg(short, long = "tag", value_name = "NAME")]
    pub tags: Vec<String>,
    /// Build this stage, by name or number [default: the last]
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Set an ARG; without VALUE it is taken from the environment
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub build_args: Vec<Arg>,
    /// What NAME stands for in FROM and --from: a directory, oci-layout://DIR, docker-image://REF, …
    #[arg(long = "build-context", value_name = "NAME=WHERE")]
    pub build_contexts: Vec<Pair>,
    /// Add a label to the image
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<Pair>,
    /// Run every step, whatever the store holds
    #[arg(long)]
    pub no_cache: bool,
    /// Take results of steps from a cache that machines share: REF, type=registry,ref=REF or type=local,src=DIR
    #[arg(long, value_name = "SPEC")]
    pub cache_from: Vec<CacheFrom>,
    /// Keep results of steps there: REF, type=registry,ref=REF or type=local,dest=DIR; mode=min: of the last stages only
    #[arg(long, value_name = "SPEC")]
    pub cache_to: Vec<CacheTo>,
    /// Take the contents of RUN --mount=type=cache from there, and keep them there, too
    #[arg(long)]
    pub cache_mounts: bool,
    /// Ask the registries for the bases' newest versions
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set,
        default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub pull: bool,
    /// Push the image under its names
    #[arg(long)]
    pub push: bool,
    /// Where the image goes: type=registry|oci|docker|oci-archive|local|tar[,dest=DEST]; DIR means type=local
    #[arg(short, long = "output", value_name = "SPEC")]
    pub outputs: Vec<Output>,
    /// Build for this platform, as in linux/arm64
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
    /// Write the image's digest to a file
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,
    /// Write what was built to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// Write a page for a browser that shows where the time went
    #[arg(long, value_name = "FILE.html")]
    pub timings: Option<PathBuf>,
    /// Print the image's digest and nothing else
    #[arg(short, long)]
    pub quiet: bool,
    /// Compress new layers with gzip[:LEVEL], zstd[:LEVEL] or none [default: gzip]
    #[arg(long, value_name = "HOW")]
    pub compression: Option<Compress>,
    /// The time of the image in seconds since 1970, also of every file in new layers that is later
    #[arg(long, value_name = "SECONDS", conflicts_with = "rewrite_timestamp")]
    pub timestamp: Option<u64>,
    /// Files in new layers are no later than SOURCE_DATE_EPOCH
    #[arg(long)]
    pub rewrite_timestamp: bool,
    /// Make one layer of all that is added to the base
    #[arg(long)]
    pub squash: bool,
    /// Only say what is wrong with the Containerfile, as `rbuild check` does
    #[arg(long)]
    pub check: bool,
    /// What RUN steps run in; without it, the best that works: see `rbuild doctor`
    #[arg(long, value_enum, default_value_t = IsolationMode::Auto, value_name = "MODE")]
    pub isolation: IsolationMode,
    /// How to show progress
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, value_name = "MODE")]
    pub progress: ProgressMode,
    /// Give RUN --mount=type=secret a secret: id=ID,src=FILE or id=ID,env=VARIABLE
    #[arg(long = "secret", value_name = "SPEC")]
    pub secrets: Vec<Secret>,
    /// Give RUN --mount=type=ssh an agent or keys: default, ID=SOCKET or ID=KEY[,KEY]
    #[arg(long = "ssh", value_name = "SPEC")]
    pub ssh: Vec<Ssh>,
    /// Put files of this image into the context, as OpenShift's chained builds do
    #[arg(long, value_name = "IMAGE", requires = "source_image_paths")]
    pub source_image: Option<String>,
    /// A file or directory of that image, and a directory in the context; with SRC/. what is in SRC; may be repeated
    #[arg(
        long = "source-image-path",
        value_name = "SRC:DEST",
        requires = "source_image"
    )]
    pub source_image_paths: Vec<Moved>,
    /// A directory, a tar file, or - for a tar or a Containerfile on standard input
    pub context: OsString,
}

/// `rbuild check`.
#[derive(Args, Debug)]
pub struct Check {
    /// The Containerfile, `-` for standard input [default: Containerfile, then Dockerfile, in CONTEXT]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = CheckFormat::Text, value_name = "FORMAT")]
    pub format: CheckFormat,
    /// A directory, a tar file, or - for a tar or a Containerfile on standard input
    pub context: OsString,
}

/// `--format` of `rbuild check`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFormat {
    /// For people
    Text,
    /// An array of findings
    Json,
    /// SARIF 2.1.0, for code hosts and editors
    Sarif,
}

/// `--isolation`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationMode {
    /// The best that works
    Auto,
    /// Mounts, as root or in a user namespace
    Mounts,
    /// Neither: system calls of the steps are answered by rbuild
    Supervised,
}

impl From<IsolationMode> for Isolation {
    fn from(mode: IsolationMode) -> Self {
        match mode {
            IsolationMode::Auto => Self::Auto,
            IsolationMode::Mounts => Self::Mounts,
            IsolationMode::Supervised => Self::Supervised,
        }
    }
}

/// `--progress`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressMode {
    /// Live on a terminal, plain elsewhere
    Auto,
    /// Live
    Tty,
    /// A line for each event
    Plain,
    /// A JSON object for each event
    Json,
}

/// `rbuild images`.
#[derive(Args, Debug)]
pub struct Images {
    /// Print names and digests as JSON
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
    /// Print digests alone
    #[arg(short, long)]
    pub quiet: bool,
    /// For each print this, with fields in it: {{.Repository}}, {{.Tag}}, {{.Digest}}, {{.CreatedAt}}, {{.Size}}
    #[arg(long, value_name = "TEMPLATE", conflicts_with_all = ["json", "quiet"])]
    pub format: Option<String>,
    /// List only these, as reference=NAME; may be repeated
    #[arg(long, value_name = "reference=NAME")]
    pub filter: Vec<Pair>,
    /// List only these
    #[arg(value_name = "NAME")]
    pub names: Vec<Reference>,
}

/// `rbuild rmi`.
#[derive(Args, Debug)]
pub struct Rmi {
    /// Names as `rbuild images` lists them
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}

/// `rbuild prune`.
#[derive(Args, Debug)]
pub struct Prune {
    /// Then remove what was not used for longest, until the store is no larger than this, as in 10GB
    #[arg(long, value_name = "SIZE")]
    pub keep_bytes: Option<Size>,
}

/// `rbuild doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Print what was found as JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn build(arguments: &[&str]) -> Box<Build> {
        let line = ["rbuild", "build"].iter().chain(arguments);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Build(build) => build,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_build() {
        let all = build(&[
            "-f",
            "C",
            "-t",
            "a",
            "--tag",
            "b",
            "--target",
            "s",
            "--build-arg",
            "K=V",
            "--build-arg",
            "E",
            "--build-context",
            "base=oci-layout://x",
            "--label",
            "l=1",
            "--no-cache",
            "--cache-from",
            "r.example/cache",
            "--cache-to",
            "type=local,dest=x",
            "--cache-mounts",
            "--pull",
            "--push",
            "-o",
            "out",
            "--output",
            "type=oci,dest=x",
            "--platform",
            "linux/arm64",
            "--iidfile",
            "i",
            "--metadata-file",
            "m",
            "-q",
            "--isolation",
            "mounts",
            "--progress",
            "json",
            "--secret",
            "id=s",
            "--ssh",
            "default",
            "ctx",
        ]);
        assert_eq!(all.tags, ["a", "b"]);
        assert_eq!(
            (all.build_args.len(), all.build_contexts.len(), all.labels.len()),
            (2, 1, 1)
        );
        assert_eq!((all.outputs.len(), all.secrets.len(), all.ssh.len()), (2, 1, 1));
        assert_eq!(
            (all.cache_from.len(), all.cache_to.len(), all.cache_mounts),
            (1, 1, true)
        );
        assert!(all.no_cache && all.pull && all.push && all.quiet);
        assert_eq!(all.isolation, IsolationMode::Mounts);
        assert_eq!((all.progress, all.context), (ProgressMode::Json, "ctx".into()));
    }

    #[test]
    fn pull_takes_an_optional_value() {
        for (flags, expected) in [
            (&["."][..], false),
            (&["--pull", "."], true),
            (&["--pull=true", "."], true),
            (&["--pull=false", "."], false),
        ] {
            assert_eq!(build(flags).pull, expected, "{flags:?}");
        }
    }

    #[test]
    fn standard_input_is_a_context() {
        assert_eq!(build(&["-"]).context, "-");
        assert_eq!(build(&["-f", "-", "."]).file, Some("-".into()));
    }
}
