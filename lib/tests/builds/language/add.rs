//! ADD and its archives.

use std::{
    io::{Seek as _, Write as _},
    path::Path,
    process::Command,
};

use rbuild_testutils::need;

use crate::common::case;

/// A tar with a root entry of its own, a directory, a file and a link, each with another owner.
fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let entries = [
        ("./", 0o700, 7, ""),
        ("./d/", 0o710, 7, ""),
        ("./d/f", 0o640, 8, "x\n"),
        ("./l", 0o777, 9, "d/f"),
    ];
    for (path, mode, owner, content) in entries {
        let mut header = tar::Header::new_ustar();
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(1000);
        let body = match path {
            "./d/f" => content.as_bytes(),
            "./l" => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_link_name(content).unwrap();
                b""
            }
            _ => {
                header.set_entry_type(tar::EntryType::Directory);
                b""
            }
        };
        header.set_size(body.len() as u64);
        header.set_cksum();
        tar.append(&header, body).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What a program that compresses makes of some bytes.
fn filter(program: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Command::new(program)
        .arg("-c")
        .stdin(file)
        .output()
        .unwrap()
        .stdout
}

/// What the archive comes to in a directory.
fn unpacked(directory: &str) -> String {
    format!("{directory}/d d710 7:7\n{directory}/d/f f640 8:8 x\n{directory}/l l777 9:9 -> d/f\n")
}

/// Archives are unpacked by content, whatever they are called; their owners stay, their root entry does not count.
#[test]
fn every_compression() {
    let tar = archive();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&tar).unwrap();
    let archives = [
        ("plain", tar.clone()),
        ("gzip", gzip(&tar)),
        ("bzip2", bzip2.finish().unwrap()),
        ("zstd", zstd::encode_all(&tar[..], 1).unwrap()),
    ];
    let xz = need("xz").map(|program| ("xz", filter(&program, &tar)));
    for (name, bytes) in archives.into_iter().chain(xz) {
        let tree = format!("/o d755\n{}", unpacked("/o"));
        case("FROM scratch\nADD archive /o")
            .file("archive", bytes)
            .made()
            .expect(name)
            .tree(&tree);
    }
}

/// `--chown` overrides the owners in an archive, `--chmod` does nothing; times are the archive's.
#[test]
fn flags_and_archives() {
    case("FROM scratch\nADD --chown=20:21 a /c/")
        .file("a", archive())
        .makes(
            "/c d755 20:21
         /c/d d710 20:21
         /c/d/f f640 20:21 x
         /c/l l777 20:21 -> d/f",
        );
    let made = case("FROM scratch\nADD --chmod=600 a /x/")
        .file("a", archive())
        .made()
        .unwrap();
    made.times("/x d755 @now\n/x/d d710 7:7 @1000\n/x/d/f f640 8:8 @1000 x\n/x/l l777 9:9 @1000 -> d/f");
}

/// A link to an archive and archives that a wildcard finds are unpacked, too; `--unpack=false` and COPY leave them.
#[test]
fn which_are_unpacked() {
    let size = archive().len();
    let tree = format!(
        "/a d755\n{}/b d755\n{}/c d755\n/c/a.tar f644 {size} bytes\n/d d755\n/d/a.tar f644 {size} bytes",
        unpacked("/a"),
        unpacked("/b")
    );
    case("FROM scratch\nADD link /a/\nADD *.tar /b/\nADD --unpack=false a.tar /c/\nCOPY a.tar /d/")
        .file("a.tar", archive())
        .link("link", "a.tar")
        .makes(&tree);
}

/// What is no archive is copied: text, a plain gzip, an empty file, a broken one.
#[test]
fn what_is_no_archive() {
    let broken = &gzip(&archive())[..40];
    let plain = gzip(b"hi\n");
    let tree = format!(
        "/bad.tar.gz f644 {} bytes\n/e.tar f644\n/p.gz f644 {} bytes\n/t.txt f644 t",
        broken.len(),
        plain.len()
    );
    case("FROM scratch\nADD * /")
        .file("e.tar", "")
        .file("p.gz", &plain)
        .file("t.txt", "t\n")
        .file("bad.tar.gz", broken)
        .makes(&tree);
}

/// The target may be a link to a directory; a link inside it is not followed.
#[test]
fn links_in_the_target() {
    let tree = format!(
        "/ln l777 -> /real\n/real d755\n{}/x d755\n{}",
        unpacked("/real"),
        unpacked("/x")
    );
    case("FROM busybox\nRUN mkdir /real && ln -s /real /ln && mkdir /x && ln -s /real /x/d\nADD a /ln\nADD a /x")
        .file("a", archive())
        .makes(&tree);
}
