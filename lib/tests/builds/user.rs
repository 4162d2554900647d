//! What root can build, an ordinary user with subordinate ids can build, too.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use rbuild_testutils::{
    cages::{self, Cage},
    write_program,
};
use tempfile::TempDir;

use crate::{common, corpus, crash};

/// Runs most tests again, in a process of an ordinary user. If the tests are one's already, that was it.
#[test]
fn an_ordinary_user_gets_the_same_images() {
    if !nix::unistd::geteuid().is_root() {
        return assert!(std::env::current_exe().unwrap().exists());
    }
    let kit = Kit::new();
    cages::rootless(|room| {
        let output = kit
            .command(room)
            .args(["language::", "cache::", "crash::", "embed::", "secrets::"])
            .env("HOME", room)
            .current_dir(room)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    });
}

/// The same build comes to the same digest, whoever builds it.
#[test]
fn the_digest_is_the_same() {
    if !common::may_run() {
        return;
    }
    let expected = crash::digest_of_work();
    let kit = Kit::new();
    // Those that differ most from the one that this runs in.
    for cage in [Cage::Rootless, Cage::PodRoot, Cage::Restricted] {
        cages::inside(cage, |room| {
            let output = kit
                .command(room)
                .args(["--exact", "--nocapture", "crash::victim"])
                .env("HOME", room)
                .current_dir(room)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains(&expected), "{cage:?}: {expected}: {said}");
        });
    }
}

/// What an ordinary user needs to run tests: this checkout may be for root's eyes only.
pub struct Kit {
    program: Vec<u8>,
    /// Holds the base image.
    files: TempDir,
}

impl Kit {
    pub fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        fs::set_permissions(files.path(), Permissions::from_mode(0o755)).unwrap();
        copy(&common::busybox(), &files.path().join("busybox"));
        copy(&corpus::corpus(), &files.path().join("corpus"));
        let program = fs::read(std::env::current_exe().unwrap()).unwrap();
        Self { program, files }
    }

    /// The tests as a command, in a cage and its room.
    pub fn command(&self, room: &Path) -> Command {
        let program = room.join("tests");
        write_program(&program, &self.program);
        let mut command = Command::new(program);
        command
            .env("TMPDIR", room)
            .env("RBUILD_TEST_BUSYBOX", self.files.path().join("busybox"))
            .env("RBUILD_TEST_CORPUS", self.files.path().join("corpus"));
        command
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => _ = fs::copy(entry.path(), target).unwrap(),
        }
    }
}
