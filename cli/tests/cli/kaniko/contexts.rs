//! Where files come from.

use std::process::Command;

use rbuild_testutils::{
    git::GitServer,
    web::{Reply, WebServer},
};

use super::{Room, text};

/// The context in `app`, and all of it again in `app/sub` with another file, as a tar.
fn tar(room: &Room, compressed: bool) -> Vec<u8> {
    room.place
        .write("app/sub/Dockerfile", "FROM scratch\nCOPY f /f\n");
    room.place.write("app/sub/f", "below\n");
    let flag = if compressed { "-cz" } else { "-c" };
    let output = Command::new("tar")
        .args([flag, "-C"])
        .arg(room.place.path("app"))
        .arg(".")
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

/// Builds with these flags alone; the text of the only file.
fn built(room: &Room, arguments: &[&str]) -> String {
    let name = room.name("out");
    room.run(&[&["-d", &name], arguments].concat()).succeeded();
    text(&room.pushed("out"), "/f")
}

#[test]
fn directories() {
    let room = Room::new();
    tar(&room, false);
    let app = room.place.path("app").display().to_string();
    for context in ["app", &app, &format!("dir://{app}")] {
        assert_eq!(built(&room, &["-c", context]), "text\n", "{context}");
        let below = ["--context", context, "--context-sub-path", "sub"];
        assert_eq!(built(&room, &below), "below\n", "{context}");
    }
    // Here, in the context, or of an absolute path.
    room.place.write("here", "FROM scratch\nCOPY sub/f /f\n");
    for file in ["here", &room.place.path("here").display().to_string()] {
        assert_eq!(
            built(&room, &["-c", "app", "--dockerfile", file]),
            "below\n",
            "{file}"
        );
    }
    room.place.write("app/Other", "FROM scratch\nCOPY Other /f\n");
    assert!(built(&room, &["-c", "app", "-f", "Other"]).contains("COPY Other"));
}

#[test]
fn tars() {
    let room = Room::new();
    for (name, compressed) in [("a.tar", false), ("a.tar.gz", true)] {
        std::fs::write(room.place.path(name), tar(&room, compressed)).unwrap();
        let context = format!("tar://{name}");
        assert_eq!(built(&room, &["-c", &context]), "text\n");
        assert_eq!(
            built(&room, &["-c", &context, "--context-sub-path=sub"]),
            "below\n"
        );
    }
    for compressed in [false, true] {
        let name = room.name("stdin");
        let command = room.command(&["--context", "tar://stdin", "--destination", &name]);
        let context = tar(&room, compressed);
        room.place.feed(command, &context).succeeded();
        assert_eq!(text(&room.pushed("stdin"), "/f"), "text\n");
    }
    let failed = room.run(&["-c", "tar://a.tar", "--no-push", "--context-sub-path", "nosuch"]);
    assert!(
        failed.stderr.contains("the context has no directory nosuch"),
        "{}",
        failed.stderr
    );
}

#[test]
fn object_stores() {
    let room = Room::new();
    let body = tar(&room, true);
    let server = WebServer::start(move |asked| {
        let signed = asked
            .target
            .starts_with("/bucket/dir/a%20b.tgz?X-Amz-Algorithm=AWS4-HMAC-SHA256&")
            && asked.target.contains("&X-Amz-Security-Token=session%2F&")
            && asked.target.contains("&X-Amz-Signature=");
        let token = asked.target == "/storage/v1/b/bucket/o/dir%2Fa.tgz?alt=media"
            && asked.header("authorization") == Some("Bearer token");
        match signed || token {
            true => Reply::ok(body.clone()),
            false => Reply::status(403, "no"),
        }
    });
    let name = room.name("out");
    let run = |context: &[&str]| {
        let mut command = room.command(&[&["-d", &name], context].concat());
        command
            .env("AWS_ACCESS_KEY_ID", "access")
            .env("AWS_SECRET_ACCESS_KEY", "hidden")
            .env("AWS_SESSION_TOKEN", "session/")
            .env("S3_ENDPOINT", server.url(""))
            .env("S3_FORCE_PATH_STYLE", "true")
            .env("STORAGE_EMULATOR_HOST", server.url(""))
            .env("GOOGLE_OAUTH_ACCESS_TOKEN", "token");
        room.place.finish(&command.output().unwrap())
    };
    run(&["-c", "s3://bucket/dir/a b.tgz"]).succeeded();
    assert_eq!(text(&room.pushed("out"), "/f"), "text\n");
    run(&["-c", "gs://bucket/dir/a.tgz", "--context-sub-path", "sub"]).succeeded();
    assert_eq!(text(&room.pushed("out"), "/f"), "below\n");
    run(&["--bucket", "bucket", "-c", "dir/a.tgz"]).succeeded();
    let failed = run(&["-c", "s3://bucket/other"]);
    assert_eq!(
        failed.stderr,
        "error: cannot fetch s3://bucket/other: the server answers 403 Forbidden (no)\n"
    );
}

#[test]
fn web_servers() {
    let room = Room::new();
    let body = tar(&room, true);
    let server = WebServer::start(move |_| Reply::ok(body.clone()));
    assert_eq!(built(&room, &["-c", &server.url("/app.tar.gz")]), "text\n");
    assert_eq!(
        built(
            &room,
            &["-c", &server.url("/app.tar.gz"), "--context-sub-path", "sub"]
        ),
        "below\n"
    );
    let failed = room.run(&["-c", "ftp://host/x", "--no-push"]);
    assert!(
        failed.stderr.contains("expected dir://, tar://, git://"),
        "{}",
        failed.stderr
    );
}

#[test]
fn repositories() {
    let room = Room::new();
    let Some(git) = GitServer::start() else { return };
    let repository = git.repository("app");
    repository
        .write("Dockerfile", "FROM scratch\nCOPY f /f\n")
        .write("f", "first\n")
        .write("sub/Dockerfile", "FROM scratch\nCOPY f /f\n")
        .write("sub/f", "below\n");
    let first = repository.commit("first");
    repository.git(&["branch", "other"]);
    repository.write("f", "second\n").commit("second");
    repository.publish();
    let server = git.plain_files();
    let context = format!("git://{}/app/.git", server.host());
    let built = |context: &str, more: &[&str]| {
        let name = room.name("out");
        let mut command = room.command(&[&["-d", &name, "-c", context], more].concat());
        command.env("GIT_PULL_METHOD", "http");
        room.place.finish(&command.output().unwrap()).succeeded();
        text(&room.pushed("out"), "/f")
    };
    assert_eq!(built(&context, &[]), "second\n");
    assert_eq!(
        built(&context, &["--git", "branch=other,single-branch=true"]),
        "first\n"
    );
    assert_eq!(built(&format!("{context}#refs/heads/other"), &[]), "first\n");
    assert_eq!(
        built(&format!("{context}#refs/heads/main#{first}"), &[]),
        "first\n"
    );
    assert_eq!(built(&context, &["--context-sub-path", "sub"]), "below\n");
}
