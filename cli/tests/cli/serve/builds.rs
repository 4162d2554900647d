//! What is built, logged and counted; callers that leave; signals.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
};

use rbuild_testutils::{
    flat::{Flat, Kind},
    registry::{Auth, TestRegistry},
};
use serde_json::{Value, json};

use super::{
    Gate, Server, TOKEN,
    client::{self, Form, tar_gz, tar_gz_of_links},
    eventually, files, meta,
};
use crate::common::{Place, push_busybox};

/// A file of an image in a registry; every digest of the image is checked.
fn file(server: &Server, image: &str, path: &str) -> String {
    let place = Place::new();
    let from = format!("docker://{image}");
    place.run(["copy", "--quiet", &from, "oci:out"]).succeeded();
    let flat = Flat::read(&place.path("out")).unwrap();
    match &flat.tree[path].kind {
        Kind::File(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        other => panic!("{}: {other:?}", server.address),
    }
}

/// More than there are turns and seats for at once; all are built, and each goes where it should.
#[test]
fn twenty_at_once() {
    let registry = TestRegistry::start();
    let server = Server::start(&["--jobs", "3", "--queue", "17"]);
    let text = "FROM scratch\nARG VERSION\nLABEL v=$VERSION\nCOPY f large /\n";
    let large = "x".repeat(8 << 20);
    thread::scope(|scope| {
        let posted: Vec<_> = (0..20)
            .map(|i| {
                let (server, large, host) = (&server, &large, registry.host());
                scope.spawn(move || {
                    let own = format!("app {i}");
                    let context = tar_gz(&[("Containerfile", text), ("f", &own), ("large", large)]);
                    server
                        .post(&Form::new(&meta(&host, &format!("app{i}:1")), &context))
                        .is(200)
                })
            })
            .collect();
        for (i, answer) in posted
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .enumerate()
        {
            let image = format!("{}/apps/app{i}:1", registry.host());
            let told: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(told["image"], image.as_str());
            assert!(told["digest"].as_str().unwrap().starts_with("sha256:"));
            assert_eq!(file(&server, &image, "/f"), format!("app {i}"));
        }
    });
    assert_eq!(server.metric("rbuild_builds_total{result=\"succeeded\"}"), "20");
    assert_eq!(server.metric("rbuild_builds_running"), "0");
    // All contexts together have 160 MB; what compresses has a few for each processor.
    let most = 100 + 8 * thread::available_parallelism().unwrap().get() as u64;
    assert!(server.peak() < most << 20, "{}", server.peak());
    assert_eq!(server.end().code(), Some(0));
}

/// With no seat left, callers are told to come again.
#[test]
fn there_is_an_end_to_the_queue() {
    let (registry, gate) = (TestRegistry::start(), Gate::closed());
    let server = Server::start(&["--jobs", "1", "--queue", "1"]);
    let form = |image: &str| Form::new(&meta(&registry.host(), image), &gate.context());
    thread::scope(|scope| {
        let first = scope.spawn(|| server.post(&form("one")));
        gate.wait();
        let second = scope.spawn(|| server.post(&form("two")));
        server.wait_for("rbuild_builds_waiting", "1");
        let third = server.post(&form("three")).is(503);
        assert_eq!(third.header("retry-after"), Some("10"));
        gate.open();
        first.join().unwrap().is(200);
        second.join().unwrap().is(200);
    });
    assert_eq!(server.metric("rbuild_builds_refused_total"), "1");
}

/// A caller who goes away leaves no build behind, be it at work or waiting.
#[test]
fn a_caller_that_leaves_frees_its_build() {
    let (registry, gate) = (TestRegistry::start(), Gate::closed());
    let server = Server::start(&["--jobs", "1", "--queue", "1"]);
    let request = Form::new(&meta(&registry.host(), "app"), &gate.context()).request(Some(TOKEN));
    let begin = || {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.write_all(&request).unwrap();
        stream
    };
    let first = begin();
    gate.wait();
    let second = begin();
    server.wait_for("rbuild_builds_waiting", "1");
    drop(second);
    server.wait_for("rbuild_builds_waiting", "0");
    drop(first);
    server.wait_for("rbuild_builds_running", "0");
    assert_eq!(server.metric("rbuild_builds_total{result=\"succeeded\"}"), "0");
    // One who leaves while the context is on its way.
    let mut third = TcpStream::connect(&server.address).unwrap();
    third.write_all(&request[..request.len() - 40]).unwrap();
    server.wait_for("rbuild_builds_waiting", "1");
    drop(third);
    server.wait_for("rbuild_builds_waiting", "0");
    // There is room for others.
    let context = tar_gz(&[("Containerfile", "FROM scratch\nENV A=1\n")]);
    server
        .post(&Form::new(&meta(&registry.host(), "app"), &context))
        .is(200);
    assert_eq!(server.end().code(), Some(0));
}

/// Processes of a RUN end with the caller, too.
#[test]
fn a_run_ends_with_its_caller() {
    let registry = TestRegistry::start();
    push_busybox(&registry);
    let server = Server::start(&["--jobs", "1"]);
    // Nothing else sleeps for so long.
    let forever = format!("27182{}", std::process::id());
    let text = format!(
        "FROM {}/busybox\nRUN sleep {forever} & sleep {forever}\n",
        registry.host()
    );
    let context = tar_gz(&[("Containerfile", &text)]);
    let form = Form::new(&meta(&registry.host(), "app"), &context).header("X-Build-Id", "sleeper");
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.write_all(&form.request(Some(TOKEN))).unwrap();
    eventually("a process", || {
        !crate::interrupt::processes_with(&forever).is_empty()
    });
    drop(stream);
    server.wait_for("rbuild_builds_running", "0");
    assert_eq!(crate::interrupt::processes_with(&forever), Vec::<String>::new());
    let log = server.get("/builds/sleeper/log").is(200).body;
    assert!(log.contains("RUN sleep") && log.contains("cancelled"), "{log}");
    server.end();
}

/// What has begun is finished, what waits is built, and nothing more is taken.
#[test]
fn sigterm_drains() {
    let (registry, gate) = (TestRegistry::start(), Gate::closed());
    let server = Server::start(&["--jobs", "1"]);
    let form = |image: &str| Form::new(&meta(&registry.host(), image), &gate.context());
    assert_eq!(server.get("/healthz").is(200).body, "ok\n");
    thread::scope(|scope| {
        let first = scope.spawn(|| server.post(&form("one")));
        gate.wait();
        let second = scope.spawn(|| server.post(&form("two")));
        server.wait_for("rbuild_builds_waiting", "1");
        server.signal("TERM");
        eventually("draining", || server.get("/healthz").status == 503);
        server.post(&form("three")).is(503);
        gate.open();
        first.join().unwrap().is(200);
        second.join().unwrap().is(200);
    });
    let mut server = server;
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!(TcpStream::connect(&server.address).is_err());
    assert_eq!(files(&server.place.path("store/tmp")), Vec::<String>::new());
}

/// A build that takes longer than it may is stopped.
#[test]
fn time_is_bounded() {
    let (registry, gate) = (TestRegistry::start(), Gate::closed());
    let server = Server::start(&["--timeout", "1s"]);
    let answer = server
        .post(&Form::new(&meta(&registry.host(), "app"), &gate.context()))
        .is(504);
    assert_eq!(answer.body, "error: the build took longer than 1 s\n");
    assert_eq!(server.metric("rbuild_builds_total{result=\"timed_out\"}"), "1");
    server.end();
}

/// A log can be followed by whoever knows the name of the build and the token, and read when it has ended.
#[test]
fn logs() {
    let (registry, gate) = (TestRegistry::start(), Gate::closed());
    let server = Server::start(&[]);
    let form = Form::new(&meta(&registry.host(), "app"), &gate.context()).header("X-Build-Id", "app-1");
    thread::scope(|scope| {
        let build = scope.spawn(|| server.post(&form));
        gate.wait();
        let mut follower = TcpStream::connect(&server.address).unwrap();
        let head = format!(
            "GET /builds/app-1/log HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        );
        follower.write_all(head.as_bytes()).unwrap();
        let (mut seen, mut piece) = (Vec::new(), [0; 1024]);
        // While it is at work, what it has said comes.
        while !String::from_utf8_lossy(&seen).contains("ADD http") {
            let count = follower.read(&mut piece).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&piece[..count]);
        }
        // Two builds of one name at once could not be told apart.
        server.post(&form).is(409);
        gate.open();
        let answer = build.join().unwrap().is(200);
        assert_eq!(answer.header("x-build-id"), Some("app-1"));
        follower.read_to_end(&mut seen).unwrap();
        let followed = client::parse(&seen).body;
        assert!(followed.contains("\nwrote docker://"), "{followed}");
        assert_eq!(server.get("/builds/app-1/log").is(200).body, followed);
    });
    server.get("/builds/other/log").is(404);
    let bare = "GET /builds/app-1/log HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    client::send(&server.address, bare.as_bytes()).is(401);
}

/// With nobody at work, the store is no larger than it may be.
#[test]
fn the_store_is_bounded() {
    let registry = TestRegistry::start();
    for (flags, is_kept) in [(&[][..], true), (&["--keep-bytes", "1"], false)] {
        let server = Server::start(flags);
        let context = tar_gz(&[("Containerfile", "FROM scratch\nCOPY f /f\n"), ("f", "text")]);
        server
            .post(&Form::new(&meta(&registry.host(), "app"), &context))
            .is(200);
        let blobs = files(&server.place.path("store/blobs"));
        assert_eq!(!blobs.is_empty(), is_kept, "{blobs:?}");
    }
}

/// Why a step is not cached is told by a look at the last build of the same image.
#[test]
fn what_has_changed_is_told() {
    let registry = TestRegistry::start();
    let server = Server::start(&[]);
    let log = |tag: &str, text: &str| {
        let context = tar_gz(&[("Containerfile", "FROM scratch\nCOPY f /f\n"), ("f", text)]);
        let image = format!("app:{tag}");
        let form = Form::new(&meta(&registry.host(), &image), &context).header("X-Build-Id", tag);
        server.post(&form).is(200);
        server.get(&format!("/builds/{tag}/log")).body
    };
    assert!(log("one", "1").contains("not cached"));
    assert!(log("two", "1").contains("#2 cached"));
    let text = log("three", "2");
    assert!(text.contains("not cached: f changed"), "{text}");
}

/// A failure is told in words, with what the step wrote.
#[test]
fn a_failed_build_is_told() {
    let registry = TestRegistry::start();
    push_busybox(&registry);
    let server = Server::start(&[]);
    let text = format!("FROM {}/busybox\nRUN echo no luck; exit 3\n", registry.host());
    let answer = server
        .post(&Form::new(
            &meta(&registry.host(), "app"),
            &tar_gz(&[("Containerfile", &text)]),
        ))
        .is(500);
    for part in ["exit code 3", "Containerfile:2", "no luck"] {
        assert!(answer.body.contains(part), "{}", answer.body);
    }
    assert_eq!(server.metric("rbuild_builds_total{result=\"failed\"}"), "1");
}

/// Steps that one machine has built are taken from the shared cache by another.
#[test]
fn machines_share_a_cache() {
    let registry = TestRegistry::start();
    push_busybox(&registry);
    let cache = format!("{}/cache", registry.host());
    let text = format!(
        "FROM {}/busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\n",
        registry.host()
    );
    let build = |image: &str| {
        let server = Server::start(&["--cache-from", &cache, "--cache-to", &cache]);
        let context = tar_gz(&[("Containerfile", &text)]);
        server
            .post(&Form::new(&meta(&registry.host(), image), &context))
            .is(200);
        file(&server, &format!("{}/apps/{image}", registry.host()), "/id")
    };
    assert_eq!(build("one"), build("two"));
}

/// Go's programs pack symlinks without their targets unless told otherwise, and OpenRun's does.
#[test]
fn symlinks_without_a_target_are_passed_over() {
    let registry = TestRegistry::start();
    let server = Server::start(&[]);
    let files = [("Containerfile", "FROM scratch\nCOPY . /\n"), ("f", "text")];
    let context = tar_gz_of_links(&[("link", "")], &files);
    server
        .post(&Form::new(&meta(&registry.host(), "app"), &context))
        .is(200);
    assert_eq!(
        file(&server, &format!("{}/apps/app", registry.host()), "/f"),
        "text"
    );
}

/// A login comes with the request, or lies in the directory for that.
#[test]
fn logins_are_the_caller_s() {
    let registry = TestRegistry::with_auth(Auth::basic("me", "secret"));
    let place = Place::new();
    place.write("files/password", "secret\n");
    place.write("outside", "secret\n");
    // The machine's own login is for what the machine wants.
    let own = json!({ "auths": { registry.host(): { "auth": "bWU6c2VjcmV0" } } }).to_string();
    place.write("home/.docker/config.json", &own);
    let server = Server::start_in(place, &["--registry-files", "files"]);
    let context = tar_gz(&[("Containerfile", "FROM scratch\nENV A=1\n")]);
    for (login, status) in [
        (json!({ "username": "me", "password": "secret" }), 200),
        (json!({ "Username": "me", "PasswordFile": "password" }), 200),
        (json!({ "username": "me", "password_file": "password" }), 200),
        (json!({ "username": "me", "password": "wrong" }), 500),
        (json!({}), 500),
        (json!({ "username": "me", "password_file": "../outside" }), 400),
        (json!({ "username": "me", "password_file": "/etc/passwd" }), 400),
    ] {
        let mut meta = meta("", "app");
        meta["RegistryConfig"] = login.clone();
        meta["RegistryConfig"]["url"] = registry.host().into();
        let answer = server.post(&Form::new(&meta, &context));
        assert_eq!(answer.status, status, "{login}: {}", answer.body);
        assert!(!answer.body.contains("secret"), "{}", answer.body);
    }
}

/// Nobody could be let in without a token, and everybody must not be.
#[test]
fn there_must_be_a_token() {
    let place = Place::new();
    let empty = place.write("empty", " \n");
    for (arguments, expected) in [
        (
            vec!["serve"],
            "there is no token that callers could show: give --token-file, or set RBUILD_SERVE_TOKEN",
        ),
        (
            vec!["serve", "--token-file", empty.to_str().unwrap()],
            "the token is empty",
        ),
    ] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, Some(125));
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
    fs::write(&empty, format!("{TOKEN}\n")).unwrap();
    let server = Server::start_in(place, &["--token-file", empty.to_str().unwrap()]);
    let context = tar_gz(&[("Containerfile", "FROM scratch\nENV A=1\n")]);
    let registry = TestRegistry::start();
    server
        .post(&Form::new(&meta(&registry.host(), "app"), &context))
        .is(200);
}
