//! What root can build, an ordinary user with subordinate ids can build, too.

use std::{fs, path::Path, process::Command};

use rbuild_testutils::cages;

use crate::{common, crash};

/// Runs most tests again, in a process of an ordinary user. If the tests are one's already, that was it.
#[test]
fn an_ordinary_user_gets_the_same_images() {
    if !nix::unistd::geteuid().is_root() {
        return assert!(std::env::current_exe().unwrap().exists());
    }
    let program = std::env::current_exe().unwrap();
    cages::rootless(|room| {
        let own = room.join("tests");
        fs::copy(&program, &own).unwrap();
        copy(&common::busybox(), &room.join("busybox"));
        let output = Command::new(own)
            .args(["language::", "cache::", "crash::", "embed::", "secrets::"])
            .env("TMPDIR", room)
            .env("HOME", room)
            .env("RBUILD_TEST_BUSYBOX", room.join("busybox"))
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
    cages::rootless(|room| {
        copy(&common::busybox(), &room.join("busybox"));
        fs::copy(std::env::current_exe().unwrap(), room.join("tests")).unwrap();
        let output = Command::new(room.join("tests"))
            .args(["--exact", "--nocapture", "crash::victim"])
            .env("TMPDIR", room)
            .env("RBUILD_TEST_BUSYBOX", room.join("busybox"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&expected), "{expected}: {said}");
    });
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
