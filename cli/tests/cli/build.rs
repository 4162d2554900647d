//! `rbuild build`: what it prints, and where the image goes.

use std::{fs, process::Stdio};

use rbuild_testutils::{
    git::GitServer,
    registry::{Kind, TestRegistry},
    web::{Reply, WebServer},
};

use crate::common::{Place, push_busybox};

/// A context with this Containerfile, and the arguments that build it.
fn build<'a>(place: &Place, containerfile: &str, more: &[&'a str]) -> Vec<&'a str> {
    place.write("app/Containerfile", containerfile);
    let base = concat!(
        "busybox=oci-layout://",
        env!("CARGO_MANIFEST_DIR"),
        "/../testdata/busybox"
    );
    [
        &["build", "--progress=plain", "--build-context", base],
        more,
        &["app"],
    ]
    .concat()
}

#[test]
fn plain_progress_says_what_was_cached_and_why_not() {
    let place = Place::new();
    place.write("app/file", "one");
    let arguments = build(
        &place,
        "FROM busybox\nCOPY file /\nENV A=1\nCOPY Containerfile /\n",
        &[],
    );
    let first = place.run(&arguments).succeeded().stderr;
    let again = place.run(&arguments).succeeded().stderr;
    place.write("app/file", "two");
    let changed = place.run(&arguments).succeeded().stderr;
    assert!(
        first.contains("#2 [stage-0 2/3] COPY file /\n#2 not cached: "),
        "{first}"
    );
    assert!(
        again.contains("#2 [stage-0 2/3] COPY file /\n#2 cached\n"),
        "{again}"
    );
    assert!(
        changed.contains("#2 [stage-0 2/3] COPY file /\n#2 not cached: file changed\n"),
        "{changed}"
    );
}

#[test]
fn quiet_prints_the_digest_alone() {
    let place = Place::new();
    place.write("app/file", "");
    let arguments = build(
        &place,
        "FROM busybox\nCOPY file /\n",
        &["-q", "--iidfile", "id", "--metadata-file", "meta"],
    );
    let ran = place.run(arguments).succeeded();
    assert_eq!(ran.stderr, "");
    let digest: rbuild::Digest = ran.stdout.trim_end().parse().unwrap();
    assert_eq!(fs::read_to_string(place.path("id")).unwrap(), digest.to_string());
    let metadata: serde_json::Value = serde_json::from_slice(&fs::read(place.path("meta")).unwrap()).unwrap();
    assert_eq!(metadata["containerimage.digest"], digest.to_string());
}

#[test]
fn json_progress_is_json() {
    let place = Place::new();
    let mut arguments = build(&place, "FROM busybox\nENV A=1\n", &[]);
    arguments[1] = "--progress=json";
    let stderr = place.run(arguments).succeeded().stderr;
    let types: Vec<String> = stderr
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["type"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(types.first().map(String::as_str), Some("planned"));
    assert!(
        types.contains(&"step-started".to_owned()) && types.contains(&"built".to_owned()),
        "{types:?}"
    );
}

#[test]
fn every_output_that_is_a_file() {
    let place = Place::new();
    place.write("app/file", "content");
    let outputs = [
        "-o",
        "type=oci,dest=oci.tar",
        "-o",
        "type=oci,dest=layout,tar=false",
        "-o",
        "type=docker,dest=docker.tar",
        "-o",
        "type=tar,dest=files.tar",
        "-o",
        "files",
        "-t",
        "app",
    ];
    place
        .run(build(&place, "FROM busybox\nCOPY file /\n", &outputs))
        .succeeded();
    assert_eq!(fs::read_to_string(place.path("files/file")).unwrap(), "content");
    assert!(place.path("layout/oci-layout").is_file());
    let names = |archive: &str| -> Vec<String> {
        let mut tar = tar::Archive::new(fs::File::open(place.path(archive)).unwrap());
        let entries = tar
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string());
        entries.collect()
    };
    assert!(names("oci.tar").contains(&"index.json".to_owned()));
    assert!(names("docker.tar").contains(&"manifest.json".to_owned()));
    assert!(names("files.tar").contains(&"bin/busybox".to_owned()));
    let images = place.run(["images"]).succeeded().stdout;
    assert!(
        images
            .lines()
            .nth(1)
            .is_some_and(|line| line.starts_with("app:latest  sha256:")),
        "{images}"
    );
    assert!(
        place
            .run(["rmi", "app"])
            .succeeded()
            .stdout
            .starts_with("removed docker.io/library/app:latest sha256:")
    );
}

#[test]
fn an_archive_can_go_to_standard_output() {
    let place = Place::new();
    let arguments = build(&place, "FROM busybox\n", &["-o", "type=oci,dest=-"]);
    for redirected in [false, true] {
        let mut command = place.command(&arguments);
        if redirected {
            command.stdout(fs::File::create(place.path("out.tar")).unwrap());
        }
        let output = command.stderr(Stdio::null()).output().unwrap();
        assert!(output.status.success());
        let bytes = if redirected {
            fs::read(place.path("out.tar")).unwrap()
        } else {
            output.stdout
        };
        let mut tar = tar::Archive::new(&bytes[..]);
        let first = tar.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(first.path().unwrap().to_str(), Some("oci-layout"));
    }
}

#[test]
fn a_context_can_be_a_tar_on_standard_input() {
    let place = Place::new();
    place.write("app/Containerfile", "FROM scratch\nCOPY file /\n");
    place.write("app/file", "in a tar");
    let mut tar = tar::Builder::new(fs::File::create(place.path("context.tar")).unwrap());
    tar.append_dir_all("", place.path("app")).unwrap();
    tar.finish().unwrap();
    for (context, out) in [("-", "out1"), ("context.tar", "out2")] {
        let mut command = place.command(["build", "--progress=plain", "-o", out, context]);
        let output = command
            .stdin(fs::File::open(place.path("context.tar")).unwrap())
            .output()
            .unwrap();
        place.finish(&output).succeeded();
        assert_eq!(
            fs::read_to_string(place.path(out).join("file")).unwrap(),
            "in a tar"
        );
    }
}

#[test]
fn a_containerfile_on_standard_input_needs_no_context() {
    let place = Place::new();
    place.write("file", "of no context");
    let build = |containerfile: &str| {
        let command = place.command(["build", "--progress=plain", "-o", "out", "-"]);
        place.feed(command, containerfile.as_bytes())
    };
    // More than what is looked at to tell it from a tar, with a character across that border.
    let comment = format!("#{}é\n", "-".repeat(510));
    build(&format!("{comment}FROM scratch\nWORKDIR /made\n")).succeeded();
    assert!(place.path("out/made").is_dir());
    let ran = build("FROM scratch\nCOPY file /\n");
    assert_eq!(ran.code, Some(125));
    assert!(ran.stderr.contains("/dev/stdin:2"), "{}", ran.stderr);
    let ran = build("");
    assert_eq!(ran.code, Some(125));
}

#[test]
fn the_containerfile_can_come_on_standard_input() {
    let place = Place::new();
    place.write("app/file", "");
    let containerfile = place.write("elsewhere", "FROM scratch\nCOPY file /from-stdin\n");
    let mut command = place.command(["build", "--progress=plain", "-f", "-", "-o", "out", "app"]);
    let output = command
        .stdin(fs::File::open(containerfile).unwrap())
        .output()
        .unwrap();
    place.finish(&output).succeeded();
    assert!(place.path("out/from-stdin").is_file());
}

#[test]
fn arguments_come_from_the_command_line_and_the_environment() {
    let place = Place::new();
    place.write(
        "app/Containerfile",
        "FROM scratch\nARG A\nARG B\nARG C=own\nCOPY file /$A-$B-$C\n",
    );
    place.write("app/file", "");
    let flags = [
        "--build-arg",
        "A=given",
        "--build-arg",
        "B",
        "--build-arg",
        "UNSET",
        "-o",
        "out",
        "app",
    ];
    let mut command = place.command(["build", "--progress=plain"].iter().chain(&flags));
    place
        .finish(&command.env("B", "inherited").output().unwrap())
        .succeeded();
    assert!(place.path("out/given-inherited-own").is_file());
}

#[test]
fn a_base_is_pulled_and_an_image_pushed() {
    let registry = TestRegistry::start();
    push_busybox(&registry);
    let place = Place::new();
    place.write(
        "app/Containerfile",
        &format!("FROM {}/busybox\nENV A=1\n", registry.host()),
    );
    let name = format!("{}/team/app:1", registry.host());
    let ran = place
        .run(["build", "-q", "--push", "-t", &name, "app"])
        .succeeded();
    let manifest = registry.manifest("team/app", "1").unwrap();
    assert_eq!(rbuild::Digest::of(&manifest).to_string(), ran.stdout.trim_end());
    // The base's layer went from repository to repository, and never came here.
    assert_eq!(registry.count(Kind::Mount), 1);
    let base_layer = registry
        .seen()
        .iter()
        .any(|seen| seen.kind == Kind::BlobGet && seen.sent > 100_000);
    assert!(!base_layer, "{:?}", registry.seen());
}

#[test]
fn contexts_from_elsewhere() {
    let place = Place::new();
    let server = WebServer::start(|asked| match asked.target.as_str() {
        "/Containerfile" => Reply::ok("FROM scratch\nCOPY --from=other file /\nADD /more /\n"),
        "/file" => Reply::ok("text"),
        _ => Reply::status(404, ""),
    });
    let other = format!("other={}", server.url("/file"));
    let ran = place.run([
        "build",
        "--progress=plain",
        "--build-context",
        &other,
        &server.url("/Containerfile"),
    ]);
    // The context is empty, but everything before was found.
    assert!(
        ran.stderr.contains("\"more\" is not in the context"),
        "{}",
        ran.stderr
    );
    let Some(git) = GitServer::start() else { return };
    let repository = git.repository("repo");
    repository
        .write(
            "app/Other",
            &format!("FROM scratch\nADD {} /\nCOPY . /\n", server.url("/file")),
        )
        .commit("all");
    let context = format!("{}#main:app", git.url("repo"));
    let arguments = [
        "build",
        "--progress=plain",
        "-f",
        "Other",
        "-o",
        "files",
        &context,
    ];
    let stderr = place.run(arguments).succeeded().stderr;
    assert_eq!(fs::read_to_string(place.path("files/file")).unwrap(), "text");
    assert!(place.path("files/Other").is_file());
    assert!(stderr.contains("pull a file"), "{stderr}");
    let ran = place.run(["build", "ftp://host/file"]);
    assert!(
        ran.stderr
            .contains("ftp://host/file: a context is a directory, a tar file, a git repository"),
        "{}",
        ran.stderr
    );
    let ran = place.run(["build", "--check", &context]);
    assert!(
        ran.stderr.contains("is not fetched for a check"),
        "{}",
        ran.stderr
    );
}
