//! Builds images from Containerfiles.
//!
//! [`Build`] says what to build; [`Build::run`] builds it into a store and gives back an [`Built`] that can be written
//! to any destination. The way there, a file for each part:
//!
//! - `check`: what a Containerfile is told without building it
//! - `input`: the context, the Containerfile and the ignore file
//! - `solver`: the stages that the target needs, side by side, each once
//! - `stage`: one stage, instruction by instruction
//! - `base`: what a `FROM` names
//! - `layers`, `lowers`: layers as the build uses them: indexed, made; unpacked; `passing`: on their way into the store;
//!   `packing`: new ones, compressed beside the build, by way of a `spool`; `trees`: what several come to
//! - `select`, `place`: what a COPY takes, and where it goes
//! - `fetch`: what comes from elsewhere: `download` for files behind URLs, `git` for repositories
//! - `tarball`: files that came in a tar; `parcel`: a build that is sent to another machine
//! - `copy`, `add`, `workdir`, `run`: the instructions that make layers; `kept`: what a RUN leaves for the next one
//! - `memo`: what a COPY from layers brings
//! - `mounts`, `agent`: `RUN --mount`
//! - `config`: the instructions that only change the image's config
//! - `cache`: results of earlier builds, and why one is not there; `caches`: the same, shared with other machines
//! - `scope`, `users`: variables, and the image's own users; `small`: where those are read
//! - `chain`: contexts made of files of images; `s2i`: source-to-image, as a Containerfile that is written for the purpose
//! - `origin`: where COPY, ADD and mounts take from
//! - `output`: the finished image and where it goes; `early`: layers that go there before it is
//!   finished; `squash`: all that is new in one layer

mod add;
mod agent;
mod base;
mod cache;
mod caches;
mod chain;
mod check;
mod config;
mod copy;
mod download;
mod early;
pub(crate) mod error;
mod fetch;
mod git;
mod input;
mod kept;
mod layers;
mod lowers;
mod memo;
mod mounts;
mod once;
mod origin;
mod output;
mod packing;
mod parcel;
mod passing;
mod place;
mod run;
mod s2i;
mod scope;
mod select;
mod small;
mod solver;
mod spool;
mod squash;
mod stage;
mod tarball;
mod threads;
mod trees;
pub(crate) mod users;
mod workdir;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub(crate) use base::pulled;
pub use caches::{CacheMode, CachePlace};
pub use check::Checked;
pub use error::{At, BuildError, Problem};
pub use output::Built;
pub use parcel::Parcel;
pub use s2i::SourceToImage;

use crate::{
    containerfile::values::{GitSource, Origin},
    event::{self, Event, Sink},
    exec::{Cancel, Isolation},
    image::Platform,
    layer::{Compression, Limits},
    registry::{Reference, Registry},
    store::Store,
};

/// What to build. Nothing happens before [`run`](Self::run).
#[derive(Clone)]
pub struct Build {
    context: Context,
    containerfile: Source,
    target: Option<String>,
    args: Vec<(String, String)>,
    contexts: Vec<(String, NamedContext)>,
    labels: Vec<(String, String)>,
    secrets: Vec<Secret>,
    ssh: Vec<Ssh>,
    platform: Option<Platform>,
    tags: Vec<Reference>,
    use_cache: bool,
    cache_from: Vec<CachePlace>,
    cache_to: Vec<(CachePlace, CacheMode)>,
    cache_mounts: bool,
    early: Vec<Reference>,
    pull: bool,
    compression: Compression,
    isolation: Isolation,
    clamp_times: bool,
    below: Option<PathBuf>,
    from_images: Vec<chain::FromImage>,
    ignored: Vec<PathBuf>,
    uncached: Vec<String>,
    oldest: Option<Duration>,
    one_layer: bool,
    context_limits: Option<Limits>,
    name: Option<String>,
    sink: Sink,
    cancel: Option<Cancel>,
}

/// Where the files of `COPY` and `ADD` come from.
#[derive(Clone, Debug)]
pub enum Context {
    /// A directory.
    Directory(PathBuf),
    /// A tar, compressed or not. What is text instead is the Containerfile, unless that is given in another way, and there
    /// are no files.
    Tar(PathBuf),
    /// A git repository (`https://host/repo.git#ref:dir`, `git@host:path`, `github.com/owner/repo`), or a URL of a tar or of
    /// a Containerfile.
    Remote(String),
    /// Nothing: the Containerfile is all there is.
    Empty,
}

/// Where the Containerfile comes from.
#[derive(Clone, Debug)]
enum Source {
    /// `Containerfile`, then `Dockerfile`, in the context.
    Default,
    /// A file of this machine.
    Path(PathBuf),
    /// A file in the context, for a context that is a tar.
    InContext(PathBuf),
    /// Here it is.
    Text(String),
}

/// What a name in `FROM`, `COPY --from` and mounts stands for.
#[derive(Clone, Debug)]
pub enum NamedContext {
    /// A directory of this machine.
    Directory(PathBuf),
    /// A git repository, or a URL of a tar or of any other file.
    Remote(String),
    /// An image.
    Image(crate::Locator),
}

/// A secret for `RUN --mount=type=secret`. Its value reaches no layer, key, record or log.
#[derive(Clone)]
pub struct Secret {
    /// What mounts call it.
    pub id: String,
    /// Its value.
    pub value: Arc<[u8]>,
}

/// An agent for `RUN --mount=type=ssh`.
#[derive(Clone, Debug)]
pub struct Ssh {
    /// What mounts call it.
    pub id: String,
    /// The agent's socket.
    pub socket: PathBuf,
}

impl Context {
    /// Whether a text is the address of a git repository, or a URL of http or https: fit for [`Context::Remote`] and
    /// [`NamedContext::Remote`].
    pub fn is_address(text: &str) -> bool {
        match GitSource::parse_context(text) {
            Ok(None) => matches!(Origin::parse(text), Ok(Origin::Http(_))),
            // One with wrong options is one, too: the build says what is wrong with it.
            Ok(Some(_)) | Err(_) => true,
        }
    }
}

impl Build {
    /// Builds the `Containerfile` (or `Dockerfile`) of a directory, with that directory as context.
    pub fn context(directory: impl Into<PathBuf>) -> Self {
        Self::from_context(Context::Directory(directory.into()))
    }

    /// Builds from any kind of context.
    pub fn from_context(context: Context) -> Self {
        Self {
            context,
            containerfile: Source::Default,
            target: None,
            args: Vec::new(),
            contexts: Vec::new(),
            labels: Vec::new(),
            secrets: Vec::new(),
            ssh: Vec::new(),
            platform: None,
            tags: Vec::new(),
            use_cache: true,
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            cache_mounts: false,
            early: Vec::new(),
            pull: false,
            compression: Compression::default(),
            isolation: Isolation::default(),
            clamp_times: false,
            below: None,
            from_images: Vec::new(),
            ignored: Vec::new(),
            uncached: Vec::new(),
            oldest: None,
            one_layer: false,
            context_limits: None,
            name: None,
            sink: event::ignore(),
            cancel: None,
        }
    }

    /// Takes this directory of the context for the context. For a git repository, the address says it.
    pub fn context_subdirectory(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        match &mut self.context {
            Context::Directory(directory) => directory.push(path),
            _ => self.below = Some(path),
        }
        self
    }

    /// Why a step is not cached is found by a look at the last build of this name; without a name, at the last of the same
    /// context.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How much a context that is a [`Context::Tar`] may hold; as much as a layer unless said otherwise.
    pub fn context_limits(mut self, limits: Limits) -> Self {
        self.context_limits = Some(limits);
        self
    }

    /// Puts a file or a directory of an image into the context, as OpenShift's chained builds do: into this directory of it,
    /// which is relative to its root; of a path that ends in `/.`, what is in it. May be called several times.
    pub fn file_of_image(
        mut self,
        image: impl Into<String>,
        path: impl Into<String>,
        directory: impl Into<String>,
    ) -> Self {
        let file = chain::FromImage::new(image.into(), path.into(), directory.into());
        self.from_images.push(file);
        self
    }

    /// Takes the Containerfile from a path of this machine.
    pub fn containerfile(mut self, path: impl Into<PathBuf>) -> Self {
        self.containerfile = Source::Path(path.into());
        self
    }

    /// Takes the Containerfile from a path inside the context.
    pub fn containerfile_in_context(mut self, path: impl Into<PathBuf>) -> Self {
        self.containerfile = Source::InContext(path.into());
        self
    }

    /// Takes this text for the Containerfile.
    pub fn containerfile_text(mut self, text: impl Into<String>) -> Self {
        self.containerfile = Source::Text(text.into());
        self
    }

    /// Ends in this stage (a name or a number) instead of the last one.
    pub fn target(mut self, stage: impl Into<String>) -> Self {
        self.target = Some(stage.into());
        self
    }

    /// Gives an `ARG` a value. `SOURCE_DATE_EPOCH` and the proxy variables need no `ARG`.
    pub fn arg(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.args.push((name.into(), value.into()));
        self
    }

    /// Gives a name in `FROM`, `COPY --from` and mounts a meaning of its own.
    pub fn build_context(mut self, name: impl Into<String>, context: NamedContext) -> Self {
        self.contexts.push((name.into(), context));
        self
    }

    /// Adds a label to the image.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Offers a secret to `RUN --mount=type=secret`.
    pub fn secret(mut self, id: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.secrets.push(Secret {
            id: id.into(),
            value: value.into().into(),
        });
        self
    }

    /// Offers an agent's socket to `RUN --mount=type=ssh`.
    pub fn ssh(mut self, id: impl Into<String>, socket: impl Into<PathBuf>) -> Self {
        self.ssh.push(Ssh {
            id: id.into(),
            socket: socket.into(),
        });
        self
    }

    /// Builds for this platform instead of this machine's.
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Names the image in the store; may be called several times.
    pub fn tag(mut self, name: Reference) -> Self {
        self.tags.push(name);
        self
    }

    /// Runs every step, even if its result is known.
    pub fn no_cache(mut self) -> Self {
        self.use_cache = false;
        self
    }

    /// Takes results of steps that are not in the store from there, if it has them; may be called several times.
    ///
    /// A place that does not work costs a warning.
    pub fn cache_from(mut self, place: CachePlace) -> Self {
        self.cache_from.push(place);
        self
    }

    /// Keeps results of steps there for other machines, while the build goes on; may be called several times.
    /// [`run`](Self::run) ends when they are there.
    ///
    /// A place that does not work costs a warning.
    pub fn cache_to(mut self, place: CachePlace, mode: CacheMode) -> Self {
        self.cache_to.push((place, mode));
        self
    }

    /// Takes the contents of `RUN --mount=type=cache` from caches where there are none yet, and keeps them there, too.
    pub fn carry_cache_mounts(mut self) -> Self {
        self.cache_mounts = true;
        self
    }

    /// Runs every step of this instruction (`RUN`, `COPY`, `ADD`), even if its result is known; may be called several
    /// times.
    pub fn no_cache_for(mut self, instruction: impl Into<String>) -> Self {
        self.uncached.push(instruction.into());
        self
    }

    /// Takes no result of a step that is older than this.
    pub fn cache_not_older_than(mut self, age: Duration) -> Self {
        self.oldest = Some(age);
        self
    }

    /// Leaves out of the image what a RUN writes to this absolute path, or below; may be called several times.
    pub fn ignore_path(mut self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        self.ignored
            .push(path.strip_prefix("/").unwrap_or(path).to_owned());
        self
    }

    /// Makes one layer of all that the build adds to its base image.
    pub fn one_layer(mut self) -> Self {
        self.one_layer = true;
        self
    }

    /// Pushes layers of the image to this repository as soon as they are made, while the next steps work; may be called
    /// several times. The image itself goes there with [`Built::write_to`], which also says what is wrong with the place.
    pub fn push_early(mut self, to: Reference) -> Self {
        self.early.push(to);
        self
    }

    /// Asks registries what the names of base images stand for now, even if it was known.
    pub fn pull(mut self) -> Self {
        self.pull = true;
        self
    }

    /// Compresses the layers it makes like this.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Runs processes with this, or not at all.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// With `SOURCE_DATE_EPOCH`: no file of a new layer gets a later time than that.
    pub fn rewrite_timestamps(mut self) -> Self {
        self.clamp_times = true;
        self
    }

    /// Says what happens while it happens. Called from several threads, one at a time per step.
    pub fn on_event(mut self, sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.sink = Arc::new(sink);
        self
    }

    /// Stops when this handle is cancelled; [`run`](Self::run) then ends with an error, once all processes are gone.
    pub fn cancelled_by(mut self, cancel: Cancel) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// Builds the image into the store.
    ///
    /// Dropping the future stops the build and everything that it started.
    ///
    /// # Errors
    /// See [`Problem`]: each names the instruction, path or URL that it is about.
    pub async fn run(self, store: &Store, registry: &Registry) -> Result<Built, BuildError> {
        let (build, _context) = self.chained(store, registry).await?;
        build.solved(store, registry).await
    }
}
