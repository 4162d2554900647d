//! Other programs read what rbuild writes, and the other way round.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use rbuild_testutils::{need, skip};

use super::*;
use crate::store::Store;

struct Bench {
    dir: tempfile::TempDir,
    memory: Memory,
    image: Descriptor,
}

impl Bench {
    fn new() -> Self {
        let memory = Memory::default();
        let image = memory.put_image(&memory.image("linux/amd64", &["x", "y"]));
        Self {
            dir: tempfile::tempdir().unwrap(),
            memory,
            image,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What rbuild writes for others, as skopeo names it.
    fn written(&self, kind: &str) -> String {
        let name = (kind != "dir").then_some("docker.io/library/app:1");
        let place = locator(kind, &self.path(&format!("rbuild-{kind}")), name);
        write(&self.memory, &self.image, &place, &[]).unwrap();
        place.to_string()
    }

    /// The digest and the config of an image that another program wrote.
    fn check(&self, place: &str) {
        let archive = Archive::open(&place.parse().unwrap()).unwrap();
        let image = archive.find(&amd64()).unwrap();
        read_all(&archive, &image).unwrap();
        let expected = Image::load(&self.memory, &self.image, &amd64())
            .unwrap()
            .encode()
            .unwrap();
        assert_eq!(
            archive.image(&amd64()).unwrap().encode().unwrap().config,
            expected.config,
            "{place}"
        );
        if !place.starts_with("docker-archive") {
            assert_eq!(image.digest, self.image.digest, "{place}");
        }
    }
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {log}");
    output
}

const KINDS: [&str; 4] = ["oci", "oci-archive", "docker-archive", "dir"];

#[test]
fn skopeo_reads_and_writes_the_same() {
    let Some(skopeo) = need("skopeo") else { return };
    let bench = Bench::new();
    for from in KINDS {
        for to in ["oci", "dir", "docker-archive"] {
            if from == "docker-archive" && to != "docker-archive" {
                continue;
            }
            let source = bench.written(from);
            let path = bench.path(&format!("skopeo-{from}-{to}"));
            let target = match to {
                "dir" => format!("dir:{}", path.display()),
                to => format!("{to}:{}:docker.io/library/app:1", path.display()),
            };
            let mut copy = Command::new(&skopeo);
            copy.args(["--insecure-policy", "--tmpdir"]).arg(bench.dir.path());
            run(copy.args(["copy", "--quiet", &source, &target]));
            bench.check(&target);
        }
    }
}

#[test]
fn skopeo_finds_names_in_the_store() {
    let Some(skopeo) = need("skopeo") else { return };
    let bench = Bench::new();
    let store = Store::open(bench.path("store")).unwrap();
    for blob in closure(&bench.memory, &bench.image).unwrap() {
        store.fetch(&bench.memory, &blob).unwrap();
    }
    for name in ["docker.io/library/app:1", "localhost:5000/a/b:v1.0-x"] {
        store.tag(name, &bench.image).unwrap();
    }
    for name in ["docker.io/library/app:1", "localhost:5000/a/b:v1.0-x"] {
        let mut inspect = Command::new(&skopeo);
        inspect.args([
            "inspect",
            "--raw",
            &format!("oci:{}:{name}", store.root().display()),
        ]);
        assert_eq!(
            run(&mut inspect).stdout,
            read_small(&bench.memory, &bench.image).unwrap()
        );
    }
}

#[test]
fn umoci_unpacks_a_layout() {
    let Some(umoci) = need("umoci") else { return };
    let bench = Bench::new();
    let place = locator("oci", &bench.path("layout"), Some("app"));
    write(&bench.memory, &bench.image, &place, &[]).unwrap();
    let image = format!("{}:app", bench.path("layout").display());
    let mut unpack = Command::new(umoci);
    unpack
        .args(["unpack", "--rootless", "--image", &image])
        .arg(bench.path("bundle"));
    run(&mut unpack);
    assert_eq!(fs::read(bench.path("bundle/rootfs/file1")).unwrap(), b"y");
    let mut tag = Command::new("umoci");
    run(tag.args(["tag", "--image", &image, "other"]));
    bench.check(&format!("oci:{}:other", bench.path("layout").display()));
}

#[test]
fn podman_loads_and_saves() {
    let Some(podman) = need("podman") else { return };
    let bench = Bench::new();
    let podman = |arguments: &[&str]| {
        let mut command = Command::new(&podman);
        command
            .arg("--root")
            .arg(bench.path("root"))
            .arg("--runroot")
            .arg(bench.path("runroot"));
        command.args(["--storage-driver", "vfs"]).args(arguments);
        command
    };
    if !podman(&["info"]).output().unwrap().status.success() {
        return skip("podman does not work here");
    }
    for kind in ["docker-archive", "oci-archive"] {
        bench.written(kind);
        let archive = bench.path(&format!("rbuild-{kind}"));
        run(podman(&["load", "--quiet", "--input"]).arg(archive));
        for to in ["docker-archive", "oci-archive"] {
            let saved = bench.path(&format!("podman-{kind}-{to}"));
            let mut save = podman(&[
                "save",
                "--quiet",
                "--format",
                to,
                "docker.io/library/app:1",
                "--output",
            ]);
            run(save.arg(&saved));
            let archive = Archive::open(&locator(to, &saved, None)).unwrap();
            read_all(&archive, &archive.find(&amd64()).unwrap()).unwrap();
            let config = archive.image(&amd64()).unwrap().config().config.clone();
            assert_eq!(config.cmd, Some(names(&["/file0"])), "{kind} {to}");
        }
        run(&mut podman(&["rmi", "docker.io/library/app:1"]));
    }
}
