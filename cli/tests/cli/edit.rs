//! The commands that change images without a build.

use std::fs;

use rbuild_testutils::registry::{Kind, TestRegistry};
use serde_json::Value;

use crate::common::{BUSYBOX, Place, push_busybox};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_image_without_a_containerfile() {
    let (place, registry) = (Place::new(), TestRegistry::start());
    push_busybox(&registry);
    place.write("app", "#!/bin/sh\n");
    place.write("conf/a/b", "b\n");
    let to = format!("docker://{}/app:1", registry.host());
    let base = format!("docker://{}/busybox", registry.host());
    let created = "--created=2026-01-02T03:04:05Z";
    let settings = [
        "--entrypoint=/bin/app",
        "--env=A=1",
        "--user=7",
        "--port=80",
        "--label=a=b",
        created,
    ];
    let arguments = [
        "append",
        &base,
        "-q",
        "-t",
        &to,
        "--chmod=755",
        "--chown=1:2",
        "app:/bin/",
        "conf:/etc",
    ];
    let ran = place.run(arguments.iter().chain(&settings)).succeeded();
    assert_eq!(registry.count(Kind::Mount), 1, "the base's layer");
    assert_eq!(place.run(["digest", &to]).succeeded().stdout, ran.stdout);
    place.run(["validate", &to]).succeeded();
    let inspected = json(&place.run(["inspect", &to]).succeeded().stdout);
    assert_eq!(inspected["created"], "2026-01-02T03:04:05Z");
    let config = &inspected["config"];
    assert_eq!(config["Entrypoint"], serde_json::json!(["/bin/app"]));
    assert_eq!(
        (&config["User"], &config["Labels"]["a"]),
        (&"7".into(), &"b".into())
    );
    assert!(config["ExposedPorts"]["80/tcp"].is_object());
    let listed = place.run(["ls", &to, "/bin/app"]).succeeded().stdout;
    assert!(listed.starts_with("-rwxr-xr-x  1:2  10  "), "{listed}");
    assert_eq!(place.run(["cat", &to, "/etc/a/b"]).succeeded().stdout, "b\n");
    place
        .run(["append", "scratch", "app"])
        .failed(125, "error: say where the image goes with --tag\n");
    assert_eq!(
        place.run(["append", "scratch"]).code,
        Some(125),
        "of nothing there is no layer"
    );
}

#[test]
fn a_config_is_changed_where_the_image_is() {
    let place = Place::new();
    let layout = format!("oci:{}:name", place.copy_of_busybox().display());
    place
        .run(["copy", &format!("oci:{BUSYBOX}"), &layout])
        .succeeded();
    let change = [
        "config",
        &layout,
        "--cmd",
        r#"["a","b"]"#,
        "--env=A=1",
        "--annotation=x=y",
        "--clear=labels",
    ];
    place.run(change).succeeded();
    place
        .run([
            "config",
            &layout,
            "--unset-env=A",
            "--workdir=/w",
            "--set-platform=linux/arm64",
        ])
        .succeeded();
    place.run(["validate", &layout]).succeeded();
    let inspected = json(
        &place
            .run(["inspect", &layout, "--platform=linux/arm64"])
            .succeeded()
            .stdout,
    );
    assert_eq!(
        (&inspected["platform"], &inspected["annotations"]["x"]),
        (&"linux/arm64".into(), &"y".into())
    );
    let config = &inspected["config"];
    assert_eq!(
        (&config["Cmd"], &config["WorkingDir"]),
        (&serde_json::json!(["a", "b"]), &"/w".into())
    );
    assert!(!config.to_string().contains("A=1"));
    let digest = place.run(["digest", &layout]).succeeded().stdout;
    let by_digest = format!("oci:{}@{}", place.path("busybox").display(), digest.trim());
    let refused = "error: a digest stays what it is: say where the changed image goes with --tag\n";
    place
        .run(["config", &by_digest, "--env=A=1"])
        .failed(125, refused);
}

#[test]
fn differences_are_told() {
    let place = Place::new();
    place.write("one/f", "1\n");
    place.write("two/f", "22\n");
    place.write("two/g", "");
    for (name, env) in [("one", "A=1"), ("two", "A=2")] {
        place
            .run(["append", "scratch", "-t", name, name, "--env", env, "--created=0"])
            .succeeded();
    }
    let text = place.run(["diff", "one", "two"]).succeeded().stdout;
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.split(" (").next().unwrap())
        .collect();
    assert!(
        lines[0].starts_with("- layer sha256:") && lines[1].starts_with("+ layer sha256:"),
        "{text}"
    );
    assert_eq!(
        lines[2..4],
        [
            r#"- config config.Env: ["A=1"]"#,
            r#"+ config config.Env: ["A=2"]"#
        ]
    );
    assert_eq!(lines[4..], ["~ /f", "+ /g 0 bytes"]);
    let files = json(
        &place
            .run(["diff", "--json", "--only=files", "one", "two"])
            .succeeded()
            .stdout,
    );
    assert_eq!(files["files"][0]["path"], "/f");
    assert_eq!(files["files"][0]["ways"][0], "content");
    assert_eq!(
        (&files["files"][1]["change"], files.get("config")),
        (&"added".into(), None)
    );
    assert_eq!(place.run(["diff", "--exit-code", "one", "two"]).code, Some(1));
    assert_eq!(
        place
            .run(["diff", "--exit-code", "one", "one"])
            .succeeded()
            .stdout,
        ""
    );
}

#[test]
fn a_base_that_moved_is_noticed_and_exchanged() {
    let (place, registry) = (Place::new(), TestRegistry::start());
    push_busybox(&registry);
    let (base, app) = (
        format!("{}/busybox:latest", registry.host()),
        format!("{}/app:1", registry.host()),
    );
    place.write("app/Containerfile", &format!("FROM {base}\nCOPY f /\n"));
    place.write("app/f", "f");
    place
        .run(["build", "-q", "-t", &app, "--push", "app"])
        .succeeded();
    let app = format!("docker://{app}");
    let current = place.run(["outdated", &app]).succeeded().stdout;
    assert!(
        current.contains("  current  127.0.0.1:[PORT]/busybox:latest"),
        "{current}"
    );
    place.write("new", "new");
    place
        .run(["append", &format!("docker://{base}"), "new:/newer"])
        .succeeded();
    let outdated = place.run(["outdated", &app, "--json"]);
    assert_eq!(
        (outdated.code, &json(&outdated.stdout)[0]["state"]),
        (Some(1), &"outdated".into())
    );
    // The old base is gone by its tag, and there by its digest.
    place.run(["rebase", &app]).succeeded();
    place.run(["validate", &app]).succeeded();
    place.run(["outdated", &app]).succeeded();
    assert_eq!(place.run(["cat", &app, "/newer"]).succeeded().stdout, "new");
    assert_eq!(place.run(["cat", &app, "/f"]).succeeded().stdout, "f");
    place.run(["squash", &app, "-t", "flat"]).succeeded();
    let layers = json(&place.run(["inspect", "flat"]).succeeded().stdout)["layers"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(layers, 1);
    let unknown = place.run(["outdated", &format!("docker://{base}")]);
    assert_eq!(unknown.code, Some(125));
    assert!(
        unknown.stderr.contains("name one with --base"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn an_index_is_made_and_changed() {
    let place = Place::new();
    place.write("f", "f");
    for arch in ["amd64", "arm64", "s390x"] {
        let platform = format!("--set-platform=linux/{arch}");
        place
            .run([
                "append",
                "scratch",
                "-t",
                &format!("oci:layout:{arch}"),
                "f",
                &platform,
            ])
            .succeeded();
    }
    place
        .run([
            "index",
            "make",
            "-t",
            "oci:layout:all",
            "oci:layout:amd64",
            "oci:layout:arm64",
        ])
        .succeeded();
    place
        .run(["index", "add", "oci:layout:all", "oci:layout:s390x"])
        .succeeded();
    place
        .run(["index", "remove", "oci:layout:all", "linux/arm64"])
        .succeeded();
    let inspected = json(&place.run(["inspect", "oci:layout:all"]).succeeded().stdout);
    assert_eq!(inspected["platforms"].as_array().unwrap().len(), 2, "{inspected}");
    place
        .run(["copy", "--all", "oci:layout:all", "oci-archive:all.tar"])
        .succeeded();
    place.run(["validate", "oci-archive:all.tar"]).succeeded();
}

#[test]
fn one_file_is_inserted_and_taken_away() {
    let place = Place::new();
    let image = format!("oci:{}:name", place.copy_of_busybox().display());
    place.run(["copy", &format!("oci:{BUSYBOX}"), &image]).succeeded();
    place.write("d/f", "f");
    place
        .run(["insert", "--image", &image, "d", "/bin", "--opaque"])
        .succeeded();
    assert_eq!(
        place
            .run(["ls", &image, "/bin"])
            .succeeded()
            .stdout
            .lines()
            .count(),
        1
    );
    place
        .run(["insert", "--image", &image, "--whiteout", "/bin/f"])
        .succeeded();
    assert_eq!(place.run(["ls", &image, "/bin"]).succeeded().stdout, "");
    assert!(fs::metadata(place.path("d/f")).is_ok());
}
