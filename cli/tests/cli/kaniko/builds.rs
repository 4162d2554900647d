//! What is built, and what is said.

use super::{Room, text};

#[test]
fn arguments_labels_and_targets() {
    let room = Room::of(
        "ARG A\nARG B\nLABEL a=$A b=$B\nFROM scratch AS wanted\nARG A\nLABEL target=$A\nFROM scratch\nCOPY nosuch /\n",
    );
    let name = room.name("out");
    let mut command = room.command(&[
        "-c",
        "app",
        "-d",
        &name,
        "--build-arg",
        "A=one",
        "--build-arg=B",
        "--label",
        "own=1=2",
        "--target",
        "wanted",
    ]);
    let ran = room
        .place
        .finish(&command.env("B", "of the environment").output().unwrap());
    ran.succeeded();
    let labels = &room.pushed("out").config["config"]["Labels"];
    assert_eq!(
        (&labels["target"], &labels["own"]),
        (&"one".into(), &"1=2".into())
    );
    let labels = room
        .image(&["--build-arg=A=x", "--build-arg=B=y", "--target=0"])
        .config["config"]["Labels"]
        .clone();
    assert_eq!((&labels["a"], &labels["b"]), (&"x".into(), &"y".into()));
}

#[test]
fn platforms() {
    let room = Room::new();
    for flag in ["--custom-platform=linux/arm64", "--customPlatform=linux/arm64"] {
        let image = room.image(&[flag]);
        assert_eq!(
            (&image.config["os"], &image.config["architecture"]),
            (&"linux".into(), &"arm64".into())
        );
    }
}

#[test]
fn compression() {
    let room = Room::new();
    let layer = |image: &rbuild_testutils::flat::Flat| image.manifest["layers"][0].clone();
    let media_type = "application/vnd.oci.image.layer.v1.tar+";
    assert_eq!(layer(&room.image(&[]))["mediaType"], format!("{media_type}gzip"));
    assert_eq!(
        layer(&room.image(&["--compression=zstd"]))["mediaType"],
        format!("{media_type}zstd")
    );
    room.place.write(
        "app/f",
        &"some text, again and again, and numbers 0123456789\n".repeat(2000),
    );
    let size = |level: &str| {
        layer(&room.image(&["--compression-level", level]))["size"]
            .as_u64()
            .unwrap()
    };
    assert!(size("1") > size("9"));
    let name = room.name("out");
    assert!(room.run(&["-c", "app", "-d", &name, "--compression=lzma"]).code != Some(0));
}

/// The same bytes whenever and wherever it is built.
#[test]
fn reproducible() {
    let (one, two) = (Room::new(), Room::new());
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let file = std::fs::File::options()
        .append(true)
        .open(two.place.path("app/f"))
        .unwrap();
    file.set_modified(std::time::SystemTime::now()).unwrap();
    assert_ne!(one.image(&[]).digest, two.image(&[]).digest);
    let (a, b) = (one.image(&["--reproducible"]), two.image(&["--reproducible"]));
    assert_eq!(a.digest, b.digest);
    assert_eq!(
        (&a.config["created"], a.tree["/f"].mtime),
        (&"1970-01-01T00:00:00Z".into(), 0)
    );
}

#[test]
fn one_layer() {
    let room = Room::of("");
    let base = room.name("busybox");
    let lines = "COPY f /f\nCOPY f /d/g\nRUN rm /f && echo h > /h\nENV A=b\nFROM a\nCOPY f /i\n";
    room.place
        .write("app/Dockerfile", &format!("FROM {base} AS a\n{lines}"));
    let many = room.image(&[]);
    let one = room.image(&["--single-snapshot"]);
    assert_eq!((many.layers(), one.layers()), (5, 2));
    assert_eq!(many.config["config"], one.config["config"]);
    assert_eq!(many.history().len(), one.history().len());
    let names = |image: &rbuild_testutils::flat::Flat| image.tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&many), names(&one));
    assert!(!one.tree.contains_key("/f"));
    assert_eq!(
        (text(&one, "/h"), text(&one, "/i")),
        ("h\n".to_owned(), "text\n".to_owned())
    );
}

#[test]
fn ignored_paths() {
    let room = Room::of(
        "RUN mkdir /scratch && echo a | tee /scratch/a /kept /scratches\nRUN ls /scratch > /l 2>/dev/null; true",
    );
    let image = room.image(&["--ignore-path", "/scratch", "--ignore-path=/nosuch"]);
    assert!(!image.tree.contains_key("/scratch") && image.tree.contains_key("/scratches"));
    assert_eq!(
        (text(&image, "/kept"), text(&image, "/l")),
        ("a\n".to_owned(), String::new())
    );
    assert!(room.image(&[]).tree.contains_key("/scratch/a"));
}

#[test]
fn secrets() {
    let room = Room::of(
        "RUN --mount=type=secret,id=a cat /run/secrets/a > /a\nRUN --mount=type=secret,id=b,env=B echo $B > /b",
    );
    room.place.write("secret", "of a file");
    let name = room.name("out");
    let mut command = room.command(&[
        "-c",
        "app",
        "-d",
        &name,
        "--secret=id=a,src=secret",
        "--secret",
        "id=b,env=OURS",
    ]);
    room.place
        .finish(&command.env("OURS", "of a variable").output().unwrap())
        .succeeded();
    let image = room.pushed("out");
    assert_eq!(
        (text(&image, "/a"), text(&image, "/b")),
        ("of a file".to_owned(), "of a variable\n".to_owned())
    );
}

/// What a RUN makes differs each time, so that a result that was found is one that is the same.
#[test]
fn caches() {
    let room = Room::of("RUN cat /proc/sys/kernel/random/uuid > /uuid\nCOPY f /f");
    let made = |flags: &[&str]| text(&room.image(flags), "/uuid");
    assert_ne!(made(&[]), made(&[]));
    assert_ne!(made(&["--cache=false"]), made(&["--cache=false"]));
    let kept = made(&["--cache", "--cache-dir", "kept"]);
    assert_eq!(made(&["--cache=true", "--cache-dir", "kept"]), kept);
    // From the repository beside the image, where it was put.
    assert_eq!(made(&["--cache", "--cache-dir", "another"]), kept);
    for cache in [room.name("results"), "oci:results".to_owned()] {
        let repo = format!("--cache-repo={cache}");
        let in_new = |directory: &str, more: &[&str]| {
            made(&[&["--cache", "--cache-dir", directory, &repo], more].concat())
        };
        let name = |number: u8| format!("{}-{number}", cache.len());
        let unshared = in_new(&name(1), &["--no-push-cache"]);
        let shared = in_new(&name(2), &[]);
        assert_ne!(unshared, shared);
        assert_eq!(in_new(&name(3), &[]), shared);
    }
    assert_ne!(
        made(&["--cache", "--cache-dir", "kept", "--cache-run-layers=false"]),
        kept
    );
    let last = made(&["--cache", "--cache-dir", "kept"]);
    assert_eq!(made(&["--cache", "--cache-dir", "kept", "--cache-ttl=6h"]), last);
    assert_ne!(made(&["--cache", "--cache-dir", "kept", "--cache-ttl=1ms"]), last);
}

#[test]
fn what_is_said() {
    let room = Room::new();
    let said = |flags: &[&str]| room.build(flags).stderr;
    for flag in ["-v=error", "--verbosity=fatal", "-vpanic"] {
        assert_eq!(said(&[flag]), "", "{flag}");
    }
    for flag in ["--verbosity=debug", "--log-format=text", "--log-format=color"] {
        assert!(said(&[flag]).contains("COPY f /f\n"), "{flag}");
    }
    let json = said(&["--log-format", "json"]);
    assert!(
        json.lines()
            .all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "{json}"
    );
    for line in said(&["--log-timestamp"]).lines() {
        let time = line.split(' ').next().unwrap();
        assert!(
            time.len() == 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T',
            "{line}"
        );
    }
    let notices = said(&[
        "--snapshot-mode=redo",
        "--use-new-run",
        "--cleanup",
        "-v",
        "error",
    ]);
    assert_eq!(notices.lines().count(), 3, "{notices}");
    assert!(
        notices.starts_with("notice: --cleanup changes nothing: "),
        "{notices}"
    );
    for flag in ["--nosuch", "--verbosity=loud", "--log-format=xml"] {
        let failed = room.run(&["-c", "app", "--no-push", flag]);
        assert!(
            failed.code != Some(0) && failed.stderr.starts_with("error: "),
            "{flag}: {}",
            failed.stderr
        );
    }
}

/// The same by the name of the command.
#[test]
fn by_a_command() {
    let room = Room::new();
    let name = room.name("out");
    room.place
        .run(["kaniko", "-c", "app", "--destination", &name])
        .succeeded();
    assert_eq!(text(&room.pushed("out"), "/f"), "text\n");
    let help = room.run(&["--help"]).succeeded().stdout;
    assert!(
        help.contains("--image-name-tag-with-digest-file VALUE") && help.contains("snapshot-mode"),
        "{help}"
    );
}
