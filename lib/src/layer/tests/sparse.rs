//! Sparse files, in each of the ways that GNU tar writes them.

use std::{fs, io::Read as _, process::Command};

use rbuild_testutils::need;

use super::*;
use crate::{
    Digest,
    layer::{Sources, Whiteouts},
    tree::{Kind, Node, What},
};

/// What the file is: a hole, data, a hole, data, a hole.
fn whole() -> Vec<u8> {
    let mut bytes = vec![0; 300_000];
    bytes[100_000..100_005].copy_from_slice(b"first");
    bytes[200_000..200_006].copy_from_slice(b"second");
    bytes
}

/// The sparse file `s` between two others, as a tar with this map.
fn with(kind: u8, pax: &[(&str, &[u8])], data: &[u8]) -> Vec<u8> {
    let tar = Tar::default().file("before", b"before");
    let tar = if pax.is_empty() { tar } else { tar.pax(pax) };
    tar.entry(kind, b"s", b"", data).file("after", b"after").end()
}

const DATA: &[u8] = b"firstsecond";

fn written() -> Vec<(&'static str, Vec<u8>)> {
    let v00: [(&str, &[u8]); 6] = [
        ("GNU.sparse.size", b"300000"),
        ("GNU.sparse.numblocks", b"2"),
        ("GNU.sparse.offset", b"100000"),
        ("GNU.sparse.numbytes", b"5"),
        ("GNU.sparse.offset", b"200000"),
        ("GNU.sparse.numbytes", b"6"),
    ];
    let v01: [(&str, &[u8]); 3] = [
        ("GNU.sparse.name", b"s"),
        ("GNU.sparse.size", b"300000"),
        ("GNU.sparse.map", b"100000,5,200000,6"),
    ];
    let v10: [(&str, &[u8]); 4] = [
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"s"),
        ("GNU.sparse.realsize", b"300000"),
    ];
    let mut data = b"2\n100000\n5\n200000\n6\n".to_vec();
    data.resize(512, 0);
    data.extend_from_slice(DATA);
    vec![
        ("PAX 0.0", with(b'0', &v00, DATA)),
        ("PAX 0.1", with(b'0', &v01, DATA)),
        ("PAX 1.0", with(b'0', &v10, &data)),
    ]
}

/// That the index, the bytes by their places in it, and what is unpacked, are all of the whole file.
fn check(name: &str, tar: &[u8], whole: &[u8]) {
    let layer = index(tar, None).unwrap_or_else(|error| panic!("{name}: {error}"));
    let content = |path: &str| {
        let change = layer
            .changes
            .iter()
            .find(|change| change.path.as_os_str() == path);
        match &change.unwrap().what {
            What::Node(Node {
                kind: Kind::File(content),
                ..
            }) => content.clone(),
            other => panic!("{name}: {other:?}"),
        }
    };
    assert_eq!(content("s").size, whole.len() as u64, "{name}");
    assert_eq!(content("s").digest, Some(Digest::of(whole)), "{name}");
    let open = |_: &Digest| -> Result<Box<dyn std::io::Read + Send>, Error> {
        Ok(Box::new(std::io::Cursor::new(tar.to_vec())))
    };
    let sources = Sources::new(&open, &layer.changes);
    // Backwards, too, where what was passed has to be kept.
    for (path, expected) in [("after", &b"after"[..]), ("s", whole), ("before", b"before")] {
        let mut bytes = Vec::new();
        sources
            .open(&content(path))
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        assert!(bytes == expected, "{name}: {path}");
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    unpack(tar, &root, Whiteouts::User, Ids::Keep).unwrap();
    assert!(fs::read(root.join("s")).unwrap() == whole, "{name}");
}

#[test]
fn sparse_files_are_read_as_they_were() {
    for (name, tar) in written() {
        check(name, &tar, &whole());
    }
}

#[test]
fn maps_that_do_not_fit_are_refused() {
    let map = |size: &'static str, map: &'static str| {
        let pax: [(&str, &[u8]); 2] = [
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.map", map.as_bytes()),
        ];
        with(b'0', &pax, DATA)
    };
    let cases = [
        ("beyond the end", map("100", "0,5,99,6")),
        ("overlapping", map("100", "0,5,4,6")),
        ("descending", map("100", "50,5,0,6")),
        ("too few bytes", map("100", "0,5")),
        ("too many bytes", map("100", "0,5,10,60")),
        ("half a pair", map("100", "0,5,10")),
        ("overflow", map("100", "18446744073709551615,11")),
        ("no number", map("100", "x,11")),
        ("no size", with(b'0', &[("GNU.sparse.map", b"0,11")], DATA)),
        (
            "no map in the data",
            with(
                b'0',
                &[("GNU.sparse.major", b"1"), ("GNU.sparse.size", b"9")],
                DATA,
            ),
        ),
    ];
    for (name, tar) in cases {
        let error = index(&tar[..], None).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Tar {
                    what: TarFault::Sparse,
                    ..
                }
            ),
            "{name}: {error:?}"
        );
    }
    let endless = map("99999999999999999", "0,11");
    let error = index(&endless[..], None).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Tar {
                what: TarFault::TooLarge(_),
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn gnu_tar_s_own_are_read() {
    let Some(program) = need("tar") else { return };
    let dir = tempfile::tempdir().unwrap();
    // Many pieces, so that the map of the old form needs more than its header.
    let mut whole = vec![0; 4 << 20];
    for at in (0..whole.len()).step_by(128 << 10) {
        whole[at + 4096..at + 4100].copy_from_slice(b"data");
    }
    let file = fs::File::create(dir.path().join("s")).unwrap();
    file.set_len(whole.len() as u64).unwrap();
    for at in (0..whole.len()).step_by(128 << 10) {
        std::os::unix::fs::FileExt::write_all_at(&file, b"data", at as u64 + 4096).unwrap();
    }
    drop(file);
    for name in ["before", "after"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    let forms: [&[&str]; 4] = [
        &["--format=gnu"],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ];
    for form in forms {
        let mut command = Command::new(&program);
        command
            .arg("-C")
            .arg(dir.path())
            .args(["--sparse", "--hole-detection=raw", "-c"])
            .args(form);
        let output = command.args(["before", "s", "after"]).output().unwrap();
        assert!(
            output.status.success() && output.stdout.len() < whole.len(),
            "{form:?}"
        );
        check(&format!("{form:?}"), &output.stdout, &whole);
    }
}
