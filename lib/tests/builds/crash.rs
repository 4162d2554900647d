//! Builds that are killed at any moment, and builds side by side in one store.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use proptest::prelude::RngExt as _;
use rbuild::{Build, registry::Registry, store::Store};
use rbuild_testutils::flat::Flat;

use crate::{
    common::{block_on, busybox, from_text, may_run},
    leftovers::{mark, nothing_left, prune},
};

/// Names the store and the context of a build that will be killed.
const STORE: &str = "RBUILD_TEST_CRASH_STORE";
const CONTEXT: &str = "RBUILD_TEST_CRASH_CONTEXT";
/// Names the file for its digest.
const DIGEST: &str = "RBUILD_TEST_CRASH_DIGEST";

/// Something of everything, with the same bytes each time.
const WORK: &str = "FROM busybox AS one
WORKDIR /w
COPY . /c
RUN : MARK; for i in 1 2 3 4 5 6 7 8; do dd if=/c/large of=/w/$i bs=64k 2>/dev/null; done
FROM busybox
RUN : MARK; mkdir -p /m && cd /m && for i in $(seq 100); do echo $i > $i; done && rm -r /var
COPY --from=one /w /w
RUN : MARK; rm /w/3 && mv /w/4 /w/moved && ln /w/5 /w/linked && chown -R 5:6 /m
";

fn work(context: &Path, mark: &str) -> Build {
    from_text(context, &WORK.replace("MARK", mark))
        .arg("SOURCE_DATE_EPOCH", "1000000000")
        .rewrite_timestamps()
        .tag("localhost/crash:1".parse().unwrap())
}

/// What the tests below run as a process of its own. Run as an ordinary test, it builds the same in two stores.
#[test]
fn victim() {
    if !may_run() {
        return;
    }
    if let (Some(store), Some(context)) = (env::var_os(STORE), env::var_os(CONTEXT)) {
        let (store, context) = (PathBuf::from(store), PathBuf::from(context));
        let mark = context.file_name().unwrap().to_string_lossy().into_owned();
        return fs::write(env::var_os(DIGEST).unwrap(), digest(&store, &context, &mark)).unwrap();
    }
    assert_eq!(digest_of_work(), digest_of_work());
    println!("{}", digest_of_work());
}

/// Builds in this process.
fn digest(store: &Path, context: &Path, mark: &str) -> String {
    let (store, registry) = (Store::open(store).unwrap(), Registry::from_environment());
    let built = block_on(work(context, mark).run(&store, &registry));
    built.unwrap().digest().to_string()
}

/// The digest that this build comes to everywhere.
pub fn digest_of_work() -> String {
    let room = Crashes::new("everywhere");
    digest(&room.store("store"), &room.context, "everywhere")
}

/// Stores, a context, and processes that build.
struct Crashes {
    dir: tempfile::TempDir,
    context: PathBuf,
    mark: String,
}

impl Crashes {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mark = mark(name);
        let context = dir.path().join(&mark);
        fs::create_dir(&context).unwrap();
        let large: Vec<u8> = (0..300_000u32)
            .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        fs::write(context.join("large"), large).unwrap();
        for i in 0..50 {
            fs::write(context.join(i.to_string()), i.to_string()).unwrap();
        }
        Self { dir, context, mark }
    }

    fn store(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self, store: &Path) -> Child {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "crash::victim"])
            .env(STORE, store)
            .env(CONTEXT, &self.context)
            .env(DIGEST, digest_file(store))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Builds to the end, and says the digest.
    fn build(&self, store: &Path) -> String {
        let output = self.start(store).wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        fs::read_to_string(digest_file(store)).unwrap()
    }
}

fn digest_file(store: &Path) -> PathBuf {
    store.with_extension("digest")
}

/// Killed twice at random moments, a build then comes to the same image as an undisturbed one, and leaves nothing.
#[test]
fn killed_at_any_moment() {
    if !may_run() {
        return;
    }
    let all = env::var_os("RBUILD_TEST_REQUIRE_ALL").is_some_and(|value| value == "1");
    let crashes = Crashes::new("crash");
    let begun = Instant::now();
    let expected = crashes.build(&crashes.store("undisturbed"));
    let longest = begun.elapsed();
    let mut random = proptest::test_runner::TestRunner::default().new_rng();
    for round in 0..if all { 25 } else { 4 } {
        let store = crashes.store(&round.to_string());
        let mut moments = Vec::new();
        for _ in 0..2 {
            let moment = longest.mul_f64(random.random_range(0.0..1.0));
            let mut child = crashes.start(&store);
            thread::sleep(moment);
            child.kill().unwrap();
            child.wait().unwrap();
            moments.push(moment);
        }
        assert_eq!(
            crashes.build(&store),
            expected,
            "killed after {moments:?} of {longest:?}"
        );
        let opened = Store::open(&store).unwrap();
        prune(&opened);
        nothing_left(&opened, &crashes.mark);
        drop(opened);
        assert_eq!(fs::read_dir(store.join("tmp")).unwrap().count(), 0);
        fs::remove_dir_all(&store).unwrap_or_else(|_| remove(&store));
    }
}

/// As an ordinary user, a store holds files of other ids.
fn remove(path: &Path) {
    crate::common::engine().unwrap().remove_tree(path).unwrap();
}

/// Two processes that build the same into one store get the same image, and both leave it whole.
#[test]
fn two_at_once() {
    if !may_run() {
        return;
    }
    let crashes = Crashes::new("twice");
    let store = crashes.store("store");
    let builds = [
        crashes.start(&store),
        crashes.start(&store),
        crashes.start(&store),
    ];
    for build in builds {
        let output = build.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let opened = Store::open(&store).unwrap();
    prune(&opened);
    nothing_left(&opened, &crashes.mark);
    let descriptor = opened
        .resolve("localhost/crash:1")
        .unwrap()
        .expect("the image has a name");
    assert_eq!(
        crashes.build(&crashes.store("alone")),
        descriptor.digest.to_string()
    );
    let descriptor = serde_json::to_value(descriptor).unwrap();
    Flat::of(&[&store, &busybox()], &descriptor).unwrap();
}

/// While a build goes on, nobody prunes: it would take away what the build relies on.
#[test]
fn no_prune_meanwhile() {
    if !may_run() {
        return;
    }
    let room = crate::common::Room::new();
    let store = room.store.clone();
    let tried = std::sync::Arc::new(std::sync::Mutex::new(None));
    let result = tried.clone();
    let build = room.build("FROM busybox\nRUN echo now\n").on_event(move |event| {
        if let rbuild::Event::StepOutput { .. } = event {
            let tried = store.prune(None, &rbuild::store::Plain);
            *result.lock().unwrap() = Some(tried.map_err(|error| error.to_string()));
        }
    });
    room.run(build).unwrap();
    let tried = tried.lock().unwrap().take().expect("the RUN wrote something");
    assert!(tried.is_err_and(|error| error.contains("use")));
    prune(&room.store);
}
