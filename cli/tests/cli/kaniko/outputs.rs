//! Where the image goes.

use std::fs;

use rbuild_testutils::{
    flat::Flat,
    registry::Kind,
    web::{Reply, WebServer},
};

use super::Room;

#[test]
fn names_and_the_files_that_list_them() {
    let room = Room::new();
    let (one, two) = (room.name("one:1"), room.name("two"));
    room.run(&[
        "-c",
        "app",
        "-d",
        &one,
        "-d",
        &two,
        "--digest-file",
        "digest",
        "--image-name-with-digest-file",
        "names",
        "--image-name-tag-with-digest-file",
        "tags",
    ])
    .succeeded();
    let read = |name: &str| fs::read_to_string(room.place.path(name)).unwrap();
    let digest = read("digest");
    assert_eq!(digest, room.pushed("one:1").digest);
    assert_eq!(digest, room.pushed("two").digest);
    let host = room.registry.host();
    assert_eq!(
        read("names"),
        format!("{host}/one@{digest}\n{host}/two@{digest}\n")
    );
    assert_eq!(
        read("tags"),
        format!("{host}/one:1@{digest}\n{host}/two:latest@{digest}\n")
    );
}

#[test]
fn without_a_push() {
    let room = Room::new();
    let destination = room.name("out");
    for flags in [&["--no-push"][..], &["--no-push=true"]] {
        let files = [
            "--tar-path",
            "a.tar",
            "--oci-layout-path",
            "layout",
            "--digest-file",
            "digest",
        ];
        room.run(&[&["-c", "app", "-d", &destination], &files[..], flags].concat())
            .succeeded();
        assert_eq!(room.registry.count(Kind::ManifestPut), 0);
        let digest = fs::read_to_string(room.place.path("digest")).unwrap();
        assert_eq!(Flat::read(&room.place.path("layout")).unwrap().digest, digest);
        room.place.run(["inspect", "docker-archive:a.tar"]).succeeded();
        let archive = fs::read(room.place.path("a.tar")).unwrap();
        let archive = String::from_utf8_lossy(&archive).into_owned();
        assert!(archive.contains(&format!("{destination}:latest")));
    }
    let failed = room.run(&["-c", "app"]);
    assert!(
        failed.stderr.contains("give a --destination, or --no-push"),
        "{}",
        failed.stderr
    );
    let mut command = room.command(&["-c", "app"]);
    room.place
        .finish(&command.env("KANIKO_NO_PUSH", "true").output().unwrap())
        .succeeded();
}

/// As registries with immutable tags answer.
#[test]
fn tags_that_may_not_be_moved() {
    let room = Room::new();
    let server = WebServer::start(|asked| match asked.method.as_str() {
        "PUT" => Reply::status(
            400,
            "{\"errors\":[{\"code\":\"TAG_INVALID\",\"message\":\"The image tag '1' already exists in the repository \
             and cannot be overwritten because the tag is immutable.\"}]}",
        ),
        "HEAD" if asked.target.contains("/manifests/") => Reply::status(404, ""),
        _ => Reply::ok(""),
    });
    let name = format!("{}/out:1", server.host());
    let failed = room.run(&["-c", "app", "-d", &name]);
    assert!(
        failed.code != Some(0) && failed.stderr.contains("immutable"),
        "{}",
        failed.stderr
    );
    let fine = room.run(&["-c", "app", "-d", &name, "--push-ignore-immutable-tag-errors"]);
    assert!(fine.stderr.contains("notice: "), "{}", fine.stderr);
    fine.succeeded();
}
