//! Images that strangers could make: each is refused, or stays where it is unpacked, whoever unpacks it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rbuild_testutils::{
    cages::{Cage, inside},
    hostile::{Image, Tar, gzip},
    program_for_children,
};
use serde_json::json;

use crate::common::{PROGRAM, Place, Ran};

/// Where a test looks for what got out.
const CANARY: &str = "nobody has touched this";

/// The command, where every cage can run it.
fn program() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| program_for_children(Path::new(PROGRAM)))
}

/// Reads and unpacks an image in all kinds of place; `check` sees what unpacking came to, and the files.
fn meet(image: impl Fn(&Path) -> Image, check: impl Fn(&Ran, &Path)) {
    let program = program();
    for cage in Cage::ALL {
        inside(cage, |room| {
            let place = Place::within(room);
            let outside = place.path("outside");
            fs::create_dir(&outside).unwrap();
            fs::write(outside.join("canary"), CANARY).unwrap();
            image(&outside).write(&place.path("layout"));
            let run = |arguments: &[&str]| {
                let mut command = place.command_through(program, arguments);
                command.env("TMPDIR", place.path("."));
                command
                    .env("RBUILD_MAX_LAYER_BYTES", "1000000")
                    .env("RBUILD_MAX_LAYER_ENTRIES", "1000");
                place.finish(&command.output().unwrap())
            };
            let before = names(&place.path("."));
            // These must end, and not by a signal or a panic.
            let looks = if cage == Cage::Root {
                &["validate", "ls"][..]
            } else {
                &[]
            };
            for command in looks {
                let ran = run(&[command, "oci:layout"]);
                assert!(matches!(ran.code, Some(0 | 125)), "{cage:?}: {command}: {ran:?}");
            }
            let ran = run(&["unpack", "--image", "layout", "bundle"]);
            assert!(matches!(ran.code, Some(0 | 125)), "{cage:?}: {ran:?}");
            check(&ran, &place.path("bundle/rootfs"));
            assert_eq!(fs::read_to_string(outside.join("canary")).unwrap(), CANARY);
            assert_eq!(names(&outside), ["canary"]);
            let after: Vec<_> = names(&place.path("."));
            let new: Vec<_> = after.iter().filter(|name| !before.contains(name)).collect();
            assert!(
                new.iter().all(|name| ["bundle", "store"].contains(&&***name)),
                "{new:?}"
            );
        });
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The image is refused with these words, and nothing is left of it.
fn refused(image: impl Fn(&Path) -> Image, words: &str) {
    meet(image, |ran, root| {
        assert_eq!(ran.code, Some(125), "{ran:?}");
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
        assert!(!root.exists());
    });
}

/// The image is unpacked, and this is one of its files.
fn contained(image: impl Fn(&Path) -> Image, file: &str) {
    meet(image, |ran, root| {
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(root.join(file).symlink_metadata().is_ok(), "{file}");
    });
}

fn tar(tar: impl Fn(Tar) -> Tar) -> impl Fn(&Path) -> Image {
    move |_| Image::default().layer(tar(Tar::default()))
}

#[test]
fn a_name_with_parents() {
    refused(
        tar(|tar| tar.file("../outside/escaped", b"x")),
        "leads out of the root",
    );
}

#[test]
fn an_absolute_name() {
    contained(tar(|tar| tar.file("/escaped", b"x")), "escaped");
}

#[test]
fn a_name_with_parents_in_an_extended_header() {
    refused(
        tar(|tar| tar.pax(&[("path", "d/../../x")]).file("a", b"x")),
        "leads out of the root",
    );
}

#[test]
fn a_file_through_a_link_to_elsewhere() {
    let image = |outside: &Path| {
        let tar = Tar::default()
            .symlink("d", outside.to_str().unwrap())
            .file("d/canary", b"x");
        Image::default().layer(tar)
    };
    meet(image, |ran, _| assert_eq!(ran.code, Some(0), "{ran:?}"));
}

#[test]
fn a_file_through_a_link_upwards() {
    meet(
        tar(|tar| tar.symlink("d", "../../outside").file("d/canary", b"x")),
        |_, root| assert!(!root.join("../outside/canary").exists()),
    );
}

#[test]
fn a_file_through_a_link_of_the_layer_below() {
    let image = |outside: &Path| {
        let below = Tar::default().symlink("d", outside.to_str().unwrap());
        Image::default()
            .layer(below)
            .layer(Tar::default().file("d/canary", b"x"))
    };
    meet(image, |ran, root| {
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(root.join("d").symlink_metadata().is_ok());
    });
}

#[test]
fn a_hard_link_to_elsewhere() {
    refused(
        tar(|tar| tar.link("a", "../outside/canary").file("a", b"x")),
        "leads out of the root",
    );
}

#[test]
fn a_hard_link_through_a_link() {
    let image = |outside: &Path| {
        let tar = Tar::default()
            .symlink("d", outside.to_str().unwrap())
            .link("a", "d/canary");
        Image::default().layer(tar)
    };
    refused(image, "does not exist");
}

#[test]
fn a_hard_link_to_a_link_that_is_written_to() {
    let image = |outside: &Path| {
        let canary = outside.join("canary");
        let tar = Tar::default()
            .symlink("a", canary.to_str().unwrap())
            .link("b", "a")
            .file("b", b"x");
        Image::default().layer(tar)
    };
    contained(image, "b");
}

#[test]
fn a_device() {
    contained(tar(|tar| tar.device("null")), "null");
}

#[test]
fn a_whiteout_of_a_parent() {
    refused(tar(|tar| tar.file("d/.wh...", b"")), "malformed whiteout");
}

#[test]
fn the_same_name_many_times() {
    contained(
        tar(|tar| {
            tar.file("a", b"1")
                .symlink("a", "/")
                .directory("a")
                .file("a/b", b"2")
                .file("a", b"3")
        }),
        "a",
    );
}

#[test]
fn attributes_that_redirect_look_ups() {
    let redirect = ("SCHILY.xattr.trusted.overlay.redirect", "/outside");
    contained(
        tar(|tar| tar.pax(&[redirect]).directory("d").file("d/f", b"")),
        "d/f",
    );
}

#[test]
fn names_deeper_than_any_path() {
    let deep = "d/".repeat(20_000);
    refused(tar(|tar| tar.pax(&[("path", &deep)]).file("a", b"x")), "too deep");
}

#[test]
fn a_size_that_is_a_lie() {
    for size in [1u64, 1 << 40] {
        refused(
            |_| {
                Image::default()
                    .layer(Tar::default().file("a", b"x"))
                    .manifest(move |manifest| {
                        manifest["layers"][0]["size"] = json!(size);
                    })
            },
            "should have",
        );
    }
}

#[test]
fn a_digest_that_is_a_lie() {
    refused(
        |_| {
            Image::default()
                .layer(Tar::default().file("a", b"x"))
                .manifest(|manifest| {
                    manifest["layers"][0]["digest"] = manifest["config"]["digest"].clone();
                    manifest["layers"][0]["size"] = manifest["config"]["size"].clone();
                })
        },
        "cannot read layer",
    );
}

#[test]
fn a_diff_id_that_is_a_lie() {
    refused(
        |_| {
            Image::default()
                .layer(Tar::default().file("a", b"x"))
                .config(|config| {
                    config["rootfs"]["diff_ids"][0] = json!(format!("sha256:{}", "0".repeat(64)));
                })
        },
        "but the image's config says",
    );
}

#[test]
fn a_media_type_that_is_a_lie() {
    refused(
        |_| {
            Image::default()
                .layer(Tar::default().file("a", b"x"))
                .manifest(|manifest| {
                    manifest["config"]["mediaType"] = json!("text/plain");
                })
        },
        "an artifact and not an image",
    );
}

#[test]
fn a_hundred_thousand_layers() {
    refused(
        |_| {
            Image::default()
                .layer(Tar::default().file("a", b"x"))
                .manifest(|manifest| {
                    let layer = json!({ "digest": manifest["layers"][0]["digest"], "size": 1 });
                    manifest["layers"] = vec![layer; 70_000].into();
                })
        },
        "lists 70000 entries",
    );
}

#[test]
fn a_layer_that_grows() {
    let zeros = Tar::default().file("zeros", &vec![0; 4 << 20]).end();
    refused(
        move |_| Image::default().bytes(gzip(&zeros)),
        "more than the 1000000 bytes",
    );
}

#[test]
fn more_files_than_there_may_be() {
    refused(
        tar(|tar| (0..1001).fold(tar, |tar, number| tar.file(&format!("f{number}"), b""))),
        "more entries than a layer may have",
    );
}

#[test]
fn a_file_of_nothing_but_a_hole() {
    let pax = [
        ("GNU.sparse.size", "9000000000000000000"),
        ("GNU.sparse.map", "0,0"),
    ];
    refused(
        tar(move |tar| tar.pax(&pax).file("a", b"")),
        "more than a layer may have",
    );
}
