//! The commands that move images and look into them.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use rbuild_testutils::registry::{Auth, Kind, TestRegistry};

use crate::common::{BUSYBOX, Place, Ran, push_busybox};

/// The base image in `busybox:latest` of a registry, and a place to work in.
fn with_registry() -> (Place, TestRegistry) {
    let registry = TestRegistry::start();
    push_busybox(&registry);
    (Place::new(), registry)
}

fn digest_of_busybox() -> String {
    let index = fs::read(format!("{BUSYBOX}/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn copies_go_everywhere_and_say_what_moved() {
    let (place, registry) = with_registry();
    let from = format!("docker://{}/busybox", registry.host());
    let to = format!("docker://{}/copy:1", registry.host());
    let digest = digest_of_busybox();
    let first = place.run(["copy", "--progress=plain", &format!("oci:{BUSYBOX}"), &to]);
    assert!(
        first
            .stderr
            .ends_with(&format!("wrote docker://127.0.0.1:[PORT]/copy:1 {digest}\n")),
        "{}",
        first.stderr
    );
    first.succeeded();
    let places = [
        "oci:layout:app",
        "oci-archive:oci.tar:app",
        "dir:dir",
        "store:app",
    ];
    for to in places {
        let ran = place
            .run(["copy", "-q", "--digestfile=digest", &from, to])
            .succeeded();
        assert_eq!((ran.stdout, ran.stderr), (format!("{digest}\n"), String::new()));
        assert_eq!(fs::read_to_string(place.path("digest")).unwrap(), digest);
        assert_eq!(
            place.run(["digest", to]).succeeded().stdout,
            format!("{digest}\n")
        );
    }
    place.run(["copy", "--additional-tag=2", &from, &to]).succeeded();
    let tags = place.run(["tags", &format!("{}/copy", registry.host())]);
    assert_eq!(tags.succeeded().stdout, "1\n2\n");
}

#[test]
fn a_copy_needs_two_places() {
    let place = Place::new();
    place.run(["copy", "busybox", "dir:x"]).failed(
        125,
        "\
error: invalid value 'busybox' for '<SRC>': \"busybox\" does not say what kind of place it is: write docker://, oci:, oci-archive:, docker-archive:, dir: or store: before it

For more information, try '--help'.
",
    );
    place.run(["copy", "store:nothing", "dir:x"]).failed(
        125,
        "error: no image \"nothing\" in [DIR]/store\nhint: `rbuild images` lists those there are\n",
    );
}

#[test]
fn what_a_registry_does_not_have_is_named() {
    let (place, registry) = with_registry();
    let name = format!("{}/nothing", registry.host());
    let expected = "\
error: 127.0.0.1:[PORT]/nothing: no such image in the registry (MANIFEST_UNKNOWN: manifest unknown)
hint: check the spelling of the name and the tag
";
    let ran = place.run(["inspect", &name]);
    assert_eq!(ran.stderr, expected);
    assert_eq!(ran.code, Some(125));
}

#[test]
fn pull_tag_and_push() {
    let (place, registry) = with_registry();
    let base = format!("{}/busybox", registry.host());
    place.run(["pull", "-q", &base]).succeeded();
    place.run(["tag", &base, "mine", "mine:2"]).succeeded();
    let listed = place.run(["images"]).succeeded().stdout;
    assert!(
        listed.contains("\nmine:latest ") && listed.contains("\nmine:2 "),
        "{listed}"
    );
    let to = format!("{}/pushed:1", registry.host());
    let pushed = place.run(["push", "-q", "mine:2", &to]).succeeded().stdout;
    assert_eq!(pushed, digest_of_busybox() + "\n");
    assert!(registry.manifest("pushed", "1").is_some());
    place.run(["tag", "nothing", "x"]).failed(
        125,
        "error: no image \"nothing\" in [DIR]/store\nhint: `rbuild images` lists those there are\n",
    );
}

#[test]
fn a_push_takes_the_base_from_where_it_came() {
    let (place, registry) = with_registry();
    let base = format!("{}/busybox:latest", registry.host());
    let name = format!("{}/app:1", registry.host());
    place.write("app/Containerfile", &format!("FROM {base}\nENV A=1\n"));
    place.run(["build", "-q", "-t", &name, "app"]).succeeded();
    let layers = |registry: &TestRegistry| registry.blob_bytes_sent();
    let before = layers(&registry);
    let inspected = place.run(["inspect", &name]).succeeded().stdout;
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    let annotations = &inspected["annotations"];
    assert_eq!(
        annotations["org.opencontainers.image.base.name"],
        "127.0.0.1:[PORT]/busybox:latest"
    );
    assert_eq!(
        annotations["org.opencontainers.image.base.digest"],
        digest_of_busybox()
    );
    place.run(["push", &name]).succeeded();
    assert_eq!(layers(&registry), before, "layers were mounted, not moved");
    assert!(registry.count(Kind::Mount) > 0);
    let other = TestRegistry::start();
    let elsewhere = format!("{}/app:1", other.host());
    place.run(["push", &name, &elsewhere]).succeeded();
    assert!(layers(&registry) > before);
    let valid = place
        .run(["validate", &format!("docker://{elsewhere}")])
        .succeeded();
    assert!(
        valid.stdout.starts_with("valid: 1 manifests, 2 blobs, "),
        "{}",
        valid.stdout
    );
}

#[test]
fn inspect_prints_what_there_is_byte_for_byte() {
    let (place, registry) = with_registry();
    let image = format!("docker://{}/busybox", registry.host());
    let raw = place
        .command(["inspect", "--raw", &image])
        .output()
        .unwrap()
        .stdout;
    assert_eq!(Some(raw), registry.manifest("busybox", "latest"));
    let config = place
        .command(["inspect", "--config", &image])
        .output()
        .unwrap()
        .stdout;
    let inspected = place.run(["inspect", &image]).succeeded().stdout;
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(inspected["config"], config["config"]);
    assert_eq!(inspected["digest"], digest_of_busybox());
    assert_eq!(inspected["layers"][0]["diffId"], config["rootfs"]["diff_ids"][0]);
}

#[test]
fn a_deleted_image_is_gone() {
    let (place, registry) = with_registry();
    let name = format!("{}/busybox:latest", registry.host());
    assert_eq!(
        place.run(["delete", &name]).succeeded().stdout,
        "deleted 127.0.0.1:[PORT]/busybox:latest\n"
    );
    assert_eq!(registry.manifest("busybox", "latest"), None);
}

#[test]
fn what_is_wrong_with_an_image_is_listed() {
    let place = Place::new();
    let layout = place.copy_of_busybox();
    let image = format!("oci:{}", layout.display());
    place.run(["validate", &image]).succeeded();
    let inspected = place.run(["inspect", &image]).succeeded().stdout;
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    let layer = inspected["layers"][0]["digest"].as_str().unwrap();
    let size = inspected["layers"][0]["size"].as_u64().unwrap() as usize;
    let blob = layout.join("blobs").join(layer.replace(':', "/"));
    fs::write(blob, vec![0; size]).unwrap();
    let ran = place.run(["validate", &image]);
    assert!(ran.stdout.starts_with(&format!("{layer}: ")), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("is damaged: its bytes have digest"),
        "{}",
        ran.stdout
    );
    assert_eq!(ran.stdout.lines().count(), 1);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(125), "error: oci:[DIR]/busybox is not valid\n")
    );
}

#[test]
fn files_of_an_image_are_listed_and_printed() {
    let place = Place::new();
    let hello = fs::File::options()
        .write(true)
        .open(place.write("app/hello", "hello\n"));
    let second_day = SystemTime::UNIX_EPOCH + Duration::from_secs(86400);
    hello.unwrap().set_modified(second_day).unwrap();
    place.write(
        "app/Containerfile",
        "FROM scratch\nCOPY --chown=7:8 --chmod=640 hello /etc/\nCOPY links /\n",
    );
    fs::create_dir(place.path("app/links")).unwrap();
    std::os::unix::fs::symlink("/etc", place.path("app/links/link")).unwrap();
    place
        .run([
            "build",
            "-q",
            "--build-arg=SOURCE_DATE_EPOCH=86400",
            "-t",
            "app",
            "app",
        ])
        .succeeded();
    assert_eq!(
        place.run(["cat", "app", "/link/hello"]).succeeded().stdout,
        "hello\n"
    );
    let listed = place.run(["ls", "app", "link"]).succeeded().stdout;
    assert_eq!(listed, "-rw-r-----  7:8  6  1970-01-02 00:00  hello\n");
    let all = place.run(["ls", "-R", "app"]).succeeded().stdout;
    let names: Vec<&str> = all.lines().filter_map(|line| line.split("  ").last()).collect();
    assert_eq!(names, ["etc", "etc/hello", "link -> /etc"]);
    place
        .run(["cat", "app", "nothing"])
        .failed(125, "error: the image has no /nothing\n");
    place
        .run(["cat", "app", "link"])
        .failed(125, "error: /etc is no regular file\n");
}

/// `rbuild login` with this password on standard input.
fn login(place: &Place, host: &str, password: &str) -> Ran {
    let command = place.command(["login", "-u", "me", "--password-stdin", host]);
    place.feed(command, format!("{password}\n").as_bytes())
}

#[test]
fn a_login_is_tried_and_kept_until_logout() {
    let place = Place::new();
    let registry = TestRegistry::with_auth(Auth::token("me", "secret"));
    push_busybox(&registry);
    let (host, image) = (registry.host(), format!("{}/busybox", registry.host()));
    let wrong = login(&place, &host, "wrong");
    assert_eq!(wrong.code, Some(125));
    assert!(!place.path("home/.docker/config.json").exists());
    assert!(!wrong.stderr.contains("wrong"), "{}", wrong.stderr);
    assert_ne!(place.run(["digest", &image]).code, Some(0));
    let kept = "logged in to 127.0.0.1:[PORT]; kept in [DIR]/home/.docker/config.json\n";
    assert_eq!(login(&place, &host, "secret").succeeded().stdout, kept);
    place.run(["digest", &image]).succeeded();
    let gone = place.run(["logout", &host]).succeeded().stdout;
    assert_eq!(gone, "logged out of 127.0.0.1:[PORT]\n");
    assert_ne!(place.run(["digest", &image]).code, Some(0));
    place
        .run(["logout", &host])
        .failed(125, "error: there is no login for 127.0.0.1:[PORT]\n");
}
