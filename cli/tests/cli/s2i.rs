//! Source-to-image, with a builder image of busybox, and builds chained by `--source-image`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use rbuild_testutils::{
    cages::{Cage, inside},
    need, program_for_children,
    web::{Reply, WebServer},
};
use serde_json::{Value, json};

use crate::common::{PROGRAM, Place, Ran};

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/s2i");

/// A place with the source and the builder image.
struct Bench {
    place: Place,
    program: PathBuf,
}

impl Bench {
    fn new() -> Self {
        Self::of(Place::new(), PROGRAM.into(), Path::new(TESTDATA))
    }

    fn of(place: Place, program: PathBuf, testdata: &Path) -> Self {
        copy(&testdata.join("app"), &place.path("app"));
        copy(&testdata.join("builder"), &place.path("builder"));
        copy(&testdata.join("runtime"), &place.path("runtime"));
        copy(&testdata.join("../busybox"), &place.path("busybox"));
        let bench = Self { place, program };
        bench.image("pages-builder", "builder");
        bench
    }

    /// Builds an image of testdata.
    fn image(&self, name: &str, context: &str) {
        let base = "busybox=oci-layout://busybox";
        let build = [
            "build",
            "-q",
            "--timestamp=1",
            "--build-context",
            base,
            "-t",
            name,
            context,
        ];
        self.run(&build).succeeded();
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.place.command_through(&self.program, arguments);
        command.env("TMPDIR", self.place.path("."));
        self.place.finish(&command.output().unwrap())
    }

    /// Builds the application, and gives back what was said.
    #[track_caller]
    fn s2i(&self, more: &[&str]) -> String {
        let flags = [
            "s2i",
            "--progress=plain",
            "--timestamp=1",
            "app",
            "pages-builder",
            "pages",
        ];
        self.run(&[&flags[..], more].concat()).succeeded().stderr
    }

    fn cat(&self, image: &str, path: &str) -> String {
        self.run(&["cat", image, path]).succeeded().stdout
    }

    fn inspect(&self, image: &str) -> Value {
        serde_json::from_str(&self.run(&["inspect", image]).succeeded().stdout).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn an_application_is_made_of_its_source() {
    let bench = Bench::new();
    let said = bench.s2i(&["-e", "MORE=$HOME \"x\" \\", "--label", "team=a"]);
    assert!(said.contains("making one.html"), "{said}");
    assert_eq!(
        bench.cat("pages", "/opt/app/www/one.html"),
        "<h1>The \"$1\" pages</h1><p>one\n"
    );
    let inspected = bench.inspect("pages");
    let config = &inspected["config"];
    assert_eq!(config["Cmd"], json!(["/usr/libexec/s2i/run"]));
    assert_eq!(
        (&config["User"], &config["WorkingDir"]),
        (&"1001".into(), &"/opt/app".into())
    );
    let env = config["Env"].as_array().unwrap();
    assert_eq!(
        env[1..],
        [json!("TITLE=The \"$1\" pages"), json!("MORE=$HOME \"x\" \\")]
    );
    let labels = &config["Labels"];
    for (name, value) in [
        ("io.openshift.s2i.build.image", "pages-builder"),
        ("io.openshift.s2i.build.source-location", "app"),
        ("io.openshift.s2i.scripts-url", "image:///usr/libexec/s2i"),
        ("io.k8s.display-name", "docker.io/library/pages:latest"),
        ("team", "a"),
    ] {
        assert_eq!(labels[name], value, "{name}");
    }
    // One layer, without the source that assemble has moved away.
    let layers = |image: &str| bench.inspect(image)["layers"].as_array().unwrap().len();
    assert_eq!(layers("pages"), layers("pages-builder") + 1);
    assert!(
        !bench
            .run(&["ls", "-R", "pages", "/tmp"])
            .succeeded()
            .stdout
            .contains("src")
    );
    bench.run(&["validate", "pages"]).succeeded();
    let again = bench.s2i(&["-e", "MORE=$HOME \"x\" \\", "--label", "team=a"]);
    assert!(!again.contains("not cached"), "{again}");
}

#[test]
fn what_was_made_before_is_not_made_again() {
    let program = program_for_children(Path::new(PROGRAM));
    let (_shared, testdata) = for_everyone();
    let expected = OnceLock::new();
    for cage in [Cage::Root, Cage::Restricted] {
        inside(cage, |room| {
            let bench = Bench::of(Place::within(room), program.clone(), &testdata);
            let first = bench.s2i(&["--incremental"]);
            assert!(
                first.contains("nothing is taken over from an earlier build"),
                "{first}"
            );
            bench.place.write("app/two.txt", "two\n");
            let second = bench.s2i(&["--incremental"]);
            assert!(
                second.contains("taken over: 1") && second.contains("making two.html"),
                "{second}"
            );
            assert!(!second.contains("making one.html"), "{second}");
            assert_eq!(
                bench.cat("pages", "/opt/app/www/two.html"),
                "<h1>The \"$1\" pages</h1><p>two\n"
            );
            // The image is the same in both; a cage sees what was noted before it was made.
            let digest = bench.run(&["digest", "pages"]).succeeded().stdout;
            assert_eq!(expected.get_or_init(|| digest.clone()), &digest);
        });
    }
}

/// The testdata where every user may read it: who is in a cage need not see the checkout.
fn for_everyone() -> (tempfile::TempDir, PathBuf) {
    let shared = tempfile::tempdir().unwrap();
    let testdata = shared.path().join("s2i");
    copy(Path::new(TESTDATA), &testdata);
    copy(
        &Path::new(TESTDATA).join("../busybox"),
        &shared.path().join("busybox"),
    );
    let mut open = Command::new("chmod");
    assert!(
        open.args(["-R", "a+rX"])
            .arg(shared.path())
            .status()
            .unwrap()
            .success()
    );
    (shared, testdata)
}

#[test]
fn a_source_may_bring_scripts_of_its_own() {
    let bench = Bench::new();
    bench.place.write(
        "app/.s2i/bin/assemble",
        "#!/bin/sh\necho own > www/own; /usr/libexec/s2i/assemble\n",
    );
    bench
        .place
        .write("app/.s2i/bin/save-artifacts", "#!/bin/sh\nexit 3\n");
    bench
        .place
        .write("app/.s2i/image_metadata.json", r#"{"labels":[{"own":"label"}]}"#);
    bench.s2i(&[]);
    assert_eq!(bench.cat("pages", "/opt/app/www/own"), "own\n");
    let config = &bench.inspect("pages")["config"];
    assert_eq!(config["Labels"]["own"], "label");
    assert_eq!(config["Cmd"], json!(["/usr/libexec/s2i/run"]));
    let incremental = bench.s2i(&["--incremental", "-e", "A=1"]);
    assert!(incremental.contains("nothing was saved"), "{incremental}");
    // What a flag says counts before the source: here, and elsewhere.
    bench.place.write("scripts/run", "#!/bin/sh\n");
    let from = format!("--scripts-url=file://{}", bench.place.path("scripts").display());
    bench.s2i(&[
        &from,
        "--destination=/opt/",
        "-e",
        "BELOW=/opt",
        "--assemble-user=0",
    ]);
    assert_eq!(
        bench.inspect("pages")["config"]["Cmd"],
        json!(["/opt/scripts/run"])
    );
    let server = WebServer::start(|asked| match asked.target.as_str() {
        "/s2i/run" => Reply::ok("#!/bin/sh\necho from afar\n"),
        _ => Reply::status(404, ""),
    });
    bench.s2i(&[&format!("--scripts-url={}", server.url("/s2i"))]);
    assert_eq!(
        bench.cat("pages", "/tmp/scripts/run"),
        "#!/bin/sh\necho from afar\n"
    );
    bench.s2i(&["--scripts-url=image:///usr/libexec/s2i", "--assemble-user=0"]);
    let config = &bench.inspect("pages")["config"];
    assert_eq!(
        (&config["Cmd"][0], &config["User"]),
        (&"/usr/libexec/s2i/run".into(), &"1001".into())
    );
}

#[test]
fn a_runtime_image_gets_what_was_made_and_no_tools() {
    let bench = Bench::new();
    bench.image("pages-runtime", "runtime");
    bench.s2i(&["--runtime-image=pages-runtime"]);
    let files = bench.run(&["ls", "-R", "pages"]).succeeded().stdout;
    assert!(
        files.contains("srv/www/one.html") && !files.contains("libexec") && !files.contains("bin/sh"),
        "{files}"
    );
    assert_eq!(bench.cat("pages", "/tmp/pages"), "one.html\n");
    let config = &bench.inspect("pages")["config"];
    assert_eq!(
        (&config["Cmd"], &config["User"]),
        (&json!(["/scripts/run"]), &"1002".into())
    );
    bench.s2i(&[
        "--runtime-image=pages-runtime",
        "-a",
        "/opt/app/www:.",
        "-a",
        "/opt/app/www/one.html:a/b",
    ]);
    assert_eq!(
        bench.cat("pages", "/srv/a/b/one.html"),
        bench.cat("pages", "/srv/www/one.html")
    );
    let refused = [
        "s2i",
        "app",
        "pages-builder",
        "pages",
        "--runtime-image=pages-runtime",
    ];
    for (more, why) in [
        (&["-a", "/opt/*.html"][..], "without wildcards"),
        (
            &["-a", "/opt:../x"],
            "below the runtime image's working directory",
        ),
        (&["--incremental"], "not incremental"),
    ] {
        let ran = bench.run(&[&refused[..], more].concat());
        assert!(
            ran.code == Some(125) && ran.stderr.contains(why),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_builder_says_how_it_is_used() {
    let bench = Bench::new();
    let usage = "Makes pages of the texts in a source, and serves them. TITLE is their title.\n";
    for command in [
        &["s2i", "usage", "pages-builder"][..],
        &["s2i-usage", "pages-builder"],
    ] {
        assert_eq!(bench.run(command).succeeded().stdout, usage);
    }
    let no_builder = bench.run(&["s2i", "app", "oci:busybox"]);
    assert!(
        no_builder
            .stderr
            .contains("there is no script assemble: the image oci:busybox has no label"),
        "{}",
        no_builder.stderr
    );
    let file = bench.run(&["s2i", "build", "-f", "x", "app", "pages-builder"]);
    assert!(
        file.stderr
            .contains("there is no Containerfile in a build of source"),
        "{}",
        file.stderr
    );
}

#[test]
fn a_checkout_says_which_commit_it_is() {
    let Some(git) = need("git") else { return };
    let bench = Bench::new();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&git);
        command
            .current_dir(bench.place.path("app"))
            .env("HOME", bench.place.path("home"));
        for (name, value) in [
            ("NAME", "A U Thor"),
            ("EMAIL", "a@x.example"),
            ("DATE", "2026-01-02T03:04:05Z"),
        ] {
            command
                .env(format!("GIT_AUTHOR_{name}"), value)
                .env(format!("GIT_COMMITTER_{name}"), value);
        }
        assert!(
            command.args(arguments).output().unwrap().status.success(),
            "{arguments:?}"
        );
    };
    run(&["init", "-q", "-b", "trunk"]);
    run(&["add", "."]);
    run(&["commit", "-q", "-m", "A first page"]);
    bench.s2i(&[]);
    let labels = &bench.inspect("pages")["config"]["Labels"];
    let commit = |name: &str| {
        labels[format!("io.openshift.s2i.build.commit.{name}")]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (commit("ref"), commit("message")),
        ("trunk".to_owned(), "A first page".to_owned())
    );
    assert_eq!(
        (commit("author"), commit("id").len()),
        ("A U Thor <a@x.example>".to_owned(), 40)
    );
}

#[test]
fn one_image_s_artifact_goes_into_the_next() {
    let bench = Bench::new();
    bench.s2i(&[]);
    let chain = |flags: &[&str], containerfile: &str| {
        let line = ["build", "-q", "-t", "final", "--source-image=pages"];
        let command = bench.place.command([&line[..], flags].concat());
        bench.place.feed(command, containerfile.as_bytes())
    };
    let text = "FROM scratch\nCOPY one.html /www/\nCMD [\"/server\"]\n";
    chain(&["--source-image-path=/opt/app/www/one.html:.", "-"], text).succeeded();
    let files = bench.run(&["ls", "-R", "final"]).succeeded().stdout;
    assert_eq!(files.lines().count(), 2, "{files}");
    assert_eq!(
        bench.cat("final", "/www/one.html"),
        bench.cat("pages", "/opt/app/www/one.html")
    );
    // Beside the files of a directory; what it leaves out is left out.
    bench.place.write("context/.dockerignore", "*.bak\n");
    bench.place.write("context/own", "own");
    bench.place.write("context/old.bak", "old");
    let paths = [
        "--source-image-path=/opt/app/www:x/y",
        "--source-image-path=/opt/app/www/.:z",
    ];
    let ran = chain(
        &[&paths[..], &["-f", "-", "context"]].concat(),
        "FROM scratch\nCOPY . /\n",
    );
    ran.succeeded();
    let files = bench.run(&["ls", "-R", "final"]).succeeded().stdout;
    for (name, there) in [
        ("own", true),
        ("x/y/www/one.html", true),
        ("z/one.html", true),
        ("old.bak", false),
    ] {
        assert_eq!(files.contains(name), there, "{name}: {files}");
    }
    let out = chain(&["--source-image-path=/opt/app/www:../out", "-"], text);
    assert!(
        out.stderr.contains("no directory in the context"),
        "{}",
        out.stderr
    );
}
