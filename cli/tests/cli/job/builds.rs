use std::path::PathBuf;

use rbuild_testutils::{
    DockerRegistry,
    flat::{Flat, Kind},
    kubernetes::{Fate, Script},
};

use super::Room;
use crate::{
    common::{BUSYBOX, PROGRAM, Ran},
    openrun::strict_registry,
};

const CONTAINERFILE: &str = "\
FROM HOST/base
ARG PRICE
COPY . /app
RUN --mount=type=secret,id=token cp /run/secrets/token /app/copy && rm /app/ignored 2>/dev/null; echo \"for $PRICE\" > /app/price
LABEL price=$PRICE
";

/// A cluster that runs the command, and a registry that wants to know who asks.
struct Works {
    room: Room,
    registry: DockerRegistry,
}

impl Works {
    fn new(change: impl FnOnce(&mut Script)) -> Option<Self> {
        let mut script = Script::new(Fate::Runs(PathBuf::from(PROGRAM)));
        change(&mut script);
        let room = Room::new(script);
        let registry = strict_registry(&room.place)?;
        let works = Self { room, registry };
        let base = format!("docker://{}/base", works.registry.host());
        works.ask(&["copy", "--quiet", &format!("oci:{BUSYBOX}"), &base]);
        let place = &works.room.place;
        let containerfile = CONTAINERFILE.replace("HOST", works.registry.host());
        place.write("app/Containerfile", &containerfile);
        place.write("app/.dockerignore", "ignored\n");
        place.write("app/ignored", "not to be seen");
        place.write("app/deep/file", &"many words ".repeat(100_000));
        place.write("token", "hunter2");
        Some(works)
    }

    fn ask(&self, arguments: &[&str]) -> Ran {
        let own = ["--cert-dir", "certs", "--creds"];
        let creds = format!("{}=me:secret", self.registry.host());
        let place = &self.room.place;
        place
            .run(arguments.iter().copied().chain(own).chain([&*creds]))
            .succeeded()
    }

    fn image(&self) -> String {
        format!("{}/app:1", self.registry.host())
    }

    fn build(&self, more: &[&str]) -> Ran {
        let (image, creds) = (self.image(), format!("{}=me:secret", self.registry.host()));
        let flags = ["--push", "-t", &image, "--cert-dir", "certs", "--creds", &creds];
        self.room.job(&[&flags, more].concat())
    }
}

#[test]
fn the_pod_builds_and_pushes() {
    for protocol in ["v5.channel.k8s.io", "v4.channel.k8s.io"] {
        let Some(works) = Works::new(|script| script.protocol = protocol) else {
            return;
        };
        let flags = [
            "--build-arg",
            "PRICE=$(HOME) $5",
            "--secret",
            "id=token,src=token",
            "--iidfile",
            "id",
        ];
        let ran = works.build(&flags).succeeded();
        assert!(ran.stderr.contains(" RUN "), "{}", ran.stderr);
        let digest = std::fs::read_to_string(works.room.place.path("id")).unwrap();
        let found = works.ask(&["digest", &format!("docker://{}", works.image())]);
        assert_eq!(found.stdout.trim(), digest);
        works.ask(&[
            "copy",
            "--quiet",
            &format!("docker://{}", works.image()),
            "oci:out",
        ]);
        let flat = Flat::read(&works.room.place.path("out")).unwrap();
        let file = |path: &str| flat.tree.get(path).map(|entry| entry.kind.clone());
        assert_eq!(file("/app/price"), Some(Kind::File(b"for $(HOME) $5\n".to_vec())));
        assert_eq!(file("/app/copy"), Some(Kind::File(b"hunter2".to_vec())));
        assert_eq!(file("/app/ignored"), None);
        assert_eq!(
            file("/app/deep/file"),
            Some(Kind::File("many words ".repeat(100_000).into_bytes()))
        );
        assert_eq!(flat.config["config"]["Labels"]["price"], "$(HOME) $5");
    }
}

#[test]
fn a_run_that_fails_says_so() {
    let Some(works) = Works::new(|_| ()) else { return };
    let containerfile = format!("FROM {}/base\nRUN echo before; exit 7\n", works.registry.host());
    works.room.place.write("app/Containerfile", &containerfile);
    let ran = works.build(&[]);
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(
        ran.stderr.contains(" before\n")
            && ran.stderr.contains("error: the command ended with exit code 7\n"),
        "{}",
        ran.stderr
    );
}

/// The pod knows that it has not got all, and so does who sent it.
#[test]
fn half_a_context_is_no_context() {
    for most in [0, 1, 500] {
        let Some(works) = Works::new(|script| script.input_ends_after = Some(most)) else {
            return;
        };
        let ran = works.build(&["--secret", "id=token,src=token"]);
        assert_eq!(ran.code, Some(125), "{most}: {ran:?}");
    }
}
