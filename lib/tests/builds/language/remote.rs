//! ADD of URLs and of git repositories, and contexts that come from there.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rbuild::{
    Build, Event,
    build::{Context, NamedContext},
};
use rbuild_testutils::{
    git::GitServer,
    web::{Asked, Reply, WebServer},
};

use crate::common::{Made, Room, case};

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// `tar` with a file `f`, and a Containerfile that copies it.
fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in [("f", "text\n"), ("Containerfile", "FROM scratch\nCOPY f /g\n")] {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o640);
        header.set_mtime(1000);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A server with a file that it knows the time and the version of, one that it does not, and a tar.
fn server() -> WebServer {
    WebServer::start(|asked: &Asked| match asked.target.as_str() {
        "/dir/file.txt?x" if asked.header("if-none-match") == Some("\"1\"") => Reply::status(304, ""),
        "/dir/file.txt?x" => Reply::ok("text\n")
            .with("ETag", "\"1\"")
            .with("Last-Modified", DATE),
        "/plain" | "/" => Reply::ok("plain\n"),
        "/called" => {
            Reply::ok("called\n").with("Content-Disposition", "attachment; filename=\"x/given name\"")
        }
        "/f.tar" => Reply::ok(archive()),
        "/Containerfile" => Reply::ok("FROM scratch\nCOPY <<x /x\nhello\nx\n"),
        _ => Reply::status(404, ""),
    })
}

#[test]
fn a_url_becomes_a_file() {
    let server = server();
    let url = |path| server.url(path);
    let made = |containerfile: String| case(&containerfile).made().unwrap();
    made(format!("FROM scratch\nADD {} /d/", url("/dir/file.txt?x")))
        .times("/d d755 @now\n/d/file.txt f600 @784111777 text")
        .history(&format!("ADD {} /d/ # buildkit", url("/dir/file.txt?x")));
    made(format!(
        "FROM scratch\nADD --chmod=640 --chown=7:8 {} /f",
        url("/plain")
    ))
    .times("/f f640 7:8 @0 plain");
    made(format!("FROM scratch\nWORKDIR /w\nADD {} .", url("/"))).tree("/w d755\n/w/__unnamed__ f600 plain");
    // Whatever the server calls it.
    made(format!("FROM scratch\nADD {} /d/", url("/called"))).tree("/d d755\n/d/called f600 called");
    made(
        format!(
            "FROM scratch\nARG H={}\nADD $H/plain $H/dir/file.txt?x /d/",
            server.host()
        )
        .replace("H=", "H=http://"),
    )
    .tree("/d d755\n/d/file.txt f600 text\n/d/plain f600 plain");
}

#[test]
fn archives_behind_urls_are_unpacked_only_if_they_shall_be() {
    let server = server();
    let url = server.url("/f.tar");
    let size = archive().len();
    for (flag, expected) in [
        ("", format!("/d d755\n/d/f.tar f600 {size} bytes")),
        ("--unpack=false", format!("/d d755\n/d/f.tar f600 {size} bytes")),
        (
            "--unpack",
            "/d d755\n/d/Containerfile f640 FROM scratch\\nCOPY f /g\n/d/f f640 text".to_owned(),
        ),
    ] {
        case(&format!("FROM scratch\nADD {flag} {url} /d/")).makes(&expected);
    }
    let plain = server.url("/plain");
    case(&format!("FROM scratch\nADD --unpack {plain} /d/")).makes("/d d755\n/d/plain f600 plain");
}

#[test]
fn checksums_of_urls() {
    let server = server();
    let url = server.url("/plain");
    let right = rbuild::Digest::of("plain\n");
    let wrong = rbuild::Digest::of("other");
    case(&format!("FROM scratch\nADD --checksum={right} {url} /f")).makes("/f f600 plain");
    for (line, expected) in [
        (
            format!("--checksum={wrong} {url} /f"),
            format!("{url}: expected {wrong}, got {right}"),
        ),
        (
            format!("--checksum=sha512:00 {url} /f"),
            "only sha256 is".to_owned(),
        ),
        (
            format!("--checksum={right} {url} {url} /f/"),
            "exactly one source".to_owned(),
        ),
        (
            format!("--checksum={right} file /f"),
            "exactly one source".to_owned(),
        ),
        (
            format!("{} /f", server.url("/none")),
            format!(
                "cannot download {}: the server answers 404 Not Found",
                server.url("/none")
            ),
        ),
    ] {
        let case = case(&format!("FROM scratch\nADD {line}")).file("file", "");
        case.fails(&expected);
    }
}

/// Builds again and again in one store, and counts the steps that were done.
struct Again {
    room: Room,
    containerfile: String,
}

impl Again {
    fn new(containerfile: String) -> Self {
        let room = Room::new();
        Self { room, containerfile }
    }

    /// The image, and how many steps were not found in the cache.
    fn build(&self, change: impl FnOnce(Build) -> Build) -> (Made, usize) {
        let missed = Arc::new(AtomicUsize::new(0));
        let count = missed.clone();
        let build = change(self.room.build(&self.containerfile)).on_event(move |event| {
            if matches!(event, Event::StepMissed { .. }) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let built = self.room.run(build).unwrap();
        (Made(self.room.flat(&built)), missed.load(Ordering::Relaxed))
    }
}

#[test]
fn an_unchanged_url_costs_one_question() {
    let version = Arc::new(Mutex::new("one"));
    let now = version.clone();
    let server = WebServer::start(move |asked| {
        let version = *now.lock().unwrap();
        match asked.header("if-none-match") {
            Some(known) if known == version => Reply::status(304, ""),
            _ => Reply::ok(version).with("ETag", version),
        }
    });
    let url = server.url("/f");
    let again = Again::new(format!(
        "FROM scratch\nADD {url} /f\nFROM scratch\nADD {url} /f\nADD {url} /g"
    ));
    let (first, missed) = again.build(|build| build);
    assert_eq!(
        (missed, server.asked().len()),
        (2, 1),
        "one request for all ADDs of one URL"
    );
    let (second, missed) = again.build(|build| build);
    let asked = server.asked();
    assert_eq!((missed, asked.len()), (0, 1));
    assert_eq!(asked[0].header("if-none-match"), Some("one"));
    assert_eq!(first.0.digest, second.0.digest);
    *version.lock().unwrap() = "two";
    let (third, missed) = again.build(|build| build);
    assert_eq!((missed, server.asked().len()), (2, 1));
    third.tree("/f f600 two\\c\n/g f600 two\\c");
    let (_, missed) = again.build(Build::no_cache);
    assert_eq!(missed, 2);
    assert_eq!(server.asked()[0].header("if-none-match"), None);
}

#[test]
fn what_a_checksum_names_is_not_asked_for_again() {
    let server = server();
    let sum = rbuild::Digest::of("plain\n");
    let again = Again::new(format!(
        "FROM scratch\nADD --checksum={sum} {} /f",
        server.url("/plain")
    ));
    again.build(|build| build);
    assert_eq!(server.asked().len(), 1);
    let (_, missed) = again.build(|build| build);
    assert_eq!((missed, server.asked().len()), (0, 0));
    // Pruning keeps what a step's record names.
    again.room.store.prune(None, &rbuild::store::Plain).unwrap();
    again.build(|build| build);
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn a_repository_becomes_a_directory() {
    let Some(server) = GitServer::start() else { return };
    let repository = server.repository("repo");
    let commit = repository.write("d/f", "text\n").write("g", "").commit("one");
    repository.git(&["tag", "v1"]);
    let url = server.url("repo");
    let made = |line: &str| case(&format!("FROM scratch\nADD {line}")).made().unwrap();
    made(&format!("{url} /"))
        .times("/d d755 @now\n/d/f f644 @now text\n/g f644 @now")
        .history(&format!("ADD {url} / # buildkit"));
    made(&format!("{url}#v1:d /x")).tree("/x d755\n/x/f f644 text");
    made(&format!("--chown=7:8 --exclude=g --chmod=600 {url}?tag=v1 /x/"))
        .tree("/x d600 7:8\n/x/d d600 7:8\n/x/d/f f600 7:8 text");
    made(&format!("--checksum={commit} {url}#v1:d /x")).tree("/x d755\n/x/f f644 text");
    let kept = made(&format!("--keep-git-dir {url} /x"));
    assert!(kept.0.tree.contains_key("/x/.git/HEAD"));
    for (line, expected) in [
        (
            format!("--checksum=0000 {url} /x"),
            format!("{url}: expected 0000, got {commit}"),
        ),
        (
            format!("--checksum=sha256:00 {url} /x"),
            "of a git repository is a commit".to_owned(),
        ),
        (
            format!("{url}#none /x"),
            "it has no branch, tag or commit \"none\"".to_owned(),
        ),
        (format!("{url}?x=1 /x"), "no option x".to_owned()),
    ] {
        case(&format!("FROM scratch\nADD {line}")).fails(&expected);
    }
}

#[test]
fn a_repository_is_fetched_when_its_branch_has_moved() {
    let Some(server) = GitServer::start() else { return };
    let repository = server.repository("repo");
    repository.write("f", "one\n").commit("one");
    let again = Again::new(format!("FROM scratch\nADD {} /", server.url("repo")));
    let (first, missed) = again.build(|build| build);
    assert_eq!(missed, 1);
    server.served();
    let (second, missed) = again.build(|build| build);
    assert_eq!((missed, server.served()), (0, 1), "one question");
    assert_eq!(first.0.digest, second.0.digest);
    repository.write("f", "two\n").commit("two");
    let (third, missed) = again.build(|build| build);
    assert_eq!(missed, 1);
    third.tree("/f f644 two");
}

#[test]
fn contexts_from_elsewhere() {
    let web = server();
    let Some(server) = GitServer::start() else { return };
    let repository = server.repository("repo");
    repository
        .write("app/Containerfile", "FROM scratch\nCOPY . /x/\n")
        .write("app/.dockerignore", "hidden\nContainerfile\n.dockerignore\n")
        .write("app/hidden", "")
        .write("app/run", "#!\n")
        .write("Dockerfile", "FROM scratch\nADD app/run /r\n");
    fs::set_permissions(
        repository.path().join("app/run"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    repository.commit("all");
    repository.git(&["branch", "release"]);
    let url = server.url("repo");
    for (address, file, expected) in [
        (url.clone(), None, "/r f755 #!"),
        (format!("{url}#release:app"), None, "/x d755\n/x/run f755 #!"),
        (url.clone(), Some("Dockerfile"), "/r f755 #!"),
        (web.url("/f.tar"), None, "/g f640 text"),
        (web.url("/Containerfile"), None, "/x f644 hello"),
    ] {
        let room = Room::new();
        for round in 0..2 {
            let mut build = Build::from_context(Context::Remote(address.clone()));
            if let Some(file) = file {
                build = build.containerfile_in_context(file);
            }
            let built = room
                .run(build)
                .unwrap_or_else(|error| panic!("{address}: {error}"));
            Made(room.flat(&built)).tree(expected);
            if address.starts_with("git") {
                // To ask what the branch is, and once to fetch.
                assert_eq!(server.served(), 2 - round, "{address}");
            }
        }
    }
    for (address, expected) in [
        (web.url("/plain"), "the Containerfile has mistakes"),
        (web.url("/none"), "404"),
        ("nowhere".to_owned(), "it is neither a git repository nor a URL"),
        (format!("{url}#:none"), "has no directory \"none\""),
    ] {
        let build = Build::from_context(Context::Remote(address.clone()));
        let error = Room::new().run(build).err().unwrap().to_string();
        assert!(error.contains(expected), "{address}: {error}");
    }
}

#[test]
fn addresses_of_contexts() {
    for (text, expected) in [
        ("https://h/x.tar", true),
        ("http://h", true),
        ("https://h/r.git?x=1", true),
        ("git@h:r", true),
        ("github.com/a/b", true),
        ("ssh://h/r", true),
        ("dir", false),
        ("./r.git", false),
        ("docker://alpine", false),
        ("oci-layout://dir", false),
        ("ftp://h/x", false),
    ] {
        assert_eq!(Context::is_address(text), expected, "{text}");
    }
}

#[test]
fn named_contexts_from_elsewhere() {
    let web = server();
    let Some(server) = GitServer::start() else { return };
    server.repository("repo").write("d/f", "git\n").commit("one");
    for (address, path, expected) in [
        (format!("{}#:d", server.url("repo")), "f", "/x f644 git"),
        (web.url("/f.tar"), "f", "/x f640 text"),
        (web.url("/dir/file.txt?x"), "file.txt", "/x f600 text"),
        (web.url("/called"), "given?name", "/x f600 called"),
        (web.url("/"), "download", "/x f600 plain"),
    ] {
        let containerfile = format!("FROM scratch\nCOPY --from=other {path} /x");
        case(&containerfile)
            .with(|build| build.build_context("other", NamedContext::Remote(address)))
            .makes(expected);
    }
    let address = format!("{}#:d", server.url("repo"));
    let case = case("FROM busybox\nRUN --mount=from=other,target=/m cat /m/f > /x");
    case.with(|build| build.build_context("other", NamedContext::Remote(address)))
        .makes("/x f644 git");
}
