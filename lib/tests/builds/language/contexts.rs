//! Where files, images and platforms come from.

use std::{fs, io::Write as _};

use rbuild::{
    Build, Locator,
    build::{Context, NamedContext, Problem},
    image::Platform,
    layer::{Compression, Limits},
};

use crate::common::{Made, Room, case};

/// Files of the context, as a tar.
fn tar(files: &[(&str, &str)]) -> tar::Builder<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(5);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    tar
}

/// A context in a tar is as good as a directory, compressed or not, with ignore file and Containerfile in it.
#[test]
fn tars() {
    for compressed in [false, true] {
        let room = Room::new();
        let tar = tar(&[
            ("Containerfile", "FROM scratch\nCOPY . /\n"),
            (".dockerignore", ".dockerignore\nContainerfile\nhidden\n"),
            ("hidden", ""),
            ("d/f", "f\n"),
        ]);
        let mut bytes = tar.into_inner().unwrap();
        if compressed {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&bytes).unwrap();
            bytes = encoder.finish().unwrap();
        }
        let path = room.dir.path().join("context.tar");
        fs::write(&path, bytes).unwrap();
        let built = room.run(Build::from_context(Context::Tar(path))).unwrap();
        Made(room.flat(&built)).tree("/d d755\n/d/f f644 f");
    }
}

/// Symlinks that were packed without their targets are not there; files behind them are where they should be.
#[test]
fn symlinks_without_a_target() {
    let room = Room::new();
    let mut tar = tar(&[(
        "Containerfile",
        "FROM scratch\nCOPY --exclude=Containerfile . /\n",
    )]);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_data(&mut header, "link", &[][..]).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(2);
    tar.append_data(&mut header, "f", &b"f\n"[..]).unwrap();
    let path = room.dir.path().join("context.tar");
    fs::write(&path, tar.into_inner().unwrap()).unwrap();
    let built = room.run(Build::from_context(Context::Tar(path))).unwrap();
    Made(room.flat(&built)).tree("/f f644 f");
}

/// What a tar may hold is for the caller to say.
#[test]
fn limits_of_tars() {
    let room = Room::new();
    let tar = tar(&[("Containerfile", "FROM scratch\nCOPY f /\n"), ("f", "f\n")]);
    let path = room.dir.path().join("context.tar");
    fs::write(&path, tar.into_inner().unwrap()).unwrap();
    let build = |bytes, entries| {
        let build = Build::from_context(Context::Tar(path.clone()));
        room.run(build.context_limits(Limits { bytes, entries }))
    };
    assert!(build(10 << 10, 2).is_ok());
    for (bytes, entries) in [(1 << 10, 2), (10 << 10, 1)] {
        let error = build(bytes, entries).err().expect("an error");
        let is_too_large = matches!(error.problem(), Problem::Layer(why) if why.is_too_large());
        assert!(is_too_large, "{error}");
    }
}

/// No context at all: only heredocs and stages have files.
#[test]
fn nothing() {
    let room = Room::new();
    let build = |text: &str| Build::from_context(Context::Empty).containerfile_text(text);
    let built = room.run(build("FROM scratch\nCOPY <<E /h\nh\nE\n")).unwrap();
    Made(room.flat(&built)).tree("/h f644 h");
    let error = room
        .run(build("FROM scratch\nCOPY f /f\n"))
        .err()
        .expect("an error");
    assert!(
        error.to_string().contains("\"f\" is not in the context"),
        "{error}"
    );
}

/// A name can stand for an image that was built here, and for one elsewhere; the latter beats the former.
#[test]
fn names_of_images() {
    let room = Room::new();
    room.write("f", "f\n");
    let tag = "localhost/base:1".parse().unwrap();
    let base = room
        .run(room.build("FROM scratch\nCOPY f /first\n").tag(tag))
        .unwrap();
    let text = "FROM localhost/base:1\nCOPY f /second\n";
    let built = room.run(room.build(text)).unwrap();
    Made(room.flat(&built)).tree("/first f644 f\n/second f644 f");
    let archive: Locator = format!("oci-archive:{}", room.dir.path().join("base.tar").display())
        .parse()
        .unwrap();
    crate::common::block_on(base.write_to(&archive, &room.registry)).unwrap();
    let other = Room::new();
    other.write("f", "f\n");
    let build = other
        .build(text)
        .build_context("localhost/base:1", NamedContext::Image(archive));
    let again = other.run(build).unwrap();
    Made(other.flat(&again)).tree("/first f644 f\n/second f644 f");
}

/// `--from` takes files out of an image that is no stage.
#[test]
fn from_an_image() {
    let Some(made) = case("FROM scratch\nCOPY --from=busybox /etc/passwd /p").made() else {
        return;
    };
    assert_eq!(made.0.tree.len(), 1);
}

/// Another platform than this machine's needs no RUN.
#[test]
fn platforms() {
    let arm: Platform = "linux/arm64/v8".parse().unwrap();
    let case = case("FROM scratch\nARG TARGETPLATFORM\nENV PATH=/b T=$TARGETPLATFORM");
    let made = case.with(|build| build.platform(arm)).made().unwrap();
    assert_eq!(
        (&made.0.config["architecture"], &made.0.config["os"]),
        (&"arm64".into(), &"linux".into())
    );
    assert!(
        made.0.config["config"]["Env"][1]
            .as_str()
            .unwrap()
            .starts_with("T=linux/arm64")
    );
}

/// Layers come compressed as asked for, and hold the same.
#[test]
fn compression() {
    let media_type = |compression: Compression| {
        let case = case("FROM scratch\nCOPY f /f").file("f", "f\n");
        let made = case
            .with(|build| build.compression(compression))
            .made()
            .unwrap()
            .tree("/f f644 f");
        made.0.manifest["layers"][0]["mediaType"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        media_type(Compression::None),
        "application/vnd.oci.image.layer.v1.tar"
    );
    assert_eq!(
        media_type(Compression::Gzip(9)),
        "application/vnd.oci.image.layer.v1.tar+gzip"
    );
    assert_eq!(
        media_type(Compression::Zstd(3)),
        "application/vnd.oci.image.layer.v1.tar+zstd"
    );
}

/// Names of stages: letters, digits, and a few more.
#[test]
fn names_of_stages() {
    for wrong in ["1a", "a!"] {
        case(&format!("FROM scratch AS {wrong}")).fails(wrong);
    }
    case("FROM scratch AS a-b_c.d1").makes("");
}
