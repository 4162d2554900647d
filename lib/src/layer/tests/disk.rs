//! Layers on the disk, and back. What needs root or a mount is skipped where there is none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    thread,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use proptest::prelude::*;
use rbuild_testutils::skip;

use super::*;
use crate::tree::{Kind, Node, What, arbitrary};

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("not root");
    }
    root
}

/// What a directory holds, as a tree with digests.
pub(super) fn read(root: &Path) -> Tree {
    let changes = scan_upper(root, Whiteouts::Trusted, &Tree::new()).unwrap();
    let mut tree = Tree::new();
    tree.apply(&index(&*tar_of(&changes), None).unwrap().changes)
        .unwrap();
    tree
}

/// User attributes are for files and directories only.
fn possible(mut changes: Vec<Change>) -> Vec<Change> {
    for change in &mut changes {
        if let What::Node(Node { metadata, kind }) = &mut change.what
            && !matches!(kind, Kind::File(_) | Kind::Directory)
        {
            metadata.xattrs.clear();
        }
    }
    changes
}

/// Unpacks into a new directory.
fn put(changes: &[Change], root: &Path, ids: Ids) {
    fs::create_dir(root).unwrap();
    unpack(&*tar_of(changes), root, Whiteouts::Trusted, ids).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tree_to_disk_to_tree(tree in arbitrary::tree()) {
        if !is_root() {
            return Ok(());
        }
        let place = tempfile::tempdir().unwrap();
        let changes = possible(layer_of(&tree));
        put(&changes, &place.path().join("root"), Ids::Set);
        let mut expected = Tree::new();
        expected.apply(&changes).unwrap();
        prop_assert_eq!(read(&place.path().join("root")), expected);
    }

    /// Layers one over the other are what the trees say. The second is any list of changes, in any order.
    #[test]
    fn overlay_agrees_with_apply(lower in arbitrary::tree(), upper in changes()) {
        let place = tempfile::tempdir().unwrap();
        let (lower, upper) = (possible(layer_of(&lower)), possible(upper));
        let tar = tar_of(&upper);
        // Entries below links that loop are refused.
        let Ok(index) = index(&*tar, None) else { return Ok(()) };
        let mut expected = Tree::new();
        expected.apply(&lower).unwrap();
        expected.apply(&index.changes).unwrap();
        let found = in_mount_namespace(|| {
            let [below, above, merged] = ["below", "above", "merged"].map(|name| place.path().join(name));
            put(&lower, &below, Ids::Set);
            put(&upper, &above, Ids::Set);
            drop_idle_whiteouts(&above, &below);
            fs::create_dir(&merged).unwrap();
            overlay(&merged, &format!("lowerdir={}:{}", above.display(), below.display()));
            read(&merged)
        });
        let Some(found) = found else { return Ok(()) };
        // Unpacked by itself, a layer cannot know these.
        let implied: BTreeSet<PathBuf> = index.implied_directories().into_iter().collect();
        let known = |tree: &Tree| -> BTreeMap<PathBuf, (Kind, Option<Node>)> {
            let about = |node: &Node, path: &PathBuf| (node.kind.clone(), (!implied.contains(path)).then(|| node.clone()));
            tree.walk().map(|found| { let about = about(found.node, &found.path); (found.path, about) }).collect()
        };
        prop_assert_eq!(known(&found), known(&expected));
    }
}

/// Where there is no directory below, the kernel lists whiteouts in a directory as names that lead nowhere.
fn drop_idle_whiteouts(above: &Path, below: &Path) {
    let is_opaque = rustix::fs::lgetxattr(above, "trusted.overlay.opaque", &mut [0_u8; 9][..]).is_ok();
    let idle = is_opaque || !fs::symlink_metadata(below).is_ok_and(|stat| stat.is_dir());
    let mut changed = false;
    let before = fs::metadata(above).unwrap().modified().unwrap();
    for entry in fs::read_dir(above).unwrap().map(Result::unwrap) {
        let stat = entry.metadata().unwrap();
        if stat.is_dir() {
            let below = below.join(if idle { "nothing".into() } else { entry.file_name() });
            drop_idle_whiteouts(&entry.path(), &below);
        } else if idle && stat.file_type().is_char_device() && stat.rdev() == 0 {
            fs::remove_file(entry.path()).unwrap();
            changed = true;
        }
    }
    if changed {
        fs::File::open(above)
            .unwrap()
            .set_times(fs::FileTimes::new().set_modified(before))
            .unwrap();
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let what = prop_oneof![
        4 => arbitrary::node().prop_map(What::Node),
        1 => Just(What::Whiteout),
        1 => Just(What::Opaque),
    ];
    let change = (arbitrary::path(), what).prop_map(|(path, what)| Change { path, what });
    prop::collection::vec(change, 0..12)
}

/// In a thread with its own mounts, which end with it; `None` where that is not allowed.
pub(super) fn in_mount_namespace<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    if !is_root() {
        return None;
    }
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if unshare(CloneFlags::CLONE_NEWNS).is_err() {
                skip("no mounts allowed");
                return None;
            }
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            Some(work())
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

pub(super) fn overlay(at: &Path, options: &str) {
    mount(
        Some("overlay"),
        at,
        Some("overlay"),
        MsFlags::empty(),
        Some(options),
    )
    .unwrap();
}

#[test]
fn without_ids_everything_is_the_callers() {
    let place = tempfile::tempdir().unwrap();
    let tar = Tar::default()
        .header(b'5', b"d", b"", 0, |block| {
            block[100..107].copy_from_slice(b"0000000")
        })
        .header(b'0', b"d/f", b"", 0, |block| {
            block[100..107].copy_from_slice(b"0000400");
            block[108..115].copy_from_slice(b"0001750");
        })
        .header(b'3', b"d/null", b"", 0, |block| {
            block[329..336].copy_from_slice(b"0000001")
        })
        .end();
    unpack(&*tar, place.path(), Whiteouts::User, Ids::Keep).unwrap();
    let about =
        |path: &str| fs::metadata(place.path().join(path)).map(|stat| (stat.mode() & 0o7777, stat.uid()));
    let me = rustix::process::geteuid().as_raw();
    assert_eq!(
        (about("d").unwrap(), about("d/f").unwrap()),
        ((0o700, me), (0o600, me))
    );
    assert!(about("d/null").is_err());
}

#[test]
fn unpack_takes_odd_tars_as_apply_does() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("kept"), "kept").unwrap();
    let away = outside.path().to_str().unwrap();
    let tar = Tar::default;
    for (name, tar) in [
        (
            "through an absolute link",
            tar().symlink("a", away).file("a/kept", b"x"),
        ),
        (
            "through a relative link",
            tar().symlink("a", "../../../../../../tmp").file("a/b", b"x"),
        ),
        (
            "onto a link",
            tar().symlink("a", &format!("{away}/kept")).file("a", b"x"),
        ),
        (
            "through a link made later",
            tar().file("a/b", b"").symlink("a", away).file("a/kept", b"x"),
        ),
        (
            "a link to a link",
            tar()
                .symlink("a", away)
                .entry(b'1', b"b", b"a", b"")
                .file("b/kept", b"x"),
        ),
        (
            "a directory onto a link",
            tar()
                .symlink("a", away)
                .entry(b'5', b"a", b"", b"")
                .file("a/kept", b"x"),
        ),
        (
            "duplicates",
            tar()
                .file("a", b"1")
                .entry(b'5', b"a", b"", b"")
                .file("a/b", b"")
                .file("a", b"22"),
        ),
        (
            "a link to itself",
            tar().file("a", b"1").entry(b'1', b"a", b"a", b""),
        ),
        (
            "a link over a file",
            tar().file("a", b"1").file("b", b"").entry(b'1', b"b", b"a", b""),
        ),
        (
            "a link over a directory",
            tar()
                .file("a", b"1")
                .file("b/c", b"")
                .entry(b'1', b"b", b"a", b""),
        ),
        (
            "directory twice",
            tar()
                .entry(b'5', b"d", b"", b"")
                .file("d/a", b"")
                .entry(b'5', b"d", b"", b""),
        ),
    ] {
        let tar = tar.end();
        let place = tempfile::tempdir().unwrap();
        unpack(&*tar, place.path(), Whiteouts::User, Ids::Keep).unwrap();
        let mut tree = Tree::new();
        tree.apply(&index(&*tar, None).unwrap().changes).unwrap();
        let names = |tree: &Tree| -> Vec<PathBuf> { tree.walk().map(|found| found.path).collect() };
        assert_eq!(names(&read(place.path())), names(&tree), "{name}");
        assert_eq!(fs::read(outside.path().join("kept")).unwrap(), b"kept", "{name}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "{name}");
    }
}

#[test]
fn links_to_other_layers_are_left_out() {
    let place = tempfile::tempdir().unwrap();
    let tar = Tar::default()
        .entry(b'1', b"a", b"lower/file", b"")
        .file("b", b"")
        .end();
    unpack(&*tar, place.path(), Whiteouts::User, Ids::Keep).unwrap();
    let names: Vec<_> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["b"]);
}

#[test]
fn errors_name_the_file() {
    let place = tempfile::tempdir().unwrap();
    let missing = place.path().join("missing");
    let error = scan_upper(&missing, Whiteouts::User, &Tree::new()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot look at {missing:?}"));
    let long = "n".repeat(256);
    let tar = Tar::default()
        .pax(&[("path", long.as_bytes())])
        .file("a", b"")
        .end();
    let error = unpack(&*tar, place.path(), Whiteouts::User, Ids::Keep).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot create {:?}", place.path().join(long))
    );
}

#[test]
fn capabilities_and_set_id_bits_survive_a_change_of_owner() {
    if !is_root() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    // cap_net_raw+ep, as `setcap` writes it (linux/capability.h, vfs_cap_data).
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let tar = Tar::default()
        .pax(&[
            ("SCHILY.xattr.security.capability", &capability),
            ("uid", b"1000"),
        ])
        .header(b'0', b"ping", b"", 0, |block| {
            block[100..107].copy_from_slice(b"0006755")
        })
        .end();
    unpack(&*tar, place.path(), Whiteouts::Trusted, Ids::Set).unwrap();
    let tree = read(place.path());
    let metadata = &tree.get("ping").unwrap().metadata;
    assert_eq!((metadata.mode, metadata.uid), (0o6755, 1000));
    assert_eq!(
        metadata.xattrs.get(std::ffi::OsStr::new("security.capability")),
        Some(&capability.to_vec())
    );
}
