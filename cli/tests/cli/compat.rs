//! Called as docker, podman or buildah: what an app manager does with one of these.

use std::{fs, os::unix::fs::symlink};

use rbuild_testutils::registry::{Auth, TestRegistry};

use crate::common::{PROGRAM, Place, Ran};

fn run(place: &Place, program: &str, arguments: &[&str]) -> Ran {
    let link = place.path(program);
    let _ = symlink(PROGRAM, &link);
    place.finish(&place.command_through(link, arguments).output().unwrap())
}

#[test]
fn an_app_is_built_moved_and_removed() {
    let registry = TestRegistry::start();
    for program in ["docker", "podman", "buildah"] {
        let place = Place::new();
        let run = |arguments: &[&str]| run(&place, program, arguments).succeeded();
        place.write(
            "app/File",
            "FROM scratch AS wanted\nARG K\nLABEL k=$K\nCOPY f /\nFROM nosuch\n",
        );
        place.write("app/f", "text\n");
        run(&[
            "build",
            "--rm",
            "--force-rm",
            "-t",
            "app:1",
            "-f",
            "app/File",
            "--target",
            "wanted",
            "--build-arg",
            "K=V",
            "app",
        ]);
        let digest = run(&["images", "-q", "app:1"]).stdout;
        assert!(
            digest.starts_with("sha256:") && digest.lines().count() == 1,
            "{digest}"
        );
        assert_eq!(run(&["images", "-q", "app"]).stdout, digest);
        assert_eq!(run(&["images", "-q", "other"]).stdout, "");
        let inspected = run(&["inspect", "--type=image", "app:1"]).stdout;
        assert!(inspected.contains("\"k\": \"V\""), "{inspected}");
        let name = format!("{}/{program}:1", registry.host());
        run(&["tag", "app:1", &name]);
        run(&["push", &name]);
        assert!(registry.manifest(program, "1").is_some());
        run(&["save", "-o", "app.tar", "app:1"]);
        run(&["save", "--format", "oci-archive", "-o", "oci.tar", "app:1"]);
        for archive in ["app.tar", "oci.tar"] {
            run(&["rmi", "-f", "app:1"]);
            assert_eq!(run(&["images", "-q", "app:1"]).stdout, "");
            assert_eq!(run(&["load", "-i", archive]).stdout, "Loaded image: app:1\n");
            assert!(
                run(&["inspect", "app:1"]).stdout.contains("\"k\": \"V\""),
                "{archive}"
            );
        }
        // An archive of docker's has no manifests, and so no digests; one of the OCI's keeps them.
        assert_eq!(run(&["images", "-q", "app:1"]).stdout, digest);
        assert!(run(&["version"]).stdout.contains(env!("CARGO_PKG_VERSION")));
        assert_eq!(run(&["--version"]), run(&["version"]));
    }
}

#[test]
fn archives_go_through_pipes() {
    let place = Place::new();
    place.write("app/Containerfile", "FROM scratch\nLABEL a=b\n");
    place.run(["build", "-t", "app", "app"]).succeeded();
    let saved = place.command(["save", "app"]).output().unwrap();
    assert!(saved.status.success());
    fs::write(place.path("app.tar"), saved.stdout).unwrap();
    place.run(["rmi", "app"]).succeeded();
    let mut command = place.command(["load"]);
    command.stdin(fs::File::open(place.path("app.tar")).unwrap());
    let loaded = place.finish(&command.output().unwrap()).succeeded();
    assert_eq!(loaded.stdout, "Loaded image: app:latest\n");
    fs::write(place.path("bad.tar"), "no archive").unwrap();
    assert!(place.run(["load", "-i", "bad.tar"]).code != Some(0));
}

#[test]
fn logins_are_kept_where_docker_keeps_them() {
    let registry = TestRegistry::with_auth(Auth::basic("me", "secret"));
    let place = Place::new();
    let link = place.path("docker");
    symlink(PROGRAM, &link).unwrap();
    place.write("password", "secret");
    let mut command =
        place.command_through(&link, ["login", "-u", "me", "--password-stdin", &registry.host()]);
    command.stdin(fs::File::open(place.path("password")).unwrap());
    place.finish(&command.output().unwrap()).succeeded();
    place.write("app/Dockerfile", "FROM scratch\nLABEL a=b\n");
    let name = format!("{}/app", registry.host());
    run(
        &place,
        "docker",
        &[
            "buildx",
            "build",
            "--load",
            "--provenance=false",
            "--push",
            "-t",
            &name,
            "app",
        ],
    )
    .succeeded();
    assert!(registry.manifest("app", "latest").is_some());
}

#[test]
fn what_is_asked_in_vain_is_said() {
    let place = Place::new();
    place.write(
        "app/Dockerfile",
        "FROM scratch\nCOPY Dockerfile /a\nCOPY Dockerfile /b\n",
    );
    let ran = place.run(["build", "-q", "--memory", "1g", "--squash", "-t", "app", "app"]);
    assert_eq!(
        ran.stderr,
        "notice: --memory changes nothing: a RUN has the limits of this process\n"
    );
    ran.succeeded();
    let inspected = place.run(["inspect", "--raw", "app"]).succeeded().stdout;
    assert_eq!(inspected.matches("image.layer").count(), 1, "{inspected}");
    place.run(["build", "--volume", "a:b", "app"]).failed(
        125,
        "error: --volume cannot be had: use RUN --mount in the Containerfile\n",
    );
    run(&place, "podman", &["run", "app"]).failed(
        125,
        "error: run is about containers, and this program only builds and moves images\n",
    );
}
