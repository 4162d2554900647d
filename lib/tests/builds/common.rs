//! Contexts, builds, and what came of them in words.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, OnceLock},
    time::{Duration, SystemTime},
};

use rbuild::{
    Build, BuildError, Built, Event, Locator,
    build::NamedContext,
    exec::{Engine, ProbeConfig},
    registry::Registry,
    store::Store,
};
use rbuild_testutils::{
    flat::{Entry, Flat, Kind},
    skip,
};
use serde_json::Value;
use tempfile::TempDir;

/// Time of all files in contexts.
const THEN: u64 = 1_000_000_000;
/// Later times are of the build itself.
const NOW: u64 = 1_600_000_000;

/// The small base image, an OCI layout. Another user may find it elsewhere.
pub fn busybox() -> PathBuf {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/busybox");
    std::env::var_os("RBUILD_TEST_BUSYBOX").map_or_else(|| here.into(), PathBuf::from)
}

/// Whether a RUN is possible here; says so if not.
pub fn may_run() -> bool {
    engine().is_some()
}

/// What runs processes here; if nothing does, says so.
pub fn engine() -> Option<&'static Engine> {
    static PROBED: OnceLock<Result<Engine, String>> = OnceLock::new();
    let probe = || {
        let scratch = TempDir::new().unwrap();
        let config = ProbeConfig::new(scratch.path());
        Engine::probe(&config).map_err(|error| error.to_string())
    };
    match PROBED.get_or_init(probe) {
        Ok(engine) => Some(engine),
        Err(why) => {
            skip(why);
            None
        }
    }
}

/// Runs a future to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

/// A build of this text, that knows the base image by the name `busybox`.
pub fn from_text(context: &Path, containerfile: &str) -> Build {
    let base = Locator::OciLayout(rbuild::Place::new(busybox()));
    Build::context(context)
        .containerfile_text(containerfile)
        .build_context("busybox", NamedContext::Image(base))
}

/// A directory for builds: a context, a store, and images. Gone at the end.
pub struct Room {
    pub dir: TempDir,
    pub store: Store,
    pub registry: Registry,
}

impl Room {
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("context")).unwrap();
        Self {
            store: Store::open(dir.path().join("store")).unwrap(),
            registry: Registry::from_environment(),
            dir,
        }
    }

    pub fn context(&self) -> PathBuf {
        self.dir.path().join("context")
    }

    /// A path in the context; its directory is there.
    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.context().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// Puts a file into the context, or replaces it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        let _ = fs::remove_file(&path);
        fs::write(path, content).unwrap();
    }

    /// A build of this context.
    pub fn build(&self, containerfile: &str) -> Build {
        from_text(&self.context(), containerfile)
    }

    /// Builds, and waits for it.
    pub fn run(&self, build: Build) -> Result<Built, BuildError> {
        block_on(build.run(&self.store, &self.registry))
    }

    /// Builds, and says of each step how it went: the instruction, and `cached` or why not. In the file's order.
    #[track_caller]
    pub fn steps(&self, build: Build) -> (Built, Vec<String>) {
        let events = Events::default();
        let built = self.run(build.on_event(events.sink()));
        let built = built.unwrap_or_else(|error| panic!("the build failed: {}", chain(&error)));
        (built, events.steps())
    }

    /// What an image comes to; every digest in it is checked.
    pub fn flat(&self, built: &Built) -> Flat {
        let layout = self.dir.path().join("image");
        let _ = fs::remove_dir_all(&layout);
        let place = Locator::OciLayout(rbuild::Place::new(&layout));
        block_on(built.write_to(&place, &self.registry)).unwrap();
        let flat = Flat::read(&layout).unwrap_or_else(|error| panic!("not a valid image: {error:#}"));
        assert_eq!(flat.digest, built.digest().to_string());
        flat
    }
}

/// What a build said.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    pub fn sink(&self) -> impl Fn(Event) + Send + Sync + 'static {
        let events = self.0.clone();
        move |event| events.lock().unwrap().push(event)
    }

    pub fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    /// What the steps have printed.
    pub fn output(&self) -> String {
        let lines = self.all().into_iter().filter_map(|event| match event {
            Event::StepOutput { bytes, .. } => Some(String::from_utf8_lossy(&bytes).into_owned()),
            _ => None,
        });
        lines.collect()
    }

    /// Each step that was looked up: its instruction, and `cached` or why not.
    pub fn steps(&self) -> Vec<String> {
        let mut begun = BTreeMap::new();
        let mut lines = BTreeMap::new();
        for event in self.all() {
            let (step, how) = match event {
                Event::StepStarted {
                    step,
                    instruction,
                    line,
                    ..
                } => {
                    begun.insert(step, (line, instruction));
                    continue;
                }
                Event::StepCached { step, from: None } => (step, "cached".to_owned()),
                Event::StepCached { step, from: Some(_) } => (step, "restored".to_owned()),
                Event::StepMissed { step, why } => (step, why),
                _ => continue,
            };
            let (line, instruction) = &begun[&step];
            lines.insert((*line, step), format!("{instruction}: {how}"));
        }
        lines.into_values().collect()
    }
}

/// One build: a Containerfile and a context of few files, all of the same age.
pub struct Case {
    room: Room,
    build: Build,
    containerfile: String,
}

/// A case with this Containerfile. Leading blanks of its lines are not part of it.
pub fn case(containerfile: &str) -> Case {
    let room = Room::new();
    let lines = containerfile.trim_start_matches('\n').split('\n');
    let lines: Vec<&str> = lines.map(|line| line.trim_start_matches(' ')).collect();
    let containerfile = lines.join("\n");
    Case {
        build: room.build(&containerfile),
        containerfile,
        room,
    }
}

impl Case {
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.room.write(name, content);
        self
    }

    pub fn directory(self, name: &str) -> Self {
        fs::create_dir_all(self.room.path(name)).unwrap();
        self
    }

    pub fn link(self, name: &str, target: &str) -> Self {
        symlink(target, self.room.path(name)).unwrap();
        self
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        fs::hard_link(self.room.path(target), self.room.path(name)).unwrap();
        self
    }

    pub fn mode(self, name: &str, mode: u32) -> Self {
        fs::set_permissions(self.room.path(name), Permissions::from_mode(mode)).unwrap();
        self
    }

    pub fn arg(self, name: &str, value: &str) -> Self {
        self.with(|build| build.arg(name, value))
    }

    pub fn with(mut self, change: impl FnOnce(Build) -> Build) -> Self {
        self.build = change(self.build);
        self
    }

    /// The image; nothing where it would take a RUN and that is impossible.
    #[track_caller]
    pub fn made(self) -> Option<Made> {
        let Self { room, build, .. } = self.ready()?;
        let events = Events::default();
        let built = room.run(build.on_event(events.sink()));
        let built =
            built.unwrap_or_else(|error| panic!("the build failed: {}\n{}", chain(&error), events.output()));
        Some(Made(room.flat(&built)))
    }

    #[track_caller]
    pub fn makes(self, tree: &str) {
        if let Some(made) = self.made() {
            made.tree(tree);
        }
    }

    /// The build must fail with an error that holds these words.
    #[track_caller]
    pub fn fails(self, words: &str) {
        let Some(Self { room, build, .. }) = self.ready() else {
            return;
        };
        match room.run(build) {
            Ok(_) => panic!("the build must fail: {words}"),
            Err(error) => assert!(chain(&error).contains(words), "{}", chain(&error)),
        }
    }

    fn ready(self) -> Option<Self> {
        age(&self.room.context());
        let runs = self.containerfile.to_uppercase().contains("RUN ");
        (!runs || may_run()).then_some(self)
    }
}

/// An error with its causes, and with the mistakes in a Containerfile.
pub fn chain(error: &BuildError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        write!(text, ": {error}").unwrap();
        source = error.source();
    }
    match error.problem() {
        rbuild::build::Problem::Syntax(mistakes) => format!("{text}: {mistakes:?}"),
        _ => text,
    }
}

/// Sets the times of all files and directories.
fn age(path: &Path) {
    let metadata = fs::symlink_metadata(path).unwrap();
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            age(&entry.unwrap().path());
        }
    }
    if !metadata.is_symlink() {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(THEN);
        File::open(path).unwrap().set_modified(then).unwrap();
    }
}

/// An image that was built, compared with expectations in words.
pub struct Made(pub Flat);

impl Made {
    /// What it adds to the base image: see [`line`].
    #[track_caller]
    pub fn tree(self, expected: &str) -> Self {
        compare(&self.difference(false), expected);
        self
    }

    /// The same with times: `@then` of the context, `@now` of the build, or seconds.
    #[track_caller]
    pub fn times(self, expected: &str) -> Self {
        compare(&self.difference(true), expected);
        self
    }

    /// What its config says otherwise than the base image's, as `Key JSON`.
    #[track_caller]
    pub fn config(self, expected: &str) -> Self {
        compare(&self.config_lines(), expected);
        self
    }

    /// Its own history.
    #[track_caller]
    pub fn history(self, expected: &str) -> Self {
        let skipped = if self.is_on_base() {
            BASE.history().len()
        } else {
            0
        };
        compare(&self.0.history()[skipped..].join("\n"), expected);
        self
    }

    /// How many layers it adds.
    #[track_caller]
    pub fn layers(self, expected: usize) -> Self {
        let below = if self.is_on_base() { BASE.layers() } else { 0 };
        assert_eq!(self.0.layers() - below, expected, "layers");
        self
    }

    fn is_on_base(&self) -> bool {
        self.0.layers() > 0 && self.0.manifest["layers"][0] == BASE.manifest["layers"][0]
    }

    fn difference(&self, times: bool) -> String {
        let nothing = Default::default();
        let base = if self.is_on_base() { &BASE.tree } else { &nothing };
        let shown = |path: &str, entry: &Entry| line(path, entry, times);
        let own = self.0.tree.iter().filter(|(path, entry)| {
            base.get(*path)
                .is_none_or(|old| shown(path, old) != shown(path, entry))
        });
        let mut lines: Vec<String> = own.map(|(path, entry)| shown(path, entry)).collect();
        let gone = |path: &str| base.contains_key(path) && !self.0.tree.contains_key(path);
        let topmost =
            |path: &&String| gone(path) && !gone(path.rsplit_once('/').map_or("", |(parent, _)| parent));
        lines.extend(base.keys().filter(topmost).map(|path| format!("{path} gone")));
        lines.join("\n")
    }

    fn config_lines(&self) -> String {
        let base = if self.is_on_base() {
            BASE.config["config"].clone()
        } else {
            Value::Null
        };
        let empty = serde_json::Map::new();
        let own = self.0.config["config"].as_object().unwrap_or(&empty);
        let mut lines: Vec<String> = own
            .iter()
            .filter(|(key, value)| base[key.as_str()] != **value)
            .map(|(key, value)| format!("{key} {value}"))
            .collect();
        let lost = base
            .as_object()
            .unwrap_or(&empty)
            .keys()
            .filter(|key| !own.contains_key(*key));
        lines.extend(lost.map(|key| format!("{key} gone")));
        lines.sort();
        lines.join("\n")
    }
}

/// The base image.
static BASE: LazyLock<Flat> = LazyLock::new(|| Flat::read(&busybox()).unwrap());

/// `PATH TYPE+MODE [UID:GID unless root's] [@TIME] [=FIRST of several names | text | -> target]`. A text is shown
/// as `echo -e` would be given it.
fn line(path: &str, entry: &Entry, times: bool) -> String {
    let (kind, value) = match &entry.kind {
        Kind::File(bytes) => ('f', words(bytes)),
        Kind::Directory => ('d', String::new()),
        Kind::Symlink(target) => ('l', format!("-> {target}")),
        Kind::Fifo => ('p', String::new()),
        Kind::Device(kind, major, minor) => (*kind, format!("{major},{minor}")),
    };
    let mut line = format!("{path} {kind}{:o}", entry.mode);
    if (entry.uid, entry.gid) != (0, 0) {
        write!(line, " {}:{}", entry.uid, entry.gid).unwrap();
    }
    match entry.mtime {
        _ if !times => {}
        THEN => line += " @then",
        NOW.. => line += " @now",
        other => write!(line, " @{other}").unwrap(),
    }
    for (name, value) in &entry.xattrs {
        write!(line, " {name}={}", String::from_utf8_lossy(value)).unwrap();
    }
    match &entry.linked {
        Some(first) if first != path => write!(line, " ={first}").unwrap(),
        _ if value.is_empty() => {}
        _ => write!(line, " {value}").unwrap(),
    }
    line
}

fn words(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok("") => String::new(),
        Ok(text) if text.len() <= 200 => match text.strip_suffix('\n') {
            Some(text) => text
                .replace('\\', "\\\\")
                .replace('\n', "\\n")
                .replace('\t', "\\t"),
            None => format!("{}\\c", text.replace('\\', "\\\\").replace('\n', "\\n")),
        },
        _ => format!("{} bytes", bytes.len()),
    }
}

/// Compares texts line by line; blanks around lines do not count.
#[track_caller]
fn compare(found: &str, expected: &str) {
    let expected: Vec<&str> = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let found: Vec<&str> = found.lines().map(str::trim).collect();
    assert!(
        found == expected,
        "got:\n{}\n\nexpected:\n{}",
        found.join("\n"),
        expected.join("\n")
    );
}
