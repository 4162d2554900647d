//! Random trees, and random things done to them.

mod numbers;
mod remembered;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, symlink},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use proptest::{collection::vec, prelude::*};
use rustix::{
    fs::{OFlags, RenameFlags, ResolveFlags, Timespec, XattrFlags},
    io::Errno,
};

use super::{
    Asker, Contents, Device, Farm, How, Opened, SetTime, Special, View, mounts::MountId, touched::Extent,
    view::Told,
};
use crate::{
    Digest,
    exec::supervised::{Family, Who},
    layer::{self, LayerIndex, LocalContents},
    tree::{self, Change, Tree, arbitrary},
};

fn how(flags: OFlags, mode: u32) -> How {
    How {
        flags,
        mode,
        bounds: ResolveFlags::empty(),
    }
}

/// A store with one layer, and a farm made of it.
struct Bench {
    room: tempfile::TempDir,
    tree: Tree,
    farm: Arc<Farm>,
    view: View,
    family: Family,
}

/// What the files of a store are: bytes, mode, time.
type Store = BTreeMap<PathBuf, (Vec<u8>, u32, i64)>;

impl Bench {
    fn new(tree: &Tree) -> Self {
        let room = tempfile::tempdir().unwrap();
        let mut tar = Vec::new();
        layer::write_tar(&tree::diff(&Tree::new(), tree), &LocalContents, &mut tar).unwrap();
        let (tree, contents) = unpacked(&tar, &Tree::new(), &room.path().join("store"));
        fs::create_dir(room.path().join("farm")).unwrap();
        let farm = Arc::new(Farm::make(&room.path().join("farm"), &tree, &contents).unwrap());
        let view = View::new(farm.clone()).unwrap();
        Self {
            room,
            tree,
            farm,
            view,
            family: Family::default(),
        }
    }

    fn asker(&self, uid: u32) -> Asker<'_> {
        Asker {
            who: Who::new(uid, uid, &[]).into(),
            root: self.view.root().clone(),
            umask: 0o022,
            pid: 1,
            thread: 1,
            family: &self.family,
        }
    }

    fn store(&self) -> Store {
        let files = fs::read_dir(self.room.path().join("store")).unwrap();
        let look = |file: fs::DirEntry| {
            let stat = file.metadata().unwrap();
            let what = (fs::read(file.path()).unwrap(), stat.mode(), stat.mtime());
            (file.path(), what)
        };
        files.map(|file| look(file.unwrap())).collect()
    }

    fn open(&self, path: &str, flags: OFlags) -> Result<fs::File, Errno> {
        let asker = self.asker(0);
        let how = how(flags, 0o644);
        match self.view.open(&asker, self.view.root(), path.as_bytes(), how)? {
            Opened::File(file) => Ok(file.into()),
            Opened::Pipe(..) => Err(Errno::AGAIN),
        }
    }

    fn tell(&self, path: &str) -> Told {
        let node = self
            .view
            .find(&self.asker(0), self.view.root(), path.as_bytes(), false);
        self.view.tell(&node.unwrap())
    }
}

/// A layer, its tree on top of another, and the contents of its files in a new directory.
fn unpacked(tar: &[u8], below: &Tree, directory: &Path) -> (Tree, Contents) {
    let index: LayerIndex = layer::index(tar, None).unwrap();
    fs::create_dir(directory).unwrap();
    layer::unpack_contents(tar, directory).unwrap();
    let mut tree = below.clone();
    tree.apply(&index.changes).unwrap();
    (tree, [(index.diff_id, directory.to_owned())].into())
}

#[derive(Clone, Debug)]
enum Step {
    Write(PathBuf, Vec<u8>),
    Open(PathBuf),
    Truncate(PathBuf, u64),
    Directory(PathBuf),
    Symlink(PathBuf, PathBuf),
    Special(PathBuf, bool),
    Remove(PathBuf, bool),
    Rename(PathBuf, PathBuf, bool),
    Link(PathBuf, PathBuf),
    Mode(PathBuf, u32),
    Owner(PathBuf, u32),
    Times(PathBuf, i64),
    Attribute(PathBuf, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let path = arbitrary::path;
    prop_oneof![
        3 => (path(), vec(any::<u8>(), 0..9)).prop_map(|(path, bytes)| Step::Write(path, bytes)),
        1 => path().prop_map(Step::Open),
        1 => (path(), 0..9_u64).prop_map(|(path, size)| Step::Truncate(path, size)),
        2 => path().prop_map(Step::Directory),
        1 => (path(), path()).prop_map(|(path, target)| Step::Symlink(path, target)),
        1 => (path(), any::<bool>()).prop_map(|(path, device)| Step::Special(path, device)),
        3 => (path(), any::<bool>()).prop_map(|(path, directory)| Step::Remove(path, directory)),
        3 => (path(), path(), prop::bool::weighted(0.2)).prop_map(|(from, to, swap)| Step::Rename(from, to, swap)),
        2 => (path(), path()).prop_map(|(from, to)| Step::Link(from, to)),
        2 => (path(), 0..0o10000_u32).prop_map(|(path, mode)| Step::Mode(path, mode)),
        2 => (path(), 0..3_u32).prop_map(|(path, owner)| Step::Owner(path, owner)),
        1 => (path(), 0..3_i64).prop_map(|(path, time)| Step::Times(path, time)),
        1 => (path(), any::<bool>()).prop_map(|(path, set)| Step::Attribute(path, set)),
    ]
}

/// Most steps fail, as they would for a program that knows nothing.
fn take(bench: &Bench, step: &Step) -> Result<(), Errno> {
    let (view, asker) = (&bench.view, bench.asker(0));
    let root = view.root();
    let bytes = |path: &PathBuf| path.as_os_str().as_bytes().to_vec();
    let find = |path: &PathBuf| view.find(&asker, root, path.as_os_str().as_bytes(), false);
    let target = |path: &PathBuf| view.target(&asker, root, path.as_os_str().as_bytes(), false);
    match step {
        Step::Write(path, bytes) => {
            let how = how(OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC, 0o666);
            match view.open(&asker, root, path.as_os_str().as_bytes(), how)? {
                Opened::File(file) => rustix::io::write(file, bytes).map(drop),
                Opened::Pipe(..) => Ok(()),
            }
        }
        Step::Open(path) => {
            let opened = view.open(&asker, root, &bytes(path), how(OFlags::RDWR, 0));
            opened.map(drop)
        }
        Step::Truncate(path, size) => view.truncate(&asker, &find(path)?, *size),
        Step::Directory(path) => view.make_directory(&asker, root, &bytes(path), 0o777),
        Step::Symlink(path, target) => view.make_link(&asker, &bytes(target), root, &bytes(path)),
        Step::Special(path, device) => {
            let special = match device {
                true => Special::Device(Device {
                    block: false,
                    number: (1, 3),
                }),
                false => Special::Fifo,
            };
            view.make_special(&asker, root, &bytes(path), 0o600, special)
        }
        Step::Remove(path, directory) => view.remove(&asker, root, &bytes(path), *directory),
        Step::Rename(from, to, swap) => {
            let flags = if *swap {
                RenameFlags::EXCHANGE
            } else {
                RenameFlags::empty()
            };
            view.rename(&asker, (root, &bytes(from)), (root, &bytes(to)), flags)
        }
        Step::Link(from, to) => view.link(&asker, &find(from)?, root, &bytes(to)),
        Step::Mode(path, mode) => view.set_mode(&asker, &target(path)?, *mode),
        Step::Owner(path, owner) => view.set_owner(&asker, &target(path)?, Some(*owner), None),
        Step::Times(path, seconds) => {
            let time = Timespec {
                tv_sec: *seconds,
                tv_nsec: 0,
            };
            view.set_times(&asker, &find(path)?, SetTime::To(time, time))
        }
        Step::Attribute(path, set) => {
            let name = OsString::from("user.own");
            match set {
                true => view.set_attribute(&asker, &target(path)?, (name, vec![1]), XattrFlags::empty()),
                false => view.remove_attribute(&asker, &target(path)?, &name),
            }
        }
    }
}

/// A layer is made of changes, and the next run is about to begin.
fn go_on(bench: &Bench, tree: &mut Tree, changes: &[Change], number: usize) {
    let mut tar = Vec::new();
    layer::write_tar(changes, &LocalContents, &mut tar).unwrap();
    let index = layer::index(&tar[..], None).unwrap();
    let next = bench.room.path().join(number.to_string());
    fs::create_dir(&next).unwrap();
    bench.farm.share(&index.changes, &next).unwrap();
    tree.apply(&index.changes).unwrap();
    bench.farm.advance(tree, &[(index.diff_id, next)].into()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// The layer says all that the run did, the farm goes on as if made of it, and the store stays as it was.
    #[test]
    fn touched_paths_are_all_that_a_layer_needs(
        tree in arbitrary::tree(),
        runs in vec(vec(step(), 0..20), 1..3),
    ) {
        let bench = Bench::new(&tree);
        let before = bench.store();
        let mut tree = bench.tree.clone();
        for (number, steps) in runs.iter().enumerate() {
            for step in steps {
                let _ = take(&bench, step);
            }
            let changes = bench.farm.changes(&tree).unwrap();
            bench.farm.touched.add(Path::new(""), Extent::Below);
            prop_assert_eq!(&bench.farm.changes(&tree).unwrap(), &changes, "a look at everything finds more");
            go_on(&bench, &mut tree, &changes, number);
            bench.farm.touched.add(Path::new(""), Extent::Below);
            prop_assert_eq!(&bench.farm.changes(&tree).unwrap(), &[], "the farm is not what the layers say");
        }
        prop_assert_eq!(before, bench.store());
    }

    /// The kernel's way, the walker's, and the Tree's lead to the same.
    #[test]
    fn all_ways_lead_to_the_same(
        tree in arbitrary::tree(),
        names in vec(prop::sample::select(vec!["a", "b", "c", "..", ".", "ü", ""]), 1..6),
        absolute in any::<bool>(),
        follow in any::<bool>(),
    ) {
        let bench = Bench::new(&tree);
        let path = format!("{}{}", if absolute { "/" } else { "" }, names.join("/"));
        prop_assume!(!path.is_empty());
        let (view, asker) = (&bench.view, bench.asker(0));
        let walked = view.walk(&asker, view.root(), path.as_bytes(), follow);
        let walked = walked.and_then(|found| found.node().cloned());
        let found = view.find(&asker, view.root(), path.as_bytes(), follow);
        prop_assert_eq!(found.as_ref().map(|node| node.key()), walked.as_ref().map(|node| node.key()));
        let located = view.locate(&asker, view.root(), path.as_bytes(), follow);
        let located = located.and_then(|found| found.node().cloned());
        prop_assert_eq!(located.as_ref().map(|node| node.key()), walked.as_ref().map(|node| node.key()));
        // A slash or a dot at the end follows.
        let follow = follow || path.ends_with('/') || path.ends_with("/.");
        let resolved = bench.tree.resolve(&path, follow);
        match walked {
            Ok(node) => {
                let place = view.whole_path(&node).unwrap();
                let place = place.strip_prefix("/").unwrap();
                prop_assert_eq!(&resolved.as_ref().unwrap().path, place);
            }
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => prop_assert!(resolved.is_err(), "{}", error),
        }
    }
}

fn small() -> Tree {
    let room = tempfile::tempdir().unwrap();
    let file = |bytes: &[u8]| tree::Node {
        metadata: tree::Metadata {
            mode: 0o644,
            uid: 7,
            gid: 8,
            mtime: 1000,
            ..Default::default()
        },
        kind: tree::Kind::File(tree::Content {
            size: bytes.len() as u64,
            digest: Some(Digest::of(bytes)),
            origin: tree::Origin::Memory(bytes.into()),
        }),
    };
    drop(room);
    let mut tree = Tree::new();
    tree.insert("etc/passwd", file(b"root")).unwrap();
    tree.insert("one", file(b"1")).unwrap();
    tree.link("two", "one").unwrap();
    tree
}

#[test]
fn nothing_leads_out_of_the_root() {
    let bench = Bench::new(&small());
    let outside = bench.room.path().join("outside");
    fs::write(&outside, "secret").unwrap();
    let root = bench.farm.root();
    // As an image may have them.
    let up = format!(
        "{}{}",
        "../".repeat(30),
        outside.strip_prefix("/").unwrap().display()
    );
    symlink(&outside, root.join("absolute")).unwrap();
    symlink(&up, root.join("relative")).unwrap();
    symlink("/proc/self/root", root.join("magic")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    let absolute = outside.to_str().unwrap();
    for path in [
        absolute,
        &up,
        "absolute",
        "relative",
        "etc/../absolute",
        "magic/etc",
        "../../outside",
    ] {
        for flags in [OFlags::RDONLY, OFlags::WRONLY, OFlags::PATH] {
            assert_eq!(bench.open(path, flags).err(), Some(Errno::NOENT), "{path}");
        }
    }
    let link = bench.open("absolute", OFlags::PATH | OFlags::NOFOLLOW).unwrap();
    assert_eq!(rustix::io::read(&link, &mut [0; 6]), Err(Errno::BADF));
    let stood_for = bench.view.node(std::os::fd::OwnedFd::from(link)).unwrap();
    assert_eq!(bench.view.link_text(&stood_for).unwrap(), absolute.as_bytes());
    assert_eq!(bench.open("loop/x", OFlags::RDONLY).err(), Some(Errno::LOOP));
    // What is only to stand for a file is one that the kernel gives to others.
    for path in ["etc", "etc/passwd"] {
        let file = bench.open(path, OFlags::PATH).unwrap();
        assert!(
            !rustix::fs::fcntl_getfl(file).unwrap().contains(OFlags::PATH),
            "{path}"
        );
    }
    for path in ["/../../etc/passwd", "etc/../../../etc/passwd", "/etc//./passwd"] {
        assert!(bench.open(path, OFlags::RDONLY).is_ok(), "{path}");
    }
    // Made in the root, at the place that it names there.
    let made = bench.open(absolute, OFlags::WRONLY | OFlags::CREATE);
    assert_eq!(made.err(), Some(Errno::NOENT));
    assert_eq!(fs::read_to_string(&outside).unwrap(), "secret");
}

#[test]
fn files_of_the_store_are_copied_before_they_change() {
    let bench = Bench::new(&small());
    let before = bench.store();
    let asker = bench.asker(0);
    let node = |path: &str| {
        bench
            .view
            .find(&asker, bench.view.root(), path.as_bytes(), false)
            .unwrap()
    };
    assert_eq!(bench.tell("one").links, 2);
    // One of two names parts from the other, as on an overlay.
    bench.view.set_mode(&asker, &node("one").into(), 0o4755).unwrap();
    assert_eq!(
        (bench.tell("one").mode, bench.tell("two").mode),
        (0o104_755, 0o100_644)
    );
    rustix::io::write(bench.open("two", OFlags::WRONLY).unwrap(), b"2").unwrap();
    let now = Timespec {
        tv_sec: 5,
        tv_nsec: 0,
    };
    bench
        .view
        .set_times(&asker, &node("etc/passwd"), SetTime::To(now, now))
        .unwrap();
    bench.view.truncate(&asker, &node("etc/passwd"), 2).unwrap();
    bench
        .view
        .link(&asker, &node("etc/passwd"), bench.view.root(), b"etc/group")
        .unwrap();
    rustix::io::write(
        bench.open("etc/group", OFlags::WRONLY | OFlags::APPEND).unwrap(),
        b"!",
    )
    .unwrap();
    let read = |path: &str| std::io::read_to_string(bench.open(path, OFlags::RDONLY).unwrap()).unwrap();
    assert_eq!(["one", "two", "etc/passwd"].map(read), ["1", "2", "ro!"]);
    assert_eq!(bench.store(), before);
}

/// As on an overlay: only the name that is changed is copied up.
#[test]
fn names_of_what_an_older_layer_has_part() {
    let bench = Bench::new(&small());
    let (mut tree, asker, root) = (bench.tree.clone(), bench.asker(0), bench.view.root());
    let device = Special::Device(Device {
        block: false,
        number: (1, 3),
    });
    bench
        .view
        .make_special(&asker, root, b"pipe", 0o600, Special::Fifo)
        .unwrap();
    bench
        .view
        .make_special(&asker, root, b"device", 0o600, device)
        .unwrap();
    bench.view.make_link(&asker, b"one", root, b"link").unwrap();
    let names = ["pipe", "device", "link"];
    let find = |name: &str| bench.view.find(&asker, root, name.as_bytes(), false).unwrap();
    for name in names {
        let other = format!("{name}-2");
        bench
            .view
            .link(&asker, &find(name), root, other.as_bytes())
            .unwrap();
        assert_eq!(find(name).key(), find(&other).key());
    }
    let changes = bench.farm.changes(&tree).unwrap();
    go_on(&bench, &mut tree, &changes, 0);
    for name in names {
        bench
            .view
            .set_owner(&asker, &find(name).into(), Some(9), None)
            .unwrap();
        let owners = [name.to_owned(), format!("{name}-2")].map(|name| bench.tell(&name).uid);
        assert_eq!(owners, [9, 0], "{name}");
    }
    let changes = bench.farm.changes(&tree).unwrap();
    assert_eq!(changes.len(), names.len(), "{changes:?}");
}

#[test]
fn others_may_do_less() {
    let bench = Bench::new(&small());
    let (view, me) = (&bench.view, bench.asker(7));
    let root = view.root();
    let how = |flags| how(flags, 0o666);
    let open = |path: &str, flags| view.open(&me, root, path.as_bytes(), how(flags)).map(drop);
    assert_eq!(open("one", OFlags::RDWR), Ok(()));
    assert_eq!(open("new", OFlags::WRONLY | OFlags::CREATE), Err(Errno::ACCESS));
    assert_eq!(view.remove(&me, root, b"one", false), Err(Errno::ACCESS));
    let stranger = bench.asker(9);
    let node = view.find(&stranger, root, b"one", true).unwrap();
    assert_eq!(node.mount, MountId::ROOT);
    assert_eq!(
        view.set_mode(&stranger, &node.clone().into(), 0o777),
        Err(Errno::PERM)
    );
    assert_eq!(view.set_owner(&me, &node.into(), Some(9), None), Err(Errno::PERM));
    assert_eq!(
        view.open(&stranger, root, b"one", how(OFlags::WRONLY)).err(),
        Some(Errno::ACCESS)
    );
    let root_asker = bench.asker(0);
    view.set_mode(
        &root_asker,
        &view.target(&root_asker, root, b"etc", true).unwrap(),
        0o700,
    )
    .unwrap();
    assert_eq!(open("etc/passwd", OFlags::RDONLY), Err(Errno::ACCESS));
}
