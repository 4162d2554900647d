//! The image that stands for Kaniko's in CI templates.

use std::{fs, process::Command};

use rbuild_testutils::{
    need,
    registry::{Auth, TestRegistry},
    skip,
};

use super::{Room, text};
use crate::common::{BUSYBOX, PROGRAM};

const RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/kaniko/Containerfile");

/// Three commands as GitLab's template has them.
const SCRIPT: &str = r#"mkdir -p /kaniko/.docker
echo "{\"auths\":{\"${CI_REGISTRY}\":{\"auth\":\"$(printf "%s:%s" "${CI_REGISTRY_USER}" "${CI_REGISTRY_PASSWORD}" | base64 | tr -d '\n')\"}}}" > /kaniko/.docker/config.json
/kaniko/executor --context "${CI_PROJECT_DIR}" --dockerfile "${CI_PROJECT_DIR}/Dockerfile" --destination "${CI_REGISTRY_IMAGE}:${CI_COMMIT_TAG}""#;

/// The tests' program is not a static one: what it is linked with goes beside it, where it looks for it.
fn add_libraries(room: &Room, root: &str) {
    let ldd = Command::new("ldd").arg(PROGRAM).output().unwrap();
    let listed = String::from_utf8_lossy(&ldd.stdout).into_owned();
    for file in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = room.place.path(&format!("{root}{file}"));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        // By another process: a child of another thread could have what this one writes open, and then it cannot be run.
        let copied = Command::new("cp").arg("-L").arg(file).arg(to).status();
        assert!(copied.unwrap().success());
    }
}

#[test]
fn a_template_runs_in_an_image_built_here() {
    let Some(chroot) = need("chroot") else { return };
    if !crate::doctor::is_root() {
        return skip("only root can chroot");
    }
    let room = Room::with(TestRegistry::with_auth(Auth::basic("me", "secret")));
    room.place.write("certificates/ca-certificates.crt", "");
    fs::create_dir(room.place.path("bin")).unwrap();
    fs::copy(PROGRAM, room.place.path("bin/rbuild")).unwrap();
    let build = |target: &str, output: &str| {
        let arguments = [
            "build",
            "--compression=none",
            "-f",
            RECIPE,
            "--target",
            target,
            "-o",
            output,
            "--build-context",
            "rbuild=bin",
            "--build-context",
            "certificates=certificates",
            "--build-context",
            &format!("busybox=oci-layout://{BUSYBOX}"),
            "certificates",
        ];
        room.place.run(arguments).succeeded();
    };
    build("executor", "type=oci,dest=executor.tar");
    let image = room
        .place
        .run(["ls", "-R", "oci-archive:executor.tar"])
        .succeeded()
        .stdout;
    assert!(
        image.contains("kaniko/executor") && !image.contains("busybox"),
        "{image}"
    );
    build("debug", "root");
    add_libraries(&room, "root");
    room.place
        .write("root/builds/app/Dockerfile", "FROM scratch\nCOPY f /f\n");
    room.place.write("root/builds/app/f", "text\n");
    // Of an arbitrary user in group 0, as OpenShift has it.
    let script = room
        .place
        .command_through(
            &chroot,
            ["--userspec=12345:0", "root", "/busybox/sh", "-ec", SCRIPT],
        )
        .env_clear()
        .envs([
            ("HOME", "/kaniko"),
            ("RBUILD_ROOT", "/kaniko/store"),
            ("DOCKER_CONFIG", "/kaniko/.docker"),
        ])
        .envs([
            ("PATH", "/busybox"),
            ("CI_REGISTRY_USER", "me"),
            ("CI_REGISTRY_PASSWORD", "secret"),
        ])
        .envs([("CI_PROJECT_DIR", "/builds/app"), ("CI_COMMIT_TAG", "v1")])
        .env("CI_REGISTRY", room.registry.host())
        .env("CI_REGISTRY_IMAGE", room.name("group/app"))
        .output()
        .unwrap();
    room.place.finish(&script).succeeded();
    let login = serde_json::json!({ "auths": { room.registry.host(): { "auth": "bWU6c2VjcmV0" } } });
    room.place.write("home/.docker/config.json", &login.to_string());
    assert_eq!(text(&room.pushed("group/app:v1"), "/f"), "text\n");
}
