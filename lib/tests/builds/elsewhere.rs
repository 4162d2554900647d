//! Caches elsewhere: what one machine did, another does not do again; and what comes of caches that do not work.

use std::{fs, net::TcpListener, path::Path};

use rbuild::{
    Build, Built, Event,
    build::{CacheMode, CachePlace},
    store::Store,
};
use rbuild_testutils::{
    DockerRegistry,
    flat::Kind as File,
    registry::{Fault, Kind, TestRegistry},
};
use serde_json::Value;

use crate::{
    common::{Events, Room, chain, may_run},
    registry::room,
};

/// Two stages, each with a RUN.
const WORK: &str = "FROM busybox AS tools
COPY a /a
RUN head -c 300000 /dev/urandom > /ballast && cat /a > /tool
FROM busybox
COPY --from=tools /tool /tool
RUN cat /tool /tool > /twice
";

fn in_registry(host: &str) -> CachePlace {
    CachePlace::Registry(format!("{host}/cache:main").parse().unwrap())
}

fn machine() -> Room {
    let room = room();
    room.write("a", "a\n");
    room
}

/// What a build came to.
struct Done {
    built: Built,
    /// How each step went.
    how: Vec<String>,
    warnings: Vec<String>,
    outputs: usize,
}

#[track_caller]
fn run(room: &Room, build: Build) -> Done {
    let events = Events::default();
    let built = room.run(build.on_event(events.sink()));
    let built = built.unwrap_or_else(|error| panic!("the build failed: {}", chain(&error)));
    let all = events.all();
    let warnings = all.iter().filter_map(|event| match event {
        Event::Warning { message, .. } => Some(message.clone()),
        _ => None,
    });
    Done {
        built,
        how: events
            .steps()
            .iter()
            .map(|step| step.rsplit_once(": ").unwrap().1.to_owned())
            .collect(),
        warnings: warnings.collect(),
        outputs: all
            .iter()
            .filter(|event| matches!(event, Event::StepOutput { .. }))
            .count(),
    }
}

fn is_as_expected(room: &Room, done: &Done) {
    let flat = room.flat(&done.built);
    assert_eq!(flat.tree["/twice"].kind, File::File(b"a\na\n".to_vec()));
}

/// Builds [`WORK`] on one machine, with a cache to write to.
fn first(to: &CachePlace, mode: CacheMode) -> Done {
    let room = machine();
    let done = run(&room, room.build(WORK).cache_to(to.clone(), mode));
    assert_eq!(done.warnings, [""; 0]);
    assert_eq!(done.how, ["not built here before"; 4]);
    done
}

/// Builds it on another, with a cache to read.
fn second(from: &CachePlace) -> (Room, Done) {
    let room = machine();
    let done = run(&room, room.build(WORK).cache_from(from.clone()));
    is_as_expected(&room, &done);
    (room, done)
}

/// Everything is restored, nothing runs, and what is not needed does not move.
#[test]
fn another_machine_runs_nothing() {
    if !may_run() {
        return;
    }
    let registry = TestRegistry::start();
    let cache = in_registry(&registry.host());
    let before = first(&cache, CacheMode::Max);
    registry.forget();
    let (room, after) = second(&cache);
    assert_eq!(after.how, ["restored"; 4]);
    assert_eq!((after.outputs, &after.warnings[..]), (0, &[][..]));
    assert_eq!(after.built.digest(), before.built.digest());
    // A request for each step, and one for what the COPY takes from the other stage.
    assert_eq!(registry.count(Kind::ManifestGet), 5);
    assert!(registry.blob_bytes_sent() < 100_000, "the ballast was fetched");
    // From now on they are in the store.
    registry.forget();
    let again = run(&room, room.build(WORK).cache_from(cache.clone()));
    assert_eq!(again.how[2..], ["cached", "cached"]);
    assert_eq!(again.built.digest(), before.built.digest());
}

/// The same with the real thing, and again from what is in the store.
#[test]
fn with_a_docker_registry() {
    let Some(registry) = DockerRegistry::start() else {
        return;
    };
    if !may_run() {
        return;
    }
    let cache = in_registry(registry.host());
    let before = first(&cache, CacheMode::Max);
    let (room, after) = second(&cache);
    assert_eq!(after.how, ["restored"; 4]);
    assert_eq!(after.built.digest(), before.built.digest());
    let image = format!("docker://{}/app:1", registry.host());
    crate::common::block_on(after.built.write_to(&image.parse().unwrap(), &room.registry)).unwrap();
}

/// A directory does as well, and holds what several builds wrote.
#[test]
fn in_a_directory() {
    if !may_run() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let cache = CachePlace::Local(directory.path().join("cache"));
    let before = first(&cache, CacheMode::Max);
    let room = machine();
    let other = room.build("FROM busybox\nRUN echo other > /other\n");
    run(&room, other.cache_to(cache.clone(), CacheMode::Max));
    let (_, after) = second(&cache);
    assert_eq!(after.how, ["restored"; 4]);
    assert_eq!(after.built.digest(), before.built.digest());
    let index = fs::read(directory.path().join("cache/index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 6);
}

/// What was done before is given to a cache, too, that is named later; and a cache to a cache.
#[test]
fn results_of_earlier_builds() {
    if !may_run() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let cache = |name: &str| CachePlace::Local(directory.path().join(name));
    let room = machine();
    let before = run(&room, room.build(WORK));
    let again = run(&room, room.build(WORK).cache_to(cache("1"), CacheMode::Max));
    assert_eq!(again.how, ["cached"; 4]);
    let room = machine();
    let build = room.build(WORK).cache_from(cache("1"));
    run(&room, build.cache_to(cache("2"), CacheMode::Max));
    let (_, after) = second(&cache("2"));
    assert_eq!(after.how, ["restored"; 4]);
    assert_eq!(after.built.digest(), before.built.digest());
}

/// The mode says which stages are kept.
#[test]
fn only_what_the_image_is_built_on() {
    if !may_run() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let cache = CachePlace::Local(directory.path().join("cache"));
    first(&cache, CacheMode::Min);
    let (_, after) = second(&cache);
    // Its files are the same, so what is made of them is restored.
    let new = "not built here before";
    assert_eq!(after.how, [new, new, "restored", "restored"]);
}

/// Nobody there, errors only, a login that is wanted: a warning, and the build does it all by itself.
#[test]
fn caches_that_do_not_work() {
    if !may_run() {
        return;
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let broken = TestRegistry::start();
    for (kind, status) in [
        (Kind::ManifestGet, 500),
        (Kind::ManifestHead, 403),
        (Kind::UploadStart, 503),
    ] {
        broken.fault(kind, usize::MAX, Fault::Status(status));
    }
    for host in [closed.to_string(), broken.host()] {
        let (room, cache) = (machine(), in_registry(&host));
        let build = room.build(WORK).cache_from(cache.clone());
        let done = run(&room, build.cache_to(cache, CacheMode::Max));
        is_as_expected(&room, &done);
        assert_eq!(done.how, ["not built here before"; 4]);
        let [from, to] = &done.warnings[..] else {
            panic!("{:?}", done.warnings)
        };
        assert!(from.contains("is not used") && from.contains(&host), "{from}");
        assert!(
            to.contains("nothing more is written") && to.contains(&host),
            "{to}"
        );
    }
    let nothing = CachePlace::Local("/proc/no/such/directory".into());
    let room = machine();
    let build = room.build(WORK).cache_from(nothing.clone());
    let done = run(&room, build.cache_to(nothing, CacheMode::Max));
    is_as_expected(&room, &done);
    assert_eq!(done.warnings.len(), 2, "{:?}", done.warnings);
}

/// A cache in a directory with the results of [`WORK`], and the record of its last step.
struct Spoiled {
    directory: tempfile::TempDir,
    cache: CachePlace,
    index: Value,
    last: usize,
}

impl Spoiled {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cache = CachePlace::Local(directory.path().to_owned());
        let before = first(&cache, CacheMode::Max);
        let top = before
            .built
            .image()
            .layers()
            .last()
            .unwrap()
            .descriptor
            .digest
            .to_string();
        let index: Value =
            serde_json::from_slice(&fs::read(directory.path().join("index.json")).unwrap()).unwrap();
        let blob =
            |digest: &Value| fs::read_to_string(blob(directory.path(), digest.as_str().unwrap())).unwrap();
        let entries = index["manifests"].as_array().unwrap();
        let last = entries
            .iter()
            .position(|entry| blob(&entry["digest"]).contains(&top))
            .unwrap();
        Self {
            directory,
            cache,
            index,
            last,
        }
    }

    fn manifest(&self) -> Value {
        let digest = self.index["manifests"][self.last]["digest"].as_str().unwrap();
        serde_json::from_slice(&fs::read(blob(self.directory.path(), digest)).unwrap()).unwrap()
    }

    /// The blob of the last step's layer.
    fn layer(&self) -> std::path::PathBuf {
        blob(
            self.directory.path(),
            self.manifest()["layers"][0]["digest"].as_str().unwrap(),
        )
    }

    /// Replaces the last step's record.
    fn replace(&mut self, bytes: &[u8]) {
        let digest = rbuild_testutils::registry::digest(bytes);
        fs::write(blob(self.directory.path(), &digest), bytes).unwrap();
        let entry = &mut self.index["manifests"][self.last];
        entry["digest"] = digest.into();
        entry["size"] = bytes.len().into();
        fs::write(self.directory.path().join("index.json"), self.index.to_string()).unwrap();
    }

    /// The last step runs, the others are restored, and somebody is told.
    #[track_caller]
    fn is_noticed(&self, words: &str) {
        let (room, done) = second(&self.cache);
        assert!(
            done.warnings.iter().any(|warning| warning.contains(words)),
            "{words}: {:?}",
            done.warnings
        );
        assert_ne!(done.how.last().unwrap(), "restored");
        assert_eq!(done.outputs, 0);
        // What was wrong has left nothing behind.
        drop(done);
        let again = run(&room, room.build(WORK));
        assert_eq!(again.how.last().unwrap(), "cached");
        is_as_expected(&room, &again);
    }
}

fn blob(layout: &Path, digest: &str) -> std::path::PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

/// Records that are none, or of another step, or promise what is not there: never a broken image.
#[test]
fn caches_that_lie() {
    if !may_run() {
        return;
    }
    let mut spoiled = Spoiled::new();
    let whole = spoiled.manifest();
    let layer = fs::read(spoiled.layer()).unwrap();

    spoiled.replace(b"garbage");
    spoiled.is_noticed("not valid");

    let mut other = whole.clone();
    other["annotations"]["rbuild.result.key"] = rbuild_testutils::registry::digest(b"x").into();
    spoiled.replace(other.to_string().as_bytes());
    spoiled.is_noticed("another step");

    // It unpacks, but not to what is said.
    let mut other = whole.clone();
    other["annotations"]["rbuild.result.diff-id"] = rbuild_testutils::registry::digest(b"x").into();
    spoiled.replace(other.to_string().as_bytes());
    spoiled.is_noticed("cannot be used");

    // Wrong bytes, half of them, none of them.
    spoiled.replace(whole.to_string().as_bytes());
    let mut wrong = layer.clone();
    wrong[20] ^= 1;
    for bytes in [wrong, layer[..layer.len() / 2].to_vec()] {
        fs::write(spoiled.layer(), bytes).unwrap();
        spoiled.is_noticed("cannot be used");
    }
    fs::remove_file(spoiled.layer()).unwrap();
    spoiled.is_noticed("cannot be used");
}

/// A registry whose layers are wrong, or gone, or whose transfers always break.
#[test]
fn registries_that_lie() {
    if !may_run() {
        return;
    }
    for fault in [Fault::WrongBytes, Fault::Status(404), Fault::Truncate(10)] {
        let registry = TestRegistry::start();
        let cache = in_registry(&registry.host());
        first(&cache, CacheMode::Max);
        registry.fault(Kind::BlobGet, usize::MAX, fault.clone());
        let (_, done) = second(&cache);
        assert!(
            done.warnings
                .iter()
                .any(|warning| warning.contains("cannot be used")),
            "{fault:?}: {:?}",
            done.warnings
        );
    }
}

/// `--no-cache` asks no cache, and gives what it did to one.
#[test]
fn without_caches() {
    if !may_run() {
        return;
    }
    let registry = TestRegistry::start();
    let cache = in_registry(&registry.host());
    first(&cache, CacheMode::Max);
    registry.forget();
    let room = machine();
    let build = room.build(WORK).no_cache().cache_from(cache.clone());
    let done = run(&room, build.cache_to(cache, CacheMode::Max));
    assert_eq!(done.how, ["the cache is off"; 4]);
    assert_eq!(registry.count(Kind::ManifestGet), 0);
    assert!(registry.count(Kind::ManifestPut) >= 2);
}

/// The contents of cache mounts come along, if they are asked for.
#[test]
fn cache_mounts() {
    if !may_run() {
        return;
    }
    let registry = TestRegistry::start();
    let cache = in_registry(&registry.host());
    let text = |line: &str| format!("FROM busybox\nRUN --mount=type=cache,target=/c,id=c {line}\n");
    let room = machine();
    let build = room.build(&text("mkdir -m 700 /c/d && echo kept > /c/d/f && ln -s d /c/l"));
    let build = build.cache_to(cache.clone(), CacheMode::Max);
    assert_eq!(run(&room, build.carry_cache_mounts()).warnings, [""; 0]);
    let line = "cp -a /c /o 2>/dev/null; ls -ld /c/d | cut -c1-10 > /mode; true";
    for carry in [false, true] {
        let room = machine();
        let mut build = room.build(&text(line)).cache_from(cache.clone());
        if carry {
            build = build.carry_cache_mounts();
        }
        let done = run(&room, build);
        let tree = room.flat(&done.built).tree;
        assert_eq!(tree.contains_key("/o/l"), carry);
        let kept = tree.get("/o/d/f").map(|entry| entry.kind.clone());
        assert_eq!(kept, carry.then(|| File::File(b"kept\n".to_vec())));
        if carry {
            assert_eq!(tree["/mode"].kind, File::File(b"drwx------\n".to_vec()));
        }
    }
    drop(Store::open(room.dir.path().join("store")).unwrap());
}
