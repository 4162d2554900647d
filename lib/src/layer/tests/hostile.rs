//! Tars that no honest writer makes, and odd ones that some do.

use std::path::{Path, PathBuf};

use super::*;
use crate::tree::{Kind, What};

/// Name, tar, the entry blamed, and what for.
type Refused = (&'static str, Vec<u8>, &'static str, TarFault);

fn refused() -> Vec<Refused> {
    let tar = Tar::default;
    let long = |name: &[u8]| Tar::default().entry(b'L', b"././@LongLink", b"", name);
    let mut broken = Tar::default().file("a", b"").end();
    broken[0] ^= 1;
    let whole = Tar::default().file("a", &[1; 600]).end();
    vec![
        ("parent", tar().file("../a", b"").end(), "../a", TarFault::Escapes),
        (
            "parent inside",
            tar().file("a/../../b", b"").end(),
            "a/../../b",
            TarFault::Escapes,
        ),
        (
            "absolute parent",
            tar().file("/../b", b"").end(),
            "/../b",
            TarFault::Escapes,
        ),
        (
            "parent by a long name",
            long(b"../x\0").file("a", b"").end(),
            "../x",
            TarFault::Escapes,
        ),
        (
            "parent by PAX",
            tar().pax(&[("path", b"../x")]).file("a", b"").end(),
            "../x",
            TarFault::Escapes,
        ),
        (
            "NUL by PAX",
            tar().pax(&[("path", b"a\0b")]).file("a", b"").end(),
            "a\0b",
            TarFault::Path,
        ),
        (
            "hard link to parent",
            tar().entry(b'1', b"a", b"../b", b"").end(),
            "a",
            TarFault::Escapes,
        ),
        (
            "hard link to the root",
            tar().entry(b'1', b"a", b"./", b"").end(),
            "a",
            TarFault::Path,
        ),
        (
            "symbolic link to nothing",
            tar().entry(b'2', b"a", b"", b"").end(),
            "a",
            TarFault::Path,
        ),
        (
            "loop",
            tar().symlink("a", "a").file("a/b", b"").end(),
            "a/b",
            TarFault::Loop,
        ),
        ("file as root", tar().file("./", b"").end(), "./", TarFault::Root),
        (
            "symbolic link as root",
            tar().symlink("a/..", "/etc").end(),
            "a/..",
            TarFault::Root,
        ),
        (
            "whiteout of the parent",
            tar().file("a/.wh...", b"").end(),
            "a/.wh...",
            TarFault::Whiteout,
        ),
        (
            "whiteout of itself",
            tar().file(".wh..", b"").end(),
            ".wh..",
            TarFault::Whiteout,
        ),
        (
            "whiteout of nothing",
            tar().file("a/.wh.", b"").end(),
            "a/.wh.",
            TarFault::Whiteout,
        ),
        (
            "inside a whiteout",
            tar().file(".wh.a/b", b"").end(),
            ".wh.a/b",
            TarFault::Whiteout,
        ),
        (
            "sparse, old",
            tar().entry(b'S', b"a", b"", b"data without a map").end(),
            "a",
            TarFault::Sparse,
        ),
        (
            "sparse, PAX",
            tar().pax(&[("GNU.sparse.major", b"1")]).file("a", b"").end(),
            "a",
            TarFault::Sparse,
        ),
        (
            "unknown type",
            tar().entry(b'V', b"a", b"", b"").end(),
            "a",
            TarFault::Type('V'),
        ),
        (
            "malformed PAX",
            tar().entry(b'x', b"x", b"", b"9999 path=a\n").end(),
            "x",
            TarFault::Pax,
        ),
        (
            "huge PAX",
            tar().header(b'x', b"x", b"", 1 << 30, |_| {}).end(),
            "x",
            TarFault::TooLong(1 << 30),
        ),
        (
            "huge long name",
            tar().header(b'L', b"x", b"", 2 << 30, |_| {}).end(),
            "x",
            TarFault::TooLong(2 << 30),
        ),
        (
            "size that is none",
            tar().pax(&[("size", b"-1")]).file("a", b"").end(),
            "x",
            TarFault::Number("size"),
        ),
        (
            "size beyond all",
            tar()
                .pax(&[("size", b"18446744073709551615")])
                .file("a", b"")
                .end(),
            "a",
            TarFault::Number("size"),
        ),
        (
            "owner that is none",
            tar().pax(&[("gid", b"4294967295")]).file("a", b"").end(),
            "a",
            TarFault::Number("gid"),
        ),
        (
            "owner beyond all",
            tar().pax(&[("uid", b"4294967296")]).file("a", b"").end(),
            "a",
            TarFault::Number("uid"),
        ),
        (
            "time that is none",
            tar().pax(&[("mtime", b"soon")]).file("a", b"").end(),
            "x",
            TarFault::Number("mtime"),
        ),
        (
            "negative size",
            tar()
                .header(b'0', b"a", b"", 0, |block| block[124..136].fill(0xff))
                .end(),
            "a",
            TarFault::Number("size"),
        ),
        ("wrong checksum", broken, "`", TarFault::Checksum),
        ("no tar", b"x".repeat(2000), &"x".repeat(100), TarFault::Checksum).into_refused(),
        (
            "one zero block",
            [vec![0; 512], tar().file("a", b"").end()].concat(),
            "",
            TarFault::Checksum,
        ),
        ("cut in a header", whole[..100].to_vec(), "", TarFault::Truncated),
        ("cut in data", whole[..600].to_vec(), "a", TarFault::Truncated),
        ("cut in padding", whole[..1200].to_vec(), "a", TarFault::Truncated),
        (
            "size beyond the end",
            tar().header(b'0', b"a", b"", 1 << 30, |_| {}).end(),
            "a",
            TarFault::Truncated,
        ),
        (
            "too deep",
            long(&b"d/".repeat(5000)).file("a", b"").end(),
            "",
            TarFault::TooDeep,
        ),
    ]
}

/// Leaks a name of the table that is not a literal.
trait IntoRefused {
    fn into_refused(self) -> Refused;
}

impl IntoRefused for (&'static str, Vec<u8>, &String, TarFault) {
    fn into_refused(self) -> Refused {
        (self.0, self.1, self.2.clone().leak(), self.3)
    }
}

#[test]
fn is_refused_by_name() {
    for (name, tar, entry, what) in refused() {
        let error = index(&*tar, None).expect_err(name);
        let Error::Tar {
            entry: blamed,
            what: fault,
            ..
        } = &error
        else {
            panic!("{name}: {error:?}")
        };
        assert_eq!(fault, &what, "{name}");
        if !entry.is_empty() {
            assert_eq!(blamed, Path::new(entry), "{name}");
        }
    }
}

#[test]
fn is_refused_by_unpack_and_leaves_nothing_outside() {
    for (name, tar, _, what) in refused() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let error = unpack(&*tar, &root, Whiteouts::User, Ids::Keep).expect_err(name);
        assert!(
            matches!(&error, Error::Tar { what: fault, .. } if *fault == what),
            "{name}: {error:?}"
        );
        let names: Vec<_> = std::fs::read_dir(place.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["root"], "{name}");
    }
}

#[test]
fn errors_name_the_entry() {
    let tar = Tar::default().file("ok", b"12").file("../a", b"").end();
    let error = index(&*tar, None).unwrap_err().to_string();
    assert_eq!(
        error,
        r#"bad tar entry "../a" at byte 1024: the path leads out of the root"#
    );
}

/// What an odd tar means: paths, and for files their text.
fn read(tar: &[u8]) -> Vec<(PathBuf, &'static str)> {
    let changes = index(tar, None).unwrap().changes;
    let kind = |what: &_| match what {
        What::HardLink(_) => "link",
        What::Whiteout => "whiteout",
        What::Opaque => "opaque",
        What::Node(node) => match &node.kind {
            Kind::File(_) => "file",
            Kind::Directory => "directory",
            Kind::Symlink(_) => "symlink",
            Kind::Fifo => "fifo",
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } => "device",
        },
    };
    changes
        .iter()
        .map(|change| (change.path.clone(), kind(&change.what)))
        .collect()
}

#[test]
fn odd_tars_mean_what_extractors_make_of_them() {
    let tar = Tar::default;
    let long = "n".repeat(300);
    for (name, tar, expected) in [
        ("empty", tar().end(), vec![]),
        ("no end", tar().file("a", b"x").0, vec![("a", "file")]),
        (
            "half an end",
            [tar().file("a", b"x").0, vec![0; 512]].concat(),
            vec![("a", "file")],
        ),
        (
            "more after the end",
            [tar().file("a", b"x").end(), b"rubbish".to_vec()].concat(),
            vec![("a", "file")],
        ),
        ("nothing", vec![], vec![]),
        (
            "dots and slashes",
            tar().file("././/a//b", b"").file("/etc/c", b"").end(),
            vec![("a/b", "file"), ("etc/c", "file")],
        ),
        (
            "parent inside",
            tar().file("a/../b", b"").end(),
            vec![("b", "file")],
        ),
        (
            "root",
            tar().entry(b'5', b"./", b"", b"").end(),
            vec![("", "directory")],
        ),
        (
            "old directory",
            tar().entry(0, b"a/", b"", b"").end(),
            vec![("a", "directory")],
        ),
        (
            "old file",
            tar().entry(0, b"a", b"", b"").end(),
            vec![("a", "file")],
        ),
        (
            "contiguous",
            tar().entry(b'7', b"a", b"", b"x").end(),
            vec![("a", "file")],
        ),
        (
            "directory with a size",
            tar().header(b'5', b"a", b"", 4096, |_| {}).file("a/b", b"").end(),
            vec![("a", "directory"), ("a/b", "file")],
        ),
        (
            "long name",
            tar()
                .entry(b'L', b"l", b"", format!("{long}\0").as_bytes())
                .file("a", b"")
                .end(),
            vec![(&long, "file")],
        ),
        (
            "long names and PAX",
            tar().pax(&[("path", b"p"), ("path", b"")]).file("a", b"").end(),
            vec![("a", "file")],
        ),
        (
            "PAX for one entry only",
            tar().pax(&[("path", b"p")]).file("a", b"").file("b", b"").end(),
            vec![("p", "file"), ("b", "file")],
        ),
        (
            "global PAX",
            tar()
                .entry(b'g', b"g", b"", b"13 path=what\n")
                .file("a", b"")
                .end(),
            vec![("a", "file")],
        ),
        (
            "duplicates",
            tar().file("a", b"1").file("a", b"2").end(),
            vec![("a", "file"), ("a", "file")],
        ),
        (
            "whiteouts",
            tar().file("d/.wh.x", b"").file("d/.wh..wh..opq", b"").end(),
            vec![("d/x", "whiteout"), ("d", "opaque")],
        ),
        (
            "whiteout with data",
            tar().file(".wh.x", b"some").file("a", b"").end(),
            vec![("x", "whiteout"), ("a", "file")],
        ),
        (
            "whiteout device",
            tar().entry(b'3', b"a", b"", b"").end(),
            vec![("a", "whiteout")],
        ),
        (
            "AUFS",
            tar()
                .file(".wh..wh.plnk/1.2", b"some")
                .file(".wh..wh.aufs", b"")
                .end(),
            vec![],
        ),
        (
            "below a symbolic link",
            tar().symlink("a", "/../etc").file("a/b", b"").end(),
            vec![("a", "symlink"), ("etc/b", "file")],
        ),
        (
            "below a link no more",
            tar()
                .symlink("a", "b")
                .entry(b'5', b"a", b"", b"")
                .file("a/c", b"")
                .end(),
            vec![("a", "symlink"), ("a", "directory"), ("a/c", "file")],
        ),
        (
            "hard link below a link",
            tar()
                .symlink("a", "b")
                .file("b/c", b"")
                .entry(b'1', b"d", b"a/c", b"")
                .end(),
            vec![("a", "symlink"), ("b/c", "file"), ("d", "link")],
        ),
    ] {
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(path, kind)| (PathBuf::from(path), kind))
            .collect();
        assert_eq!(read(&tar), expected, "{name}");
    }
}

#[test]
fn metadata_comes_from_pax_where_it_says_so() {
    for (mtime, expected) in [
        ("5", 5),
        ("5.9", 5),
        ("-5", -5),
        ("-5.1", -6),
        ("-0.5", -1),
        ("-5.000", -5),
        ("12345678901", 12_345_678_901),
    ] {
        let tar = Tar::default()
            .pax(&[
                ("mtime", mtime.as_bytes()),
                ("uid", b"3000000000"),
                ("SCHILY.xattr.user.k", b"v\0\n"),
            ])
            .pax(&[
                ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
                ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ])
            .file("a", b"")
            .end();
        let changes = index(&*tar, None).unwrap().changes;
        let What::Node(node) = &changes[0].what else {
            panic!("{changes:?}")
        };
        assert_eq!(
            (node.metadata.mtime, node.metadata.uid),
            (expected, 3_000_000_000)
        );
        let xattrs: Vec<_> = node.metadata.xattrs.iter().collect();
        assert_eq!(xattrs, [(&"user.k".into(), &b"v\0\n".to_vec())]);
    }
}

#[test]
fn damage_anywhere_is_an_error_or_another_layer() {
    let changes = [("dir/file", "some text"), ("dir/other", "more")];
    let mut tar = Tar::default().symlink("link", "dir");
    for (path, text) in changes {
        tar = tar.pax(&[("mtime", b"5.5")]).file(path, text.as_bytes());
    }
    let tar = tar.entry(b'1', b"hard", b"dir/file", b"").end();
    let whole = index(&*tar, None).unwrap();
    for at in 0..tar.len() {
        assert!(index(&tar[..at], None).ok() != Some(whole.clone()), "cut at {at}");
        for bit in [1, 0x80] {
            let mut damaged = tar.clone();
            damaged[at] ^= bit;
            assert!(
                index(&*damaged, None).ok() != Some(whole.clone()),
                "bit {bit} at {at}"
            );
        }
    }
}
