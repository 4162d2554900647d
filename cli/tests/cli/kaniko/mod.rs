//! Kaniko's executor: what each flag does.
//!
//! - `contexts`: where files come from
//! - `outputs`: where the image goes
//! - `registries`: logins, certificates, mirrors, retries
//! - `builds`: what is built, and what is said
//! - `image`: the image for CI templates

mod builds;
mod contexts;
mod image;
mod outputs;
mod registries;

use std::{os::unix::fs::symlink, process::Command};

use rbuild_testutils::{flat::Flat, registry::TestRegistry};

use crate::common::{PROGRAM, Place, Ran, push_busybox};

/// A registry with the base image, and a place from which the command is called as `executor`.
struct Room {
    place: Place,
    registry: TestRegistry,
}

impl Room {
    /// With a context in `app`: a file, and a Dockerfile that copies it.
    fn new() -> Self {
        let room = Self::with(TestRegistry::start());
        room.place.write("app/Dockerfile", "FROM scratch\nCOPY f /f\n");
        room.place.write("app/f", "text\n");
        room
    }

    fn with(registry: TestRegistry) -> Self {
        let place = Place::new();
        symlink(PROGRAM, place.path("executor")).unwrap();
        Self { place, registry }
    }

    /// With `FROM busybox` and these lines for a Dockerfile.
    fn of(lines: &str) -> Self {
        let room = Self::new();
        push_busybox(&room.registry);
        let base = format!("FROM {}/busybox\n", room.registry.host());
        room.place.write("app/Dockerfile", &format!("{base}{lines}\n"));
        room
    }

    /// The name of an image in the registry.
    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.host())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.place.command_through(self.place.path("executor"), arguments)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.place.finish(&self.command(arguments).output().unwrap())
    }

    /// Builds the context in `app` with more flags, and pushes it as `out`.
    #[track_caller]
    fn build(&self, more: &[&str]) -> Ran {
        let name = self.name("out");
        let arguments = [&["--context", "app", "--destination", &name], more].concat();
        self.run(&arguments).succeeded()
    }

    /// What an image in the registry comes to; every digest in it is checked.
    fn pushed(&self, name: &str) -> Flat {
        let name = format!("docker://{}", self.name(name));
        let _ = std::fs::remove_dir_all(self.place.path("pushed"));
        self.place
            .run(["copy", "--quiet", &name, "oci:pushed"])
            .succeeded();
        Flat::read(&self.place.path("pushed")).unwrap()
    }

    /// Builds as `build` does; the image.
    #[track_caller]
    fn image(&self, more: &[&str]) -> Flat {
        self.build(more);
        self.pushed("out")
    }
}

/// The text of a file in an image.
fn text(image: &Flat, path: &str) -> String {
    use rbuild_testutils::flat::Kind;
    match image.tree.get(path).map(|entry| &entry.kind) {
        Some(Kind::File(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{path}: {other:?}"),
    }
}
