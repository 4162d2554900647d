//! Containerfiles that give one digest in every kind of place: those of `testdata/corpus/busybox`. Those that need
//! Debian's packages are compared by `testdata/corpus/compare`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
};

use rbuild_testutils::cages::{self, Cage};

use crate::{
    common::{Room, chain, from_text, may_run},
    user::Kit,
};

/// Where the corpus is; another user may find it elsewhere.
pub fn corpus() -> PathBuf {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/corpus");
    env::var_os("RBUILD_TEST_CORPUS").map_or_else(|| here.into(), PathBuf::from)
}

/// Builds them all, and says the digest of each in a line.
fn digests() -> Vec<String> {
    let room = Room::new();
    let mut files: Vec<PathBuf> = fs::read_dir(corpus().join("busybox"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| digest(&room, file)).collect()
}

fn digest(room: &Room, file: &Path) -> String {
    let build = from_text(&corpus().join("context"), &fs::read_to_string(file).unwrap())
        .arg("SOURCE_DATE_EPOCH", "1500000000")
        .rewrite_timestamps()
        .secret("word", "open sesame");
    let name = file.file_stem().unwrap().display();
    match room.run(build) {
        Ok(built) => format!("{name} {}", built.digest()),
        Err(error) => format!("{name} failed: {}", chain(&error)),
    }
}

/// Says the digests, for the test below.
#[test]
fn said() {
    if env::var_os("RBUILD_TEST_CORPUS").is_some() {
        println!("\n{}", digests().join("\n"));
    }
}

#[test]
fn one_digest_everywhere() {
    if !may_run() {
        return;
    }
    let expected = digests();
    assert!(expected.len() > 26, "{expected:?}");
    let failed: Vec<_> = expected.iter().filter(|line| line.contains("failed")).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let kit = Kit::new();
    let check = &|cage| {
        cages::inside(cage, |room| {
            let output = kit
                .command(room)
                .args(["--exact", "--nocapture", "corpus::said"])
                .env("HOME", room)
                .current_dir(room)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            let lines: Vec<&str> = said.lines().collect();
            let missing: Vec<_> = expected
                .iter()
                .filter(|line| !lines.contains(&line.as_str()))
                .collect();
            assert!(
                missing.is_empty(),
                "{cage:?} has other digests than {missing:#?}: {said}"
            );
        });
    };
    thread::scope(|scope| {
        for cage in Cage::ALL.into_iter().filter(|cage| *cage != Cage::Root) {
            scope.spawn(move || check(cage));
        }
    });
}
