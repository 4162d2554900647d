use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    thread,
    time::{Duration, SystemTime},
};

use rustix::fs::{AtFlags, CWD, statat};
use tempfile::TempDir;

use super::{cache::is_racy, *};
use crate::{
    Digest,
    tree::{Kind, Origin},
};

/// Leaves out some paths, but looks into some of them.
struct Without(&'static [&'static str], &'static [&'static str]);

impl Filter for Without {
    fn skips(&self, path: &Path) -> bool {
        self.0.iter().any(|skipped| path == Path::new(skipped))
    }

    fn may_descend(&self, directory: &Path) -> bool {
        self.1.iter().any(|kept| directory == Path::new(kept))
    }
}

fn directory(files: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    root
}

fn paths(context: &Context) -> Vec<String> {
    context
        .tree()
        .walk()
        .map(|found| found.path.to_string_lossy().into_owned())
        .collect()
}

fn scan(root: &TempDir) -> Context {
    Context::scan(root.path(), &(), StatCache::default()).unwrap()
}

fn digest(context: &Context, path: &str) -> Option<Digest> {
    match &context.tree().get(path).unwrap().kind {
        Kind::File(content) => content.digest,
        other => panic!("{path} is {other:?}"),
    }
}

/// Until what was written is older than a tick of the clock.
fn settle() {
    thread::sleep(Duration::from_millis(50));
}

#[test]
fn a_scan_is_what_is_there() {
    let root = directory(&["a/b/c", "a/x", "z"]);
    let place = |path: &str| root.path().join(path);
    symlink("../z", place("a/link")).unwrap();
    fs::create_dir(place("empty")).unwrap();
    fs::hard_link(place("z"), place("a/hard")).unwrap();
    fs::set_permissions(place("a/x"), PermissionsExt::from_mode(0o4751)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place("socket")).unwrap();
    let context = scan(&root);
    assert_eq!(
        paths(&context),
        ["a", "a/b", "a/b/c", "a/hard", "a/link", "a/x", "empty", "z"]
    );
    let tree = context.tree();
    assert_eq!(tree.inode("z"), tree.inode("a/hard"));
    assert_eq!(tree.get("a/link").unwrap().kind, Kind::Symlink("../z".into()));
    let node = tree.get("a/x").unwrap();
    let stat = fs::metadata(place("a/x")).unwrap();
    let Kind::File(content) = &node.kind else {
        panic!("{node:?}")
    };
    assert_eq!((content.size, content.digest), (3, None));
    assert!(matches!(&content.origin, Origin::Disk(path) if **path == *place("a/x")));
    assert_eq!((node.metadata.mode, node.metadata.uid), (0o4751, stat.uid()));
    assert_eq!(
        (node.metadata.gid, node.metadata.mtime),
        (stat.gid(), stat.mtime())
    );
    assert_eq!(
        tree.get("").unwrap().metadata.mode,
        fs::metadata(root.path()).unwrap().mode() & 0o7777
    );
}

#[test]
fn large_directories_are_whole() {
    let files: Vec<String> = (0..1500)
        .map(|number| format!("{:02}/{number:04}", number / 700))
        .collect();
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    let root = directory(&names);
    let mut context = scan(&root);
    let found: Vec<String> = paths(&context)
        .into_iter()
        .filter(|path| path.len() > 2)
        .collect();
    assert_eq!(found, names);
    context.digest(&[PathBuf::new()]).unwrap();
    assert!(
        names
            .iter()
            .all(|name| digest(&context, name) == Some(Digest::of(name)))
    );
}

#[test]
fn what_is_left_out_is_not_there() {
    let root = directory(&["a/b", "a/c/d", "e", "f/g/h"]);
    for (filter, expected) in [
        (
            Without(&[], &[]),
            &["a", "a/b", "a/c", "a/c/d", "e", "f", "f/g", "f/g/h"][..],
        ),
        (Without(&["a", "f"], &[]), &["e"]),
        (
            Without(&["a", "a/b", "f/g/h"], &["a"]),
            &["a", "a/c", "a/c/d", "e", "f", "f/g"],
        ),
        (
            Without(&["a", "a/b", "a/c", "a/c/d"], &["a", "a/c"]),
            &["e", "f", "f/g", "f/g/h"],
        ),
        (
            Without(&["e"], &["e"]),
            &["a", "a/b", "a/c", "a/c/d", "f", "f/g", "f/g/h"],
        ),
    ] {
        let context = Context::scan(root.path(), &filter, StatCache::default()).unwrap();
        assert_eq!(paths(&context), expected, "{:?}", filter.0);
    }
}

#[test]
fn digests_are_computed_where_they_are_asked_for() {
    let root = directory(&["a/b", "a/c", "d"]);
    fs::hard_link(root.path().join("a/b"), root.path().join("link")).unwrap();
    let mut context = scan(&root);
    context.digest(&["a".into(), "missing".into()]).unwrap();
    for (path, expected) in [
        ("a/b", Some("a/b")),
        ("a/c", Some("a/c")),
        ("link", Some("a/b")),
        ("d", None),
    ] {
        assert_eq!(digest(&context, path), expected.map(Digest::of), "{path}");
    }
    let tree = context.tree();
    assert_eq!(tree.inode("a/b"), tree.inode("link"));
}

#[test]
fn remembered_digests_are_those_of_files_that_did_not_change() {
    let root = directory(&["same", "written", "renamed", "touched", "replaced"]);
    let cache = tempfile::tempdir().unwrap();
    let file = cache.path().join("cache");
    let place = |path: &str| root.path().join(path);
    settle();
    let mut context = scan(&root);
    context.digest(&[PathBuf::new()]).unwrap();
    context.save_cache(&file).unwrap();

    fs::write(place("written"), "WRITTEN").unwrap();
    fs::write(place("new"), "renamed").unwrap();
    fs::rename(place("new"), place("renamed")).unwrap();
    let times = fs::FileTimes::new().set_modified(fs::metadata(place("same")).unwrap().modified().unwrap());
    fs::write(place("replaced"), "REPLACED").unwrap();
    fs::File::options()
        .write(true)
        .open(place("replaced"))
        .unwrap()
        .set_times(times)
        .unwrap();
    fs::set_permissions(place("touched"), PermissionsExt::from_mode(0o600)).unwrap();

    let context = Context::scan(root.path(), &(), StatCache::load(&file)).unwrap();
    for (path, known) in [
        ("same", true),
        ("written", false),
        ("renamed", false),
        ("touched", false),
        ("replaced", false),
    ] {
        assert_eq!(digest(&context, path).is_some(), known, "{path}");
    }
}

#[test]
fn files_that_may_change_unseen_are_not_remembered() {
    let root = directory(&["old", "future"]);
    settle();
    let times = fs::FileTimes::new().set_modified(SystemTime::now() + Duration::from_secs(3600));
    fs::File::options()
        .write(true)
        .open(root.path().join("future"))
        .unwrap()
        .set_times(times)
        .unwrap();
    let file = root.path().join("cache");
    let mut context = scan(&root);
    context.digest(&[PathBuf::new()]).unwrap();
    context.save_cache(&file).unwrap();
    let context = Context::scan(root.path(), &(), StatCache::load(&file)).unwrap();
    assert_eq!(digest(&context, "old"), Some(Digest::of("old")));
    assert_eq!(digest(&context, "future"), None);
}

fn stamp(root: &TempDir) -> Option<Digest> {
    scan(root).stamp()
}

#[test]
fn a_stamp_tells_whether_anything_changed() {
    let root = directory(&["a/b", "a/c", "same", "time", "linked"]);
    let place = |path: &str| root.path().join(path);
    symlink("same", place("link")).unwrap();
    settle();
    let mut before = stamp(&root).unwrap();
    assert_eq!(stamp(&root), Some(before));
    let keep_time = |path: &str, text: &str| {
        let times = fs::FileTimes::new().set_modified(fs::metadata(place(path)).unwrap().modified().unwrap());
        fs::write(place(path), text).unwrap();
        let file = fs::File::options().write(true).open(place(path)).unwrap();
        file.set_times(times).unwrap();
    };
    let relink = |target: &str| {
        fs::remove_file(place("link")).unwrap();
        symlink(target, place("link")).unwrap();
    };
    let changes: [(&str, &dyn Fn()); 9] = [
        ("written", &|| fs::write(place("a/b"), "A/B").unwrap()),
        ("of the same size and time", &|| keep_time("time", "TIME")),
        ("a mode", &|| {
            fs::set_permissions(place("same"), PermissionsExt::from_mode(0o600)).unwrap();
        }),
        ("a mode of a directory", &|| {
            fs::set_permissions(place("a"), PermissionsExt::from_mode(0o700)).unwrap();
        }),
        ("another name", &|| {
            fs::rename(place("a/c"), place("a/d")).unwrap()
        }),
        ("another place", &|| fs::rename(place("a/d"), place("d")).unwrap()),
        ("a hard link", &|| {
            fs::hard_link(place("linked"), place("other")).unwrap()
        }),
        ("where a link leads", &|| relink("a")),
        ("one more", &|| fs::create_dir(place("empty")).unwrap()),
    ];
    for (name, change) in changes {
        change();
        settle();
        let after = stamp(&root).unwrap();
        assert_ne!(after, before, "{name}");
        before = after;
    }
    // What comes and goes, or is left out, was never there.
    fs::write(place("a/gone"), "").unwrap();
    fs::remove_file(place("a/gone")).unwrap();
    assert_eq!(stamp(&root), Some(before));
    let without = |path| {
        let filter = Without(path, &[]);
        let context = Context::scan(root.path(), &filter, StatCache::default());
        context.unwrap().stamp().unwrap()
    };
    let short = without(&["time"]);
    assert_ne!(short, before);
    keep_time("time", "Time");
    settle();
    assert_eq!(without(&["time"]), short);
}

#[test]
fn files_that_may_change_unseen_have_no_stamp() {
    let root = directory(&["old", "future"]);
    settle();
    let times = fs::FileTimes::new().set_modified(SystemTime::now() + Duration::from_secs(3600));
    let file = fs::File::options().write(true).open(root.path().join("future"));
    file.unwrap().set_times(times).unwrap();
    settle();
    assert_eq!(stamp(&root), None);
    let filter = Without(&["future"], &[]);
    let context = Context::scan(root.path(), &filter, StatCache::default()).unwrap();
    assert!(context.stamp().is_some());
}

#[test]
fn racy_times_are_those_within_a_tick() {
    let root = directory(&["a"]);
    let mut stat = statat(CWD, root.path().join("a"), AtFlags::empty()).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    for ((modified, changed), expected) in [
        (((999, 970_000_000), (999, 970_000_000)), false),
        (((999, 990_000_000), (999, 970_000_000)), true),
        (((500, 1), (999, 990_000_000)), true),
        (((500, 1), (1000, 0)), true),
        (((2000, 1), (500, 0)), true),
        (((999, 0), (999, 0)), true),
        (((998, 0), (998, 0)), true),
        (((997, 0), (997, 0)), false),
        (((-5, 0), (997, 1)), false),
        (((i64::MAX, 0), (997, 1)), true),
    ] {
        (stat.st_mtime, stat.st_mtime_nsec) = modified;
        (stat.st_ctime, stat.st_ctime_nsec) = changed;
        assert_eq!(is_racy(&stat, now), expected, "{modified:?} {changed:?}");
    }
}

#[test]
fn the_cache_file_is_only_written_for_news_and_damage_is_nothing_known() {
    let root = directory(&["a", "b"]);
    let cache = tempfile::tempdir().unwrap();
    let file = cache.path().join("cache");
    settle();
    let mut context = scan(&root);
    context.save_cache(&file).unwrap();
    assert!(!file.exists());
    context.digest(&["a".into()]).unwrap();
    context.save_cache(&file).unwrap();

    let mut context = Context::scan(root.path(), &(), StatCache::load(&file)).unwrap();
    context.digest(&["a".into()]).unwrap();
    context.save_cache(&cache.path().join("other")).unwrap();
    assert!(!cache.path().join("other").exists());
    context.digest(&["b".into()]).unwrap();
    context.save_cache(&file).unwrap();
    let context = Context::scan(root.path(), &(), StatCache::load(&file)).unwrap();
    assert!(digest(&context, "a").is_some() && digest(&context, "b").is_some());

    let whole = fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&file, damaged).unwrap();
        let context = Context::scan(root.path(), &(), StatCache::load(&file)).unwrap();
        assert_eq!(digest(&context, "a"), None, "{at}");
    }
}

#[test]
fn what_is_gone_is_forgotten_when_it_is_the_larger_part() {
    let root = directory(&["a", "b", "c", "d"]);
    let cache = tempfile::tempdir().unwrap();
    let file = cache.path().join("cache");
    settle();
    let mut context = scan(&root);
    context.digest(&[PathBuf::new()]).unwrap();
    context.save_cache(&file).unwrap();
    let size = || fs::metadata(&file).unwrap().len();
    let four = size();
    for name in ["a", "b", "c", "d"] {
        fs::remove_file(root.path().join(name)).unwrap();
    }
    fs::write(root.path().join("n"), "n").unwrap();
    settle();
    let mut context = Context::scan(root.path(), &(), StatCache::load(&file)).unwrap();
    context.digest(&[PathBuf::new()]).unwrap();
    context.save_cache(&file).unwrap();
    assert!(size() < four);
    let context = Context::scan(root.path(), &(), StatCache::load(&file)).unwrap();
    assert_eq!(digest(&context, "n"), Some(Digest::of("n")));
}

#[test]
fn errors_name_the_file() {
    let root = directory(&["a"]);
    let missing = root.path().join("missing");
    let error = Context::scan(&missing, &(), StatCache::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read {missing:?}"));
    let mut context = scan(&root);
    fs::write(root.path().join("a"), "longer").unwrap();
    let error = context.digest(&[PathBuf::new()]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{:?} changed while it was read", root.path().join("a"))
    );
    fs::remove_file(root.path().join("a")).unwrap();
    let error = context.digest(&[PathBuf::new()]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot read {:?}", root.path().join("a"))
    );
}
