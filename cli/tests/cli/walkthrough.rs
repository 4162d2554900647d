//! What a step runner does to put a file into an image: copy it out of a registry, unpack, edit, repack, copy it back and
//! into an archive.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rbuild_testutils::{
    DockerRegistry,
    cages::{Cage, inside},
    need, program_for_children, skip,
};

use crate::common::{BUSYBOX, PROGRAM, Place, Ran};

/// The command in a place.
struct Steps<'a> {
    place: &'a Place,
    program: PathBuf,
}

impl Steps<'_> {
    fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Ran {
        let mut command = self.place.command_through(&self.program, arguments);
        command.env("TMPDIR", self.place.path("."));
        self.place.finish(&command.output().unwrap()).succeeded()
    }
}

/// The walk itself; leaves `patched.tar` behind.
fn walk(place: &Place, program: PathBuf, host: &str) {
    let steps = Steps { place, program };
    let (base, patched) = (
        format!("docker://{host}/busybox:1"),
        format!("docker://{host}/busybox:patched"),
    );
    steps.run(["copy", &base, "oci:image:latest"]);
    steps.run(["unpack", "--rootless", "--image", "image:latest", "bundle"]);
    let root = place.path("bundle/rootfs");
    let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap();
    fs::write(root.join("etc/passwd"), format!("{passwd}me:x:7:7::/:/bin/sh\n")).unwrap();
    fs::create_dir(root.join("srv")).unwrap();
    fs::write(root.join("srv/page"), "served\n").unwrap();
    fs::remove_file(root.join("etc/shadow")).unwrap();
    steps.run(["repack", "--image", "image:patched", "bundle"]);
    steps.run(["copy", "oci:image:patched", &patched]);
    steps.run([
        "copy",
        "oci:image:patched",
        "docker-archive:patched.tar:busybox:patched",
    ]);
    for image in [&*patched, "docker-archive:patched.tar"] {
        steps.run(["validate", image]);
        assert_eq!(steps.run(["cat", image, "/srv/page"]).stdout, "served\n");
        assert!(
            steps
                .run(["cat", image, "/etc/passwd"])
                .stdout
                .ends_with("me:x:7:7::/:/bin/sh\n")
        );
        assert!(!steps.run(["ls", image, "/etc"]).stdout.contains("shadow"));
    }
    let changes = steps.run(["diff", "--only=files", &base, &patched]).stdout;
    let changed: Vec<&str> = changes
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    let expected = ["/etc", "/etc/passwd", "/etc/shadow", "/srv", "/srv/page"];
    assert_eq!(
        changed
            .iter()
            .filter(|path| **path != "/")
            .copied()
            .collect::<Vec<_>>(),
        expected
    );
}

fn registry() -> Option<DockerRegistry> {
    let registry = DockerRegistry::start()?;
    let to = format!("docker://{}/busybox:1", registry.host());
    Place::new()
        .run(["copy", &format!("oci:{BUSYBOX}"), &to])
        .succeeded();
    Some(registry)
}

#[test]
fn a_file_is_put_into_an_image_by_editing_it() {
    let Some(registry) = registry() else { return };
    let place = Place::new();
    walk(&place, PROGRAM.into(), registry.host());
    podman_takes(&place, &place.path("patched.tar"));
    if let Some(skopeo) = need("skopeo") {
        let image = format!("docker://{}/busybox:patched", registry.host());
        let inspected = Command::new(skopeo)
            .args(["inspect", "--tls-verify=false", &image])
            .output();
        assert!(inspected.unwrap().status.success());
    }
}

fn podman_takes(place: &Place, archive: &Path) {
    let Some(podman) = need("podman") else { return };
    let podman = |arguments: &[&str]| {
        let mut command = Command::new(&podman);
        command
            .arg("--root")
            .arg(place.path("podman"))
            .arg("--runroot")
            .arg(place.path("podman-run"));
        command.args(["--storage-driver", "vfs"]).args(arguments);
        command.output().unwrap()
    };
    if !podman(&["info"]).status.success() {
        return skip("podman does not work here");
    }
    let loaded = podman(&["load", "--quiet", "--input", archive.to_str().unwrap()]);
    assert!(
        loaded.status.success(),
        "{}",
        String::from_utf8_lossy(&loaded.stderr)
    );
    let history = podman(&[
        "history",
        "--format",
        "{{.CreatedBy}}",
        "localhost/busybox:patched",
    ]);
    let history = String::from_utf8_lossy(&history.stdout).into_owned();
    assert!(history.starts_with("rbuild repack"), "{history}");
    podman_serves(place);
}

/// The page that was put into the image, served from a container of it over HTTP, where this machine lets podman make
/// containers at all.
fn podman_serves(place: &Place) {
    let script = place.write("serve.sh", SERVE);
    let conf = place.write(
        "containers.conf",
        "[containers]\ndefault_ulimits = []\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n",
    );
    let in_a_container = |command: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-eu"]).arg(&script).arg(command);
        unshare.current_dir(place.path(".")).env("CONTAINERS_CONF", &conf);
        place.finish(&unshare.output().unwrap())
    };
    let plain = in_a_container("true");
    if plain.code != Some(0) {
        return skip(&format!("podman cannot run a container here: {}", plain.stderr));
    }
    // The container has no network but its own loopback interface, so the page is asked for inside.
    let served = in_a_container("httpd -p 127.0.0.1:8080 -h /srv && wget -q -O - http://127.0.0.1:8080/page");
    assert_eq!(served.succeeded().stdout, "served\n");
}

/// The machine may have no cgroups that a runtime could use, and limits that it may not raise.
const SERVE: &str = r#"
umount /sys/fs/cgroup/unified 2>/dev/null || true
exec podman --root "$PWD/podman" --runroot "$PWD/podman-run" --storage-driver vfs \
    run --rm --cgroups=disabled --network=none --ulimit host localhost/busybox:patched sh -c "$1"
"#;

#[test]
fn the_same_in_every_cage() {
    let Some(registry) = registry() else { return };
    let program = program_for_children(Path::new(PROGRAM));
    for cage in [
        Cage::PodRoot,
        Cage::Rootless,
        Cage::RootlessSingle,
        Cage::Restricted,
    ] {
        inside(cage, |room| {
            walk(&Place::within(room), program.clone(), registry.host())
        });
    }
}
