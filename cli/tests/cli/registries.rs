//! Flags about registries, many images at once, and what comes from the definition of the command line.

use std::fs;

use rbuild_testutils::registry::{Auth, Kind, TestRegistry};

use crate::common::{BUSYBOX, Place, push_busybox};

#[test]
fn a_login_may_be_given_with_the_command() {
    let place = Place::new();
    let registry = TestRegistry::with_auth(Auth::token("me", "secret"));
    push_busybox(&registry);
    let image = format!("{}/busybox", registry.host());
    assert_ne!(place.run(["digest", &image]).code, Some(0));
    place.run(["digest", &image, "--creds=me:secret"]).succeeded();
    let of_host = format!("--creds={}=me:secret", registry.host());
    place.run(["digest", &image, &of_host]).succeeded();
    assert_ne!(
        place
            .run(["digest", &image, "--creds=other.example=me:secret"])
            .code,
        Some(0)
    );
    let ran = place.run(["digest", &image, "--creds=me"]);
    assert!(ran.stderr.contains("say --password-stdin"), "{}", ran.stderr);
    let command = place.command(["digest", &image, "--creds=me", "--password-stdin"]);
    place.feed(command, b"secret\n").succeeded();
    // me:secret
    let logins = format!(
        r#"{{"auths":{{"{}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#,
        registry.host()
    );
    let file = place.write("logins.json", &logins);
    place
        .run(["digest", &image, "--authfile", file.to_str().unwrap()])
        .succeeded();
    place.write("Containerfile", "FROM scratch\n");
    let build = place.run(["build", "--creds=me:secret", "."]);
    assert!(
        build.stderr.contains("say which one --creds is for"),
        "{}",
        build.stderr
    );
}

#[test]
fn mirrors_and_short_names_are_heeded() {
    let (place, registry) = (Place::new(), TestRegistry::start());
    push_busybox(&registry);
    let host = registry.host();
    let text = format!(
        "[[registry]]\nprefix = \"far.example\"\nlocation = \"{host}\"\n\
         [[registry]]\nlocation = \"blocked.example\"\nblocked = true\n\
         [aliases]\nshort = \"{host}/busybox\"\n"
    );
    let file = place.write("registries.conf", &text);
    let conf = format!("--registries-conf={}", file.display());
    let expected = place
        .run(["digest", &format!("{host}/busybox")])
        .succeeded()
        .stdout;
    for name in ["far.example/busybox", "short", "short:latest"] {
        assert_eq!(
            place.run(["digest", name, &conf]).succeeded().stdout,
            expected,
            "{name}"
        );
    }
    let blocked = place.run(["digest", "blocked.example/x", &conf]);
    assert!(
        blocked.stderr.contains("registries.conf blocks this registry"),
        "{}",
        blocked.stderr
    );
    place.run(["pull", "-q", "short", &conf]).succeeded();
    place
        .run(["copy", "-q", "docker://far.example/busybox", "dir:copied", &conf])
        .succeeded();
}

#[test]
fn short_names_are_looked_for_in_builds_too() {
    let (empty, registry) = (TestRegistry::start(), TestRegistry::start());
    push_busybox(&registry);
    let search = format!(
        "unqualified-search-registries = [\"{}\", \"{}\"]\n",
        empty.host(),
        registry.host()
    );
    let alias = format!("[aliases]\nother = \"{}/busybox\"\n", registry.host());
    for (name, asked) in [("busybox", true), ("busybox:latest", true), ("other", false)] {
        let place = Place::new();
        let file = place.write("registries.conf", &format!("{search}{alias}"));
        let conf = format!("--registries-conf={}", file.display());
        place.write(
            "Containerfile",
            &format!("FROM {name}\nCOPY --from={name} /bin/busybox /copy\nRUN --mount=from={name},target=/m test -e /m/bin/sh\n"),
        );
        empty.forget();
        place.run(["build", "-q", "-t", "built", &conf, "."]).succeeded();
        assert_eq!(empty.count(Kind::ManifestHead) > 0, asked, "{name}");
        let inspected = place.run(["inspect", "built"]).succeeded().stdout;
        let recorded = "\"org.opencontainers.image.base.name\": \"127.0.0.1:[PORT]/busybox:latest\"";
        assert!(inspected.contains(recorded), "{inspected}");
        // What was found once is not looked for again.
        empty.forget();
        registry.forget();
        place.run(["build", "-q", &conf, "."]).succeeded();
        assert_eq!(
            (empty.seen(), registry.seen()),
            (Vec::new(), Vec::new()),
            "{name}"
        );
        place.run(["pull", "-q", name, &conf]).succeeded();
        assert_eq!(
            place
                .run(["tags", name.split(':').next().unwrap(), &conf])
                .succeeded()
                .stdout,
            "latest\n"
        );
        empty.forget();
        place.run(["ls", name, &conf]).succeeded();
        assert_eq!(empty.count(Kind::ManifestHead), 0, "{name} is in the store");
        let missing = place.run(["ls", "nonesuch", &conf]);
        let at_one = "127.0.0.1:[PORT]/nonesuch: no such image in the registry";
        let expected = format!("error: nonesuch: no registry to search gave it: {at_one}; {at_one}");
        assert!(missing.stderr.starts_with(&expected), "{}", missing.stderr);
        place.write(
            "registries.conf",
            &format!("{search}short-name-mode = \"enforcing\"\n{alias}"),
        );
        let enforced = place.run(["digest", "unheard-of", &conf]).stderr;
        assert!(
            enforced.contains("short-name-mode is enforcing: write it in full"),
            "{enforced}"
        );
    }
}

#[test]
fn many_images_are_copied_at_once() {
    let (place, registry) = (Place::new(), TestRegistry::start());
    let base = format!("oci:{BUSYBOX}");
    for name in ["one:1", "one:2", "deep/two:1"] {
        place
            .run(["copy", &base, &format!("docker://{}/{name}", registry.host())])
            .succeeded();
    }
    let of = |name: &str| format!("docker://{}/{name}", registry.host());
    place
        .run(["sync", &of("one"), &of("deep/two:1"), "oci:all"])
        .succeeded();
    let plan = place
        .run(["sync", "--dry-run", "oci:all", "dir:each"])
        .succeeded()
        .stdout;
    assert_eq!(
        plan,
        "oci:all:one:1 -> dir:each/one:1\noci:all:one:2 -> dir:each/one:2\noci:all:two:1 -> dir:each/two:1\n"
    );
    place.run(["sync", "oci:all", &of("copies")]).succeeded();
    let tags = place
        .run(["tags", &format!("docker://{}/copies/one", registry.host())])
        .succeeded()
        .stdout;
    assert_eq!(tags, "1\n2\n");
    let names = place.run(["tags", "oci:all"]).succeeded().stdout;
    assert_eq!(names, "one:1\none:2\ntwo:1\n");
    let ran = place.run(["sync", "--keep-going", &of("nothing:1"), &of("one:1"), "dir:each"]);
    assert_eq!(ran.code, Some(125));
    assert!(
        ran.stderr.ends_with("error: 1 of 2 images were not copied\n"),
        "{}",
        ran.stderr
    );
    place.run(["validate", "dir:each/one:1"]).succeeded();
}

#[test]
fn fields_can_be_asked_for() {
    let place = Place::new();
    let image = format!("oci:{BUSYBOX}");
    let digest = place.run(["digest", &image]).succeeded().stdout;
    let template = "{{.Digest}}";
    assert_eq!(
        place
            .run(["inspect", &image, "--format", template])
            .succeeded()
            .stdout,
        digest
    );
    let ran = place.run(["inspect", &image, "--format", "{{.nothing}}"]);
    assert!(
        ran.stderr.contains("there is no field \"nothing\""),
        "{}",
        ran.stderr
    );
}

#[test]
fn completions_and_pages_come_from_the_command_line() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(["completions", shell]).succeeded().stdout;
        assert!(script.contains("rbuild") && script.contains("repack"), "{shell}");
    }
    place.run(["man", "pages"]).succeeded();
    let page = fs::read_to_string(place.path("pages/rbuild-index-make.1")).unwrap();
    assert!(page.contains("Make an index of images"), "{page}");
    assert!(
        fs::read_to_string(place.path("pages/rbuild.1"))
            .unwrap()
            .contains("rbuild\\-build")
    );
}
