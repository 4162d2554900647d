//! The other tools read what rbuild writes, to registries and to disk, and rbuild reads what they write: every image is
//! found valid, by name.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use rbuild_testutils::{DockerRegistry, need, skip};

use crate::common::{BUSYBOX, Place};

/// A registry, a layout and archives, each with an image that rbuild wrote.
struct Bench {
    place: Place,
    registry: DockerRegistry,
}

impl Bench {
    fn new() -> Option<Self> {
        let bench = Self {
            registry: DockerRegistry::start()?,
            place: Place::new(),
        };
        bench.place.write("app", "#!/bin/sh\necho app\n");
        let made = [
            "append",
            &format!("oci:{BUSYBOX}"),
            "-t",
            "app:1",
            "app:/bin/",
            "--chmod=755",
            "--env=A=1",
        ];
        bench.place.run(made).succeeded();
        for to in bench.written() {
            bench.place.run(["copy", "store:app:1", &to]).succeeded();
        }
        Some(bench)
    }

    /// Where rbuild wrote the image.
    fn written(&self) -> Vec<String> {
        let places = [
            "oci:layout:rbuild",
            "oci-archive:rbuild-oci.tar:app:rbuild",
            "docker-archive:rbuild-docker.tar:docker.io/library/app:rbuild",
            "dir:rbuild-dir",
        ];
        let on_disk = places.iter().map(ToString::to_string);
        on_disk.chain([self.remote("rbuild")]).collect()
    }

    fn remote(&self, tag: &str) -> String {
        format!("docker://{}/app:{tag}", self.registry.host())
    }

    /// Runs another tool, which must succeed.
    #[track_caller]
    fn tool(&self, program: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.place.path("."));
        command.env("TMPDIR", self.place.path("."));
        let output = command.output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program:?} {arguments:?}: {log}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The image is valid, and has the file that rbuild put there.
    #[track_caller]
    fn check(&self, image: &str) {
        self.place.run(["validate", image]).succeeded();
        let file = self.place.run(["cat", image, "/bin/app"]).succeeded().stdout;
        assert_eq!(file, "#!/bin/sh\necho app\n", "{image}");
        let inspected = self.place.run(["inspect", image]).succeeded().stdout;
        assert!(inspected.contains("\"A=1\""), "{image}: {inspected}");
    }
}

#[test]
fn skopeo_with_registries_and_files() {
    let (Some(skopeo), Some(bench)) = (need("skopeo"), Bench::new()) else {
        return;
    };
    for (number, from) in bench.written().iter().enumerate() {
        let (remote, layout) = (
            bench.remote(&format!("skopeo-{number}")),
            format!("oci:layout:skopeo-{number}"),
        );
        for to in [&remote, &layout] {
            let flags = [
                "--insecure-policy",
                "copy",
                "--quiet",
                "--src-tls-verify=false",
                "--dest-tls-verify=false",
            ];
            bench.tool(&skopeo, &[&flags[..], &[from, to]].concat());
            bench.check(to);
        }
        if !from.starts_with("docker-archive") {
            let digest = |image: &str| bench.place.run(["digest", image]).succeeded().stdout;
            assert_eq!(digest(from), digest(&remote), "{from}");
        }
    }
}

#[test]
fn umoci_changes_what_rbuild_wrote_and_the_other_way_round() {
    let (Some(umoci), Some(bench)) = (need("umoci"), Bench::new()) else {
        return;
    };
    bench.tool(
        &umoci,
        &["unpack", "--rootless", "--image", "layout:rbuild", "bundle"],
    );
    bench.place.write("bundle/rootfs/etc/umoci", "umoci\n");
    bench.tool(&umoci, &["repack", "--image", "layout:umoci", "bundle"]);
    bench.tool(
        &umoci,
        &["config", "--image", "layout:umoci", "--config.user", "7"],
    );
    bench.check("oci:layout:umoci");
    assert_eq!(
        bench
            .place
            .run(["cat", "oci:layout:umoci", "/etc/umoci"])
            .succeeded()
            .stdout,
        "umoci\n"
    );
    bench
        .place
        .run(["unpack", "--rootless", "--image", "layout:umoci", "ours"])
        .succeeded();
    bench.place.write("ours/rootfs/etc/rbuild", "rbuild\n");
    bench
        .place
        .run(["repack", "--image", "layout:both", "ours"])
        .succeeded();
    bench.check("oci:layout:both");
    let stat = bench.tool(&umoci, &["stat", "--json", "--image", "layout:both"]);
    assert!(stat.contains("rbuild repack"), "{stat}");
    bench.tool(
        &umoci,
        &["unpack", "--rootless", "--image", "layout:both", "theirs"],
    );
    for file in ["umoci", "rbuild"] {
        assert!(
            bench.place.path("theirs/rootfs/etc").join(file).exists(),
            "{file}"
        );
    }
}

/// `program` with a store of its own; none if it does not work on this machine.
fn with_store<'a>(bench: &'a Bench, program: &str) -> Option<impl Fn(&[&str]) -> String + 'a> {
    let path: PathBuf = need(program)?;
    let (root, runroot) = (bench.place.path(program), bench.place.path("run"));
    let options = move || -> Vec<String> {
        let pair = |flag: &str, path: &Path| [flag.to_owned(), path.display().to_string()];
        let mut options = [pair("--root", &root), pair("--runroot", &runroot)].concat();
        options.extend(["--storage-driver".to_owned(), "vfs".to_owned()]);
        options
    };
    let run = move |arguments: &[&str]| {
        let options = options();
        let all: Vec<&str> = options
            .iter()
            .map(String::as_str)
            .chain(arguments.iter().copied())
            .collect();
        bench.tool(&path, &all)
    };
    let works = Command::new(program)
        .arg("info")
        .output()
        .is_ok_and(|output| output.status.success());
    if !works {
        skip(&format!("{program} does not work here"));
        return None;
    }
    Some(run)
}

#[test]
fn podman_loads_pulls_saves_and_pushes() {
    let Some(bench) = Bench::new() else { return };
    let Some(podman) = with_store(&bench, "podman") else {
        return;
    };
    podman(&["pull", "--quiet", "--tls-verify=false", &bench.remote("rbuild")]);
    for from in ["oci:layout:rbuild", "dir:rbuild-dir"] {
        podman(&["pull", "--quiet", from]);
    }
    for archive in ["rbuild-oci.tar", "rbuild-docker.tar"] {
        podman(&["load", "--quiet", "--input", archive]);
    }
    let image = bench.remote("rbuild").replace("docker://", "");
    for kind in ["oci-archive", "docker-archive"] {
        let file = format!("podman-{kind}.tar");
        podman(&["save", "--quiet", "--format", kind, "--output", &file, &image]);
        bench.check(&format!("{kind}:{file}"));
    }
    for format in ["oci", "v2s2"] {
        let to = bench.remote(&format!("podman-{format}"));
        podman(&[
            "push",
            "--quiet",
            "--tls-verify=false",
            "--format",
            format,
            &image,
            &to,
        ]);
        bench.check(&to);
    }
}

#[test]
fn buildah_builds_on_it_and_commits() {
    let Some(bench) = Bench::new() else { return };
    let Some(buildah) = with_store(&bench, "buildah") else {
        return;
    };
    bench.place.write("more", "more\n");
    for (number, from) in bench.written().iter().enumerate() {
        let container = buildah(&["from", "--quiet", "--tls-verify=false", from]);
        let container = container.trim();
        buildah(&["copy", "--quiet", container, "more", "/etc/more"]);
        let remote = bench.remote(&format!("buildah-{number}"));
        for to in [&remote, &format!("oci:layout:buildah-{number}")] {
            buildah(&["commit", "--quiet", "--tls-verify=false", container, to]);
            bench.check(to);
            assert_eq!(
                bench.place.run(["cat", to, "/etc/more"]).succeeded().stdout,
                "more\n"
            );
        }
        buildah(&["rm", container]);
    }
}
