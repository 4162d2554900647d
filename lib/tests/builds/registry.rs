//! From a registry, and to one: what moves, what does not, and what goes wrong.

use std::{fs, time::Duration};

use rbuild::{
    Build, Built, Locator,
    registry::{Anonymous, Explicit, Keychain, Reference, Registry, Retry},
};
use rbuild_testutils::registry::{Auth, Fault, Kind, TestRegistry};
use serde_json::Value;

use crate::common::{Room, block_on, busybox, chain, may_run};

/// A registry that has the base image as `base:1`.
struct Remote {
    registry: TestRegistry,
    /// Digest of the base image's only layer.
    layer: String,
}

impl Remote {
    fn with_auth(auth: Auth) -> Self {
        let registry = TestRegistry::with_auth(auth);
        let read = |digest: &Value| {
            let name = digest.as_str().unwrap().replace(':', "/");
            fs::read(busybox().join("blobs").join(name)).unwrap()
        };
        let index: Value = serde_json::from_slice(&fs::read(busybox().join("index.json")).unwrap()).unwrap();
        let manifest = read(&index["manifests"][0]["digest"]);
        let parsed: Value = serde_json::from_slice(&manifest).unwrap();
        registry.put_blob("base", &read(&parsed["config"]["digest"]));
        let layer = registry.put_blob("base", &read(&parsed["layers"][0]["digest"]));
        let media_type = index["manifests"][0]["mediaType"].as_str().unwrap();
        registry.put_manifest("base", "1", media_type, &manifest);
        Self { registry, layer }
    }

    fn new() -> Self {
        Self::with_auth(Auth::None)
    }

    fn name(&self, rest: &str) -> Reference {
        format!("{}/{rest}", self.registry.host()).parse().unwrap()
    }

    /// Requests of a kind that were about the base's layer.
    fn about_base(&self, kind: Kind) -> usize {
        let about = |name: &str| name == self.layer;
        self.registry
            .seen()
            .iter()
            .filter(|seen| seen.kind == kind && about(&seen.name))
            .count()
    }

    /// The layers of an image there; all that it names must be there, too.
    fn layers(&self, repository: &str, built: &Built) -> Vec<String> {
        let manifest = self.registry.manifest(repository, "1").expect("a manifest");
        assert_eq!(
            rbuild_testutils::registry::digest(&manifest),
            built.digest().to_string()
        );
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let digest = |blob: &Value| blob["digest"].as_str().unwrap().to_owned();
        let layers: Vec<String> = manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(digest)
            .collect();
        for blob in layers.iter().chain([&digest(&manifest["config"])]) {
            assert!(
                self.registry.blob(repository, blob).is_some(),
                "{repository} lacks {blob}"
            );
        }
        layers
    }
}

pub fn client(keychain: impl Keychain + 'static) -> Registry {
    let quick = Retry {
        attempts: 4,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(4),
        longest_asked: Duration::from_secs(5),
    };
    Registry::builder().keychain(keychain).retry(quick).build()
}

/// A room whose registry client does not wait long.
pub fn room() -> Room {
    Room {
        registry: client(Anonymous),
        ..Room::new()
    }
}

fn push(room: &Room, built: &Built, to: &Reference) {
    block_on(built.write_to(&Locator::Registry(to.clone()), &room.registry))
        .unwrap_or_else(|error| panic!("the push failed: {}", chain(&error)));
}

/// A build on the base in the registry, with these lines.
fn on_base(room: &Room, remote: &Remote, lines: &str) -> Build {
    room.build(&format!("FROM {}\n{lines}", remote.name("base:1")))
}

/// Pulled, built on, pushed: the registry then has the image, and another machine can build on it.
#[test]
fn there_and_back() {
    if !may_run() {
        return;
    }
    let (remote, first) = (Remote::new(), room());
    let built = first
        .run(on_base(&first, &remote, "RUN echo hello > /o\n"))
        .unwrap();
    push(&first, &built, &remote.name("app:1"));
    assert_eq!(remote.layers("app", &built).len(), 2);
    let second = room();
    let text = format!("FROM {}\nRUN cp /o /p\n", remote.name("app:1"));
    let again = second.run(second.build(&text)).unwrap();
    let flat = second.flat(&again);
    assert_eq!(
        flat.tree["/p"].kind,
        rbuild_testutils::flat::Kind::File(b"hello\n".to_vec())
    );
}

/// However many stages are built on a name, it stands for one image: the registry is asked once.
#[test]
fn stages_of_one_build_have_the_same_base() {
    let (remote, room) = (Remote::new(), room());
    room.write("f", "f\n");
    let base = remote.name("base:1");
    let stages: String = (0..5)
        .map(|n| format!("FROM {base} AS s{n}\nCOPY f /f{n}\n"))
        .collect();
    let copies: String = (0..5).map(|n| format!("COPY --from=s{n} /f{n} /\n")).collect();
    let text = format!("{stages}FROM {base}\n{copies}");
    for build in [room.build(&text), room.build(&text).pull()] {
        remote.registry.forget();
        room.run(build).unwrap();
        let (heads, gets) = (Kind::ManifestHead, Kind::ManifestGet);
        assert_eq!(remote.registry.count(heads) + remote.registry.count(gets), 1);
    }
}

/// Without a RUN, a build that does not look at the base's files never downloads its layers: they are mounted from
/// the base's repository.
#[test]
fn layers_of_the_base_are_mounted() {
    let (remote, room) = (Remote::new(), room());
    room.write("f", "f\n");
    let built = room
        .run(on_base(
            &room,
            &remote,
            "ENV A=1\nCOPY --link f /f\nCMD [\"f\"]\n",
        ))
        .unwrap();
    assert_eq!(remote.about_base(Kind::BlobGet), 0);
    push(&room, &built, &remote.name("app:1"));
    assert_eq!(remote.layers("app", &built).len(), 2);
    assert_eq!(
        (
            remote.registry.count(Kind::Mount),
            remote.about_base(Kind::BlobGet)
        ),
        (1, 0)
    );
    // What was uploaded: the new layer and the config.
    assert_eq!(remote.registry.count(Kind::UploadFinish), 2);
}

/// In the base's own repository, they are there already.
#[test]
fn layers_of_the_base_are_there() {
    let (remote, room) = (Remote::new(), room());
    room.write("f", "f\n");
    let built = room.run(on_base(&room, &remote, "COPY --link f /f\n")).unwrap();
    push(&room, &built, &remote.name("base:2"));
    assert_eq!(
        (
            remote.registry.count(Kind::Mount),
            remote.about_base(Kind::BlobGet)
        ),
        (0, 0)
    );
    assert_eq!(remote.registry.count(Kind::UploadFinish), 2);
}

/// A COPY has to know what the base holds, once: an index of its layers is enough later.
#[test]
fn an_index_is_enough() {
    let (remote, room) = (Remote::new(), room());
    room.write("f", "f\n");
    let lines = "COPY f /etc/f\nWORKDIR /tmp/w\n";
    room.run(on_base(&room, &remote, lines)).unwrap();
    assert_eq!(remote.about_base(Kind::BlobGet), 1);
    room.store.discard_blob(&remote.layer.parse().unwrap()).unwrap();
    remote.registry.forget();
    room.write("f", "changed\n");
    let built = room.run(on_base(&room, &remote, lines)).unwrap();
    push(&room, &built, &remote.name("app:1"));
    remote.layers("app", &built);
    assert_eq!(
        (
            remote.registry.count(Kind::Mount),
            remote.about_base(Kind::BlobGet)
        ),
        (1, 0)
    );
}

/// Where a registry mounts nothing, the layer is fetched and uploaded.
#[test]
fn a_refused_mount() {
    let (remote, room) = (Remote::new(), room());
    remote.registry.refuse_mounts();
    let built = room.run(on_base(&room, &remote, "ENV A=1\n")).unwrap();
    push(&room, &built, &remote.name("app:1"));
    assert_eq!(remote.layers("app", &built), vec![remote.layer.clone()]);
    assert_eq!(remote.about_base(Kind::BlobGet), 1);
}

/// A second push uploads nothing.
#[test]
fn a_second_push() {
    let (remote, room) = (Remote::new(), room());
    room.write("f", "f\n");
    let built = room.run(on_base(&room, &remote, "COPY f /f\n")).unwrap();
    push(&room, &built, &remote.name("app:1"));
    remote.registry.forget();
    push(&room, &built, &remote.name("app:1"));
    for kind in [
        Kind::UploadStart,
        Kind::UploadChunk,
        Kind::UploadFinish,
        Kind::Mount,
        Kind::BlobGet,
    ] {
        assert_eq!(remote.registry.count(kind), 0, "{kind:?}");
    }
}

/// An unchanged rebuild asks the registry for nothing, and with `pull` only what the name stands for.
#[test]
fn a_name_is_asked_for_once() {
    let (remote, room) = (Remote::new(), room());
    let first = room.run(on_base(&room, &remote, "ENV A=1\n")).unwrap();
    remote.registry.forget();
    let second = room.run(on_base(&room, &remote, "ENV A=1\n")).unwrap();
    assert_eq!(
        (remote.registry.seen(), first.digest()),
        (Vec::new(), second.digest())
    );
    room.run(on_base(&room, &remote, "ENV A=1\n").pull()).unwrap();
    assert!(remote.registry.count(Kind::ManifestGet) + remote.registry.count(Kind::ManifestHead) >= 1);
    assert_eq!(remote.about_base(Kind::BlobGet), 0);
}

/// A blob with other bytes than its digest says is refused: the error names both, and nothing of it stays.
#[test]
fn wrong_bytes() {
    for fault in [Fault::WrongBytes, Fault::TooLong] {
        let (remote, room) = (Remote::new(), room());
        room.write("f", "f\n");
        // The config is the first blob that is fetched, and must get through.
        room.run(on_base(&room, &remote, "ENV A=1\n")).unwrap();
        remote.registry.fault(Kind::BlobGet, 100, fault);
        let error = room
            .run(on_base(&room, &remote, "COPY f /etc/f\n"))
            .err()
            .expect("an error");
        let error = chain(&error);
        assert!(
            error.contains(&remote.layer) && error.contains(&remote.registry.host()),
            "{error}"
        );
        let name = remote.layer.replace(':', "/");
        assert!(!room.store.root().join("blobs").join(name).exists());
        let left: Vec<_> = fs::read_dir(room.store.root().join("tmp")).unwrap().collect();
        for session in left {
            let files: Vec<_> = fs::read_dir(session.unwrap().path())
                .unwrap()
                .map(|file| file.unwrap().file_name())
                .collect();
            assert_eq!(files, ["lock"]);
        }
    }
}

/// A download goes on where a connection broke.
#[test]
fn resets() {
    let (remote, room) = (Remote::new(), room());
    room.write("f", "f\n");
    room.run(on_base(&room, &remote, "ENV A=1\n")).unwrap();
    remote.registry.fault(Kind::BlobGet, 1, Fault::Reset(400_000));
    remote.registry.fault(Kind::BlobGet, 1, Fault::Truncate(200_000));
    let built = room.run(on_base(&room, &remote, "COPY f /etc/f\n")).unwrap();
    room.flat(&built);
    let gets = remote
        .registry
        .seen()
        .into_iter()
        .filter(|seen| seen.kind == Kind::BlobGet && seen.name == remote.layer);
    let statuses: Vec<u16> = gets.map(|seen| seen.status).collect();
    assert_eq!(statuses, [200, 206, 206]);
}

/// Bad moments of a registry pass, in pulls and in pushes.
#[test]
fn bad_moments() {
    let (remote, room) = (Remote::new(), room());
    room.write("f", "f\n");
    for kind in [
        Kind::ManifestGet,
        Kind::BlobGet,
        Kind::UploadStart,
        Kind::UploadFinish,
        Kind::ManifestPut,
    ] {
        remote.registry.fault(kind, 1, Fault::Status(503));
    }
    remote
        .registry
        .fault(Kind::BlobHead, 1, Fault::RetryAfter(429, "0".to_owned()));
    let built = room.run(on_base(&room, &remote, "COPY f /etc/f\n")).unwrap();
    push(&room, &built, &remote.name("app:1"));
    assert_eq!(remote.layers("app", &built).len(), 2);
}

/// Whoever has the password gets in, and others learn which place refused them.
#[test]
fn logins() {
    for auth in [Auth::basic("me", "secret"), Auth::token("me", "secret")] {
        let remote = Remote::with_auth(auth);
        let host = remote.registry.host();
        let with = |keychain: Explicit| Room {
            registry: client(keychain),
            ..Room::new()
        };
        let right = with(Explicit::new(&host, "me", "secret", "the test"));
        right.write("f", "f\n");
        let built = right.run(on_base(&right, &remote, "COPY f /etc/f\n")).unwrap();
        push(&right, &built, &remote.name("app:1"));
        assert_eq!(remote.layers("app", &built).len(), 2);
        for wrong in [with(Explicit::new(&host, "me", "wrong", "the test")), room()] {
            let error = wrong
                .run(on_base(&wrong, &remote, "ENV A=1\n"))
                .err()
                .expect("an error");
            let error = chain(&error);
            assert!(error.contains(&host) && !error.contains("wrong\""), "{error}");
        }
    }
}

/// A name that nobody has, and a registry that is not there.
#[test]
fn nothing_there() {
    let (remote, room) = (Remote::new(), room());
    let error = room
        .run(room.build(&format!("FROM {}\n", remote.name("none:1"))))
        .err()
        .expect("an error");
    assert!(chain(&error).contains("none:1"), "{}", chain(&error));
    let gone = remote.name("base:1");
    drop(remote);
    let error = room
        .run(room.build(&format!("FROM {gone}\n")))
        .err()
        .expect("an error");
    assert!(chain(&error).contains(gone.host()), "{}", chain(&error));
}

/// Layers go to the registry while the build goes on, and only once; a registry that is not there is no concern of the
/// build.
#[test]
fn layers_are_pushed_early() {
    if !may_run() {
        return;
    }
    let (remote, room) = (Remote::new(), room());
    let lines = "RUN echo a > /a\nRUN echo b > /b\n";
    let early = remote.name("app:1");
    let closed = "127.0.0.1:1/app:1".parse().unwrap();
    let build = on_base(&room, &remote, lines).push_early(early.clone());
    let built = room.run(build.push_early(closed)).unwrap();
    let own = &built.image().layers()[1..];
    assert!(remote.registry.manifest("app", "1").is_none());
    for layer in own {
        let digest = layer.descriptor.digest.to_string();
        assert!(remote.registry.blob("app", &digest).is_some(), "{digest}");
    }
    let room = self::room();
    let build = on_base(&room, &remote, lines).arg("SOURCE_DATE_EPOCH", "1");
    let built = room.run(build.push_early(early.clone())).unwrap();
    let uploads = remote.registry.count(Kind::UploadStart);
    push(&room, &built, &early);
    // Nothing but the config is left to upload; the base's layer is mounted.
    assert_eq!(remote.registry.count(Kind::UploadStart), uploads + 1);
    assert_eq!(remote.layers("app", &built).len(), 3);
}
