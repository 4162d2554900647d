//! What is done on an overlay mount, and what its upper directory then says.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use super::{
    disk::{in_mount_namespace, overlay, read},
    *,
};
use crate::tree::{Kind, What};

/// `PATH what`, for tables.
fn said(changes: &[Change]) -> Vec<String> {
    let what = |what: &What| match what {
        What::HardLink(target) => format!("is {}", target.display()),
        What::Whiteout => "gone".into(),
        What::Opaque => "opaque".into(),
        What::Node(node) => match &node.kind {
            Kind::File(content) => format!("file of {}", content.size),
            Kind::Directory => "directory".into(),
            Kind::Symlink(target) => format!("to {}", Path::new(target).display()),
            other => format!("{other:?}"),
        },
    };
    changes
        .iter()
        .map(|change| format!("{} {}", change.path.display(), what(&change.what)))
        .collect()
}

/// A lower layer: `d/{a,b}`, `e` empty, a file `f` with a second name `g`, a link `l`.
fn lower(place: &Path) -> Tree {
    let root = place.join("made");
    for directory in ["d", "e"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    for file in ["d/a", "d/b", "f", "x"] {
        fs::write(root.join(file), file).unwrap();
    }
    fs::hard_link(root.join("f"), root.join("g")).unwrap();
    symlink("f", root.join("l")).unwrap();
    let old = Tree::new();
    let mut changes = scan_upper(&root, Whiteouts::Trusted, &old).unwrap();
    for change in &mut changes {
        if let What::Node(node) = &mut change.what {
            node.metadata.mtime = 1000;
        }
    }
    let tar = tar_of(&changes);
    fs::create_dir(place.join("lower")).unwrap();
    unpack(&*tar, &place.join("lower"), Whiteouts::Trusted, Ids::Set).unwrap();
    let mut tree = Tree::new();
    tree.apply(&index(&*tar, None).unwrap().changes).unwrap();
    tree
}

/// Name, what is done, and what the layer then says.
type Case = (
    &'static str,
    fn(&Path) -> std::io::Result<()>,
    &'static [&'static str],
);

const CASES: &[Case] = &[
    ("nothing", |_| Ok(()), &[]),
    ("read", |root| fs::read(root.join("f")).map(drop), &[]),
    ("remove", |root| fs::remove_file(root.join("f")), &["f gone"]),
    (
        "remove from directory",
        |root| fs::remove_file(root.join("d/a")),
        &["d directory", "d/a gone"],
    ),
    (
        "remove directory",
        |root| fs::remove_dir_all(root.join("d")),
        &["d gone"],
    ),
    (
        "create",
        |root| fs::write(root.join("e/n"), "n"),
        &["e directory", "e/n file of 1"],
    ),
    (
        "create and remove",
        |root| {
            fs::write(root.join("n"), "n")?;
            fs::remove_file(root.join("n"))
        },
        &[],
    ),
    ("write", |root| fs::write(root.join("x"), "xyz"), &["x file of 3"]),
    (
        "write the same at the same time",
        |root| {
            fs::write(root.join("x"), "x")?;
            let times = fs::FileTimes::new()
                .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000));
            fs::File::options()
                .write(true)
                .open(root.join("x"))?
                .set_times(times)
        },
        &[],
    ),
    (
        "write another of the same size at the same time",
        |root| {
            fs::write(root.join("x"), "y")?;
            let times = fs::FileTimes::new()
                .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000));
            fs::File::options()
                .write(true)
                .open(root.join("x"))?
                .set_times(times)
        },
        &["x file of 1"],
    ),
    (
        "chmod",
        |root| fs::set_permissions(root.join("x"), PermissionsExt::from_mode(0o4700)),
        &["x file of 1"],
    ),
    (
        "chmod of a directory",
        |root| fs::set_permissions(root.join("d"), PermissionsExt::from_mode(0o700)),
        &["d directory"],
    ),
    (
        "chmod of the root",
        |root| fs::set_permissions(root, PermissionsExt::from_mode(0o700)),
        &[" directory"],
    ),
    (
        "chown",
        |root| std::os::unix::fs::lchown(root.join("l"), Some(7), None),
        &["l to f"],
    ),
    (
        "make anew",
        |root| {
            fs::remove_dir_all(root.join("d"))?;
            fs::create_dir(root.join("d"))?;
            fs::write(root.join("d/n"), "")
        },
        &["d directory", "d/a gone", "d/b gone", "d/n file of 0"],
    ),
    (
        "file to directory",
        |root| {
            fs::remove_file(root.join("x"))?;
            fs::create_dir_all(root.join("x/y"))
        },
        &["x directory", "x/y directory"],
    ),
    (
        "directory to file",
        |root| {
            fs::remove_dir_all(root.join("d"))?;
            fs::write(root.join("d"), "d")
        },
        &["d file of 1"],
    ),
    (
        "directory to link",
        |root| {
            fs::remove_dir_all(root.join("d"))?;
            symlink("e", root.join("d"))
        },
        &["d to e"],
    ),
    (
        "rename",
        |root| fs::rename(root.join("x"), root.join("y")),
        &["x gone", "y file of 1"],
    ),
    (
        "link to a file below",
        |root| fs::hard_link(root.join("x"), root.join("w")),
        &["w file of 1", "x is w"],
    ),
    (
        "link of new files",
        |root| {
            fs::write(root.join("e/n"), "n")?;
            fs::hard_link(root.join("e/n"), root.join("a"))
        },
        &["a file of 1", "e directory", "e/n is a"],
    ),
    (
        "socket in place of a file",
        |root| {
            fs::remove_file(root.join("x"))?;
            std::os::unix::net::UnixListener::bind(root.join("x")).map(drop)
        },
        &["x gone"],
    ),
    (
        "socket",
        |root| std::os::unix::net::UnixListener::bind(root.join("s")).map(drop),
        &[],
    ),
];

#[test]
fn an_upper_directory_is_what_was_done() {
    for (name, action, expected) in CASES {
        let place = tempfile::tempdir().unwrap();
        let [upper, work, merged] = ["upper", "work", "merged"].map(|name| place.path().join(name));
        let found = in_mount_namespace(|| {
            let tree = lower(place.path());
            make_upper(&upper, &tree).unwrap();
            fs::create_dir(&work).unwrap();
            fs::create_dir(&merged).unwrap();
            let lower = place.path().join("lower");
            let directories = format!(
                "lowerdir={},upperdir={},workdir={}",
                lower.display(),
                upper.display(),
                work.display()
            );
            overlay(
                &merged,
                &format!("{directories},redirect_dir=off,metacopy=off,index=off"),
            );
            action(&merged).unwrap();
            let changes = scan_upper(&upper, Whiteouts::Trusted, &tree).unwrap();
            let result = read(&merged);
            settle_upper(&upper, Whiteouts::Trusted, &changes).unwrap();
            let left = walkdir::WalkDir::new(&upper).min_depth(1).into_iter();
            for path in left.map(|entry| entry.unwrap().into_path()) {
                let path = path.strip_prefix(&upper).unwrap();
                let is_said = changes.iter().any(|change| change.path.starts_with(path));
                assert!(is_said, "{name}: {} stays", path.display());
            }
            assert_eq!(
                said(&scan_upper(&upper, Whiteouts::Trusted, &tree).unwrap()),
                *expected,
                "{name}, settled"
            );
            (tree, changes, result)
        });
        let Some((mut tree, changes, result)) = found else {
            return;
        };
        assert_eq!(said(&changes), *expected, "{name}");
        tree.apply(&index(&*tar_of(&changes), None).unwrap().changes)
            .unwrap();
        if !name.starts_with("socket") {
            assert_eq!(tree, result, "{name}");
        }
    }
}

#[test]
fn times_are_cut_to_seconds() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1000, 999);
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_times(fs::FileTimes::new().set_modified(time))
        .unwrap();
    let changes = scan_upper(place.path(), Whiteouts::User, &Tree::new()).unwrap();
    set_times(place.path(), &changes).unwrap();
    let stat = fs::metadata(&file).unwrap();
    assert_eq!((stat.mtime(), stat.mtime_nsec()), (1000, 0));
}
