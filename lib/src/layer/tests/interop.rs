//! What GNU tar writes is read, and what is written GNU tar reads.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rbuild_testutils::need;

use super::*;
use crate::tree::Node;

/// A directory with what formats differ in.
fn make(root: &Path, longest: usize) -> Tree {
    let long = "n".repeat(longest);
    for directory in ["a", "a/ü", "empty"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::write(root.join("a/ü/file"), "text").unwrap();
    fs::write(root.join("a").join(&long), vec![7; 10_000]).unwrap();
    fs::hard_link(root.join("a/ü/file"), root.join("hard")).unwrap();
    symlink(format!("a/{long}"), root.join("link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o640),
        0,
    )
    .unwrap();
    on_disk(root)
}

fn on_disk(root: &Path) -> Tree {
    let changes = scan_upper(root, Whiteouts::User, &Tree::new()).unwrap();
    let mut tree = Tree::new();
    tree.apply(&index(&*tar_of(&changes), None).unwrap().changes)
        .unwrap();
    tree
}

/// Everything but the root.
fn said(tree: &Tree) -> Vec<(PathBuf, Node)> {
    tree.walk()
        .map(|found| (found.path, found.node.clone()))
        .collect()
}

#[test]
fn what_gnu_tar_writes_is_read() {
    let Some(tar) = need("tar") else { return };
    for (format, longest) in [
        ("v7", 90),
        ("oldgnu", 250),
        ("gnu", 250),
        ("ustar", 90),
        ("pax", 250),
    ] {
        let root = tempfile::tempdir().unwrap();
        let expected = make(root.path(), longest);
        let mut command = Command::new(&tar);
        command
            .arg(format!("--format={format}"))
            .args(["--sort=name", "-C"])
            .arg(root.path());
        command.args(if format == "v7" {
            &["-c", "--exclude=./pipe", "."][..]
        } else {
            &["-c", "."]
        });
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{format}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let layer = index(&*output.stdout, None).unwrap();
        let mut tree = Tree::new();
        tree.apply(&layer.changes).unwrap();
        if format == "v7" {
            tree.insert("pipe", expected.get("pipe").unwrap().clone())
                .unwrap();
        }
        assert_eq!(said(&tree), said(&expected), "{format}");
        assert_eq!(tree.inode("hard"), tree.inode("a/ü/file"), "{format}");
    }
}

#[test]
fn what_is_written_gnu_tar_reads() {
    let Some(tar) = need("tar") else { return };
    let [from, to] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let expected = make(from.path(), 250);
    let written = tar_of(&scan_upper(from.path(), Whiteouts::User, &Tree::new()).unwrap());
    let mut child = Command::new(&tar)
        .args(["-x", "-p", "-C"])
        .arg(to.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&written).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
    assert_eq!(said(&on_disk(to.path())), said(&expected));
}
