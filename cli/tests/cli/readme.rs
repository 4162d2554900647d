//! The commands about images in the README, run as they are written there, but for names that only an example has.

use std::{fs, path::Path};

use rbuild_testutils::registry::TestRegistry;

use crate::common::{BUSYBOX, Place, push_busybox};

const README: &str = include_str!("../../../README.md");

/// The commands in the first block of a section, without what is said of them.
fn commands(section: &str) -> Vec<&'static str> {
    let (_, rest) = README.split_once(&format!("\n### {section}\n")).unwrap();
    let rest = rest
        .split("\n### ")
        .next()
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let blocks = rest
        .split("```text\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines);
    let commands: Vec<&str> = lines.map(|line| line.split("     ").next().unwrap()).collect();
    assert!(!commands.is_empty(), "{section}");
    commands
}

/// Runs a line by a shell that finds the command by its name.
fn run(place: &Place, line: &str) -> (Option<i32>, String) {
    let bin = place.path("bin");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = place.command_through("sh", ["-ec", line]);
    let ran = place.finish(&command.env("PATH", path).output().unwrap());
    (ran.code, ran.stderr)
}

/// A place with the command, files and images that the examples take for granted.
fn place(registry: &TestRegistry) -> Place {
    let place = Place::new();
    fs::create_dir(place.path("bin")).unwrap();
    std::os::unix::fs::symlink(crate::common::PROGRAM, place.path("bin/rbuild")).unwrap();
    push_busybox(registry);
    let host = registry.host();
    let at = |name: &str| format!("docker://{host}/{name}");
    place.write("target/app", "#!/bin/sh\n");
    place.write("data/file", "data\n");
    fs::write(place.path("more.tar"), [0; 1024]).unwrap();
    place.write(
        "Containerfile",
        &format!("FROM {host}/debian:12.1\nCOPY data /data\n"),
    );
    let base = format!("oci:{BUSYBOX}");
    let build = ["build", "-q", "-t", &format!("{host}/image:1"), "--push", "."];
    let newer = ["append", &base, "data:/newer", "-t", &at("debian:12.2")];
    let steps: [&[&str]; 7] = [
        &["copy", &base, &at("debian:12.1")],
        &newer,
        &["copy", &at("debian:12.1"), &at("debian:12")],
        &build,
        &["copy", &at("image:1"), &at("on:1")],
        &["copy", &base, "oci:amd64"],
        &["config", &base, "--set-platform=linux/arm64", "-t", "oci:arm64"],
    ];
    for step in steps {
        place.run(step).succeeded();
    }
    place
}

#[test]
fn what_it_says_of_images_is_so() {
    let registry = TestRegistry::start();
    let place = place(&registry);
    let host = registry.host();
    let here = |line: &str| {
        let line = line.replace("gcr.io/distroless/static", &format!("{host}/busybox"));
        let line = line
            .replace("registry.example", &host)
            .replace("debian:", &format!("{host}/debian:"));
        let line = line
            .replace("IMAGE", &format!("docker://{host}/image:1"))
            .replace("DEST", "changed");
        line.replace(" A B ", " oci:amd64 oci:arm64 ")
    };
    let testdata = Path::new(BUSYBOX).parent().unwrap();
    std::os::unix::fs::symlink(testdata, place.path("testdata")).unwrap();
    let sections = [
        "Images without a build",
        "Images as directories",
        "Source-to-image, and chained builds",
    ];
    for section in sections {
        for line in commands(section) {
            let (code, errors) = run(&place, &here(line));
            assert_eq!(code, Some(0), "{line}: {errors}");
        }
    }
    for image in [
        "docker-archive:app.tar",
        "oci:layout:data",
        "store:flat",
        &format!("{host}/app:2"),
    ] {
        place.run(["validate", image]).succeeded();
    }
    let patched = place.run(["cat", "oci:image:patched", "/etc/motd"]).succeeded();
    assert_eq!(patched.stdout, "more\n");
}
