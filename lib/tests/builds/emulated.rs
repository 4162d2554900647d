//! Programs of another machine, which the kernel does not know what to do with: qemu runs them where it is installed.

use std::path::Path;

use rbuild::exec::{Engine, Isolation};
use rbuild_testutils::{
    cages::{self, Cage},
    flat::Kind,
    need, skip,
};

use crate::{
    common::{Room, chain, engine, may_run},
    user::Kit,
};

/// `work FILE TEXT [PROGRAM ARGUMENT...]`: its source lies beside it.
const WORK: &[u8] = include_bytes!("../../../testdata/foreign/work");

/// One that makes a file, and one that has another make a second one; and a script.
const CONTAINERFILE: &str = "FROM --platform=linux/arm64 scratch
COPY --chmod=755 work script /
RUN [\"/work\", \"/first\", \"one\"]
WORKDIR /there
RUN [\"../work\", \"second\", \"two\", \"/there/../work\", \"third\", \"three\"]
RUN [\"/script\"]
";

fn room() -> Room {
    let room = Room::new();
    room.write("work", WORK);
    room.write("script", "#!/work /fourth\n");
    room
}

/// What the files are, and the digest of the image.
fn made(room: &Room, isolation: Isolation) -> String {
    let build = room
        .build(CONTAINERFILE)
        .arg("SOURCE_DATE_EPOCH", "1500000000")
        .rewrite_timestamps()
        .isolation(isolation)
        .no_cache();
    let built = match room.run(build) {
        Ok(built) => built,
        Err(error) => return format!("failed: {}", chain(&error)),
    };
    let flat = room.flat(&built);
    let files = [
        ("/first", "one"),
        ("/there/second", "two"),
        ("/there/third", "three"),
        ("/fourth", "/script"),
    ];
    for (name, text) in files {
        let file = &flat.tree[name];
        assert_eq!(file.kind, Kind::File(text.as_bytes().to_vec()), "{name}");
        assert_eq!((file.uid, file.gid, file.mode), (7, 8, 0o640), "{name}");
    }
    built.digest().to_string()
}

/// Says the digest, for the test below.
#[test]
fn said() {
    if std::env::var_os("RBUILD_TEST_FOREIGN").is_some() {
        println!("\n{}", made(&room(), Isolation::Auto));
    }
}

#[test]
fn one_digest_everywhere() {
    if need("qemu-aarch64-static").is_none() || !may_run() {
        return;
    }
    let room = room();
    let expected = made(&room, Isolation::Auto);
    assert_eq!(made(&room, Isolation::Supervised), expected);
    let kit = Kit::new();
    for cage in Cage::ALL.into_iter().filter(|cage| *cage != Cage::Root) {
        cages::inside(cage, |room| {
            let output = kit
                .command(room)
                .args(["--exact", "--nocapture", "emulated::said"])
                .env("HOME", room)
                .env("RBUILD_TEST_FOREIGN", "1")
                .current_dir(room)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.lines().any(|line| line == expected), "{cage:?}: {said}");
        });
    }
}

/// Where only mounts may be used, it is the kernel that would have to know.
#[test]
fn what_is_missing_is_said() {
    let registered = Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists();
    if registered || !engine().is_some_and(Engine::mounts) {
        return skip("it needs mounts, and a kernel that knows no emulator");
    }
    let room = room();
    let error = room.run(room.build(CONTAINERFILE).isolation(Isolation::Mounts));
    let error = chain(&error.err().unwrap());
    let why = match Path::new("/usr/bin/qemu-aarch64-static").exists() {
        true => "the kernel does not know of qemu-aarch64-static",
        false => "qemu-aarch64-static is not installed",
    };
    let expected = format!("cannot start \"/work\", which is for arm64: {why}");
    assert!(error.contains(&expected), "{error}");
}
