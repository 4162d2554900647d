//! Space: du and prune.

use std::{
    fs,
    os::unix::fs::symlink,
    process::Command,
    time::{Duration, SystemTime},
};

use rbuild_testutils::need;

use super::*;
use crate::image::{Layer, MediaType, fixture::Memory};

/// Says that something was used that many days after a day long ago.
fn used(path: &Path, day: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + day * 86400);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

/// A layer with its blob, tree, unpacked form, and the record of a step that made it.
fn step(store: &Store, text: &str, day: u64) -> Layer {
    let memory = Memory::default();
    let layer = memory.layer("file", text);
    store.fetch(&memory, &layer.descriptor).unwrap();
    store.put_tree(&layer.diff_id, b"tree").unwrap();
    let unpacked = store.new_layer_dir().unwrap();
    fs::write(unpacked.root().join("file"), text).unwrap();
    let unpacked = unpacked.publish("overlay", &layer.diff_id).unwrap();
    let record = Record {
        layers: vec![layer.clone()],
        ..Record::default()
    };
    store.put_step(&Digest::of(text), &record).unwrap();
    for path in [
        unpacked.with_file_name("stamp"),
        store.record_path(Cache::Trees, &layer.diff_id),
        store.record_path(Cache::Steps, &Digest::of(text)),
    ] {
        used(&path, day);
    }
    layer
}

fn total(store: &Store) -> u64 {
    store.du().unwrap().total()
}

#[test]
fn usage_is_what_du_says() {
    let Some(du) = need("du") else { return };
    let (_dir, store) = store();
    step(&store, "hello", 0);
    let layer = store.new_layer_dir().unwrap();
    fs::write(layer.root().join("one"), vec![1; 100_000]).unwrap();
    fs::hard_link(layer.root().join("one"), layer.root().join("two")).unwrap();
    symlink("/etc", layer.root().join("link")).unwrap();
    let _work = store.tmp_dir().unwrap();
    let check = || {
        let output = Command::new(&du)
            .args(["-s", "--block-size=1"])
            .arg(store.root())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(total(&store).to_string(), said.split_whitespace().next().unwrap());
    };
    check();
    // The same file in two parts of the store counts once.
    fs::hard_link(layer.root().join("one"), store.root().join("blobs/one")).unwrap();
    check();
    layer.publish("overlay", &Digest::of("x")).unwrap();
    check();
}

#[test]
fn usage_is_told_by_part() {
    let (_dir, store) = store();
    step(&store, "hello", 0);
    store
        .tag("a", &Descriptor::of(MediaType::ImageManifest, b"m"))
        .unwrap();
    let usage = store.du().unwrap();
    let parts: Vec<_> = usage.parts.iter().map(|part| (part.name, part.count)).collect();
    let expected = [
        ("blobs", 1),
        ("steps", 1),
        ("trees", 1),
        ("why", 0),
        ("contexts", 0),
        ("layers", 1),
        ("mounts", 0),
        ("tmp", 1),
        ("other", 2),
    ];
    assert_eq!(parts, expected);
    assert_eq!(usage.orphaned, 0);
    assert!(usage.parts.iter().all(|part| part.bytes > 0));
}

#[test]
fn what_nothing_refers_to_is_pruned() {
    let (_dir, store) = store();
    let memory = Memory::default();
    let image = memory.image("linux/amd64", &["x", "y"]);
    let other = memory.image("linux/arm64", &["z"]);
    let (image, other) = (memory.put_image(&image), memory.put_image(&other));
    let index = memory.put_index(vec![image, other]);
    for blob in crate::archive::closure(&memory, &index).unwrap() {
        store.fetch(&memory, &blob).unwrap();
    }
    step(&store, "hello", 0);
    store.tag("a", &index).unwrap();
    let before = listing(store.root());
    assert_eq!(store.du().unwrap().orphaned, 0);
    assert_eq!(store.prune(None, &Plain).unwrap(), Pruned::default());

    store.put_blob(b"nobody's").unwrap();
    fs::write(store.root().join("blobs/sha256/not-a-digest"), "x").unwrap();
    store.put_tree(&Digest::of("nobody's"), b"tree").unwrap();
    store
        .new_layer_dir()
        .unwrap()
        .publish("overlay", &Digest::of("nobody's"))
        .unwrap();
    let usage = store.du().unwrap();
    assert!(usage.orphaned > 0);
    let pruned = store.prune(None, &Plain).unwrap();
    assert_eq!(
        pruned,
        Pruned {
            count: 4,
            bytes: usage.orphaned
        }
    );
    let listing_without_lock = |mut listing: Vec<PathBuf>| {
        listing.retain(|path| path != Path::new("lock"));
        listing
    };
    assert_eq!(
        listing_without_lock(listing(store.root())),
        listing_without_lock(before)
    );
    assert_eq!(store.du().unwrap().orphaned, 0);

    store.untag("a").unwrap();
    assert_eq!(
        store.prune(None, &Plain).unwrap().count,
        8,
        "index, manifests, configs, layers"
    );
    assert!(store.get_step(&Digest::of("hello")).is_some());
}

#[test]
fn a_torn_record_keeps_nothing() {
    let (_dir, store) = store();
    let layer = step(&store, "hello", 0);
    fs::write(store.record_path(Cache::Steps, &Digest::of("hello")), "{").unwrap();
    assert!(store.du().unwrap().orphaned > 0);
    store.prune(None, &Plain).unwrap();
    assert!(!store.has(&layer.descriptor).unwrap());
    assert_eq!(store.du().unwrap().orphaned, 0);
    assert_eq!(listing(&store.root().join("steps")), Vec::<PathBuf>::new());
}

#[test]
fn layers_of_another_boot_are_pruned() {
    let (_dir, store) = store();
    let layer = step(&store, "hello", 0);
    let unpacked = store.layer_dir("overlay", &layer.diff_id).unwrap();
    fs::write(unpacked.with_file_name("stamp"), "another boot").unwrap();
    let removed = std::cell::RefCell::new(Vec::new());
    let remover = |path: &Path| {
        removed.borrow_mut().push(path.to_owned());
        Plain.remove(path)
    };
    assert_eq!(store.prune(None, &remover).unwrap().count, 1);
    assert!(!unpacked.exists() && store.has(&layer.descriptor).unwrap());
    let tmp = store.root().join("tmp");
    assert!(
        removed.borrow().iter().all(|path| path.starts_with(&tmp)),
        "{removed:?}"
    );
    assert_eq!(removed.borrow().len(), 1);
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let (_dir, store) = store();
    let memory = Memory::default();
    let layers = ["oldest", "older", "newest"].map(|text| step(&store, text, text.len() as u64));
    // "older" (5) was used before "oldest" and "newest" (6); its layer is the tagged image's, too.
    let mut image = Image::scratch(&"linux/amd64".parse().unwrap());
    image.append(layers[1].clone(), Default::default());
    let descriptor = memory.put_image(&image);
    for blob in crate::archive::closure(&memory, &descriptor).unwrap_or_default() {
        let _ = store.fetch(&memory, &blob);
    }
    store.put_image(&image).unwrap();
    store.tag("kept", &descriptor).unwrap();
    used(&store.record_path(Cache::Steps, &Digest::of("oldest")), 1);
    used(&store.record_path(Cache::Trees, &layers[0].diff_id), 1);

    let pruned = store.prune(Some(total(&store) - 1), &Plain).unwrap();
    assert!(pruned.count > 0);
    assert!(store.get_step(&Digest::of("oldest")).is_none());
    assert!(store.get_step(&Digest::of("older")).is_some());
    let keep = total(&store);
    assert_eq!(
        store.prune(Some(keep), &Plain).unwrap(),
        Pruned::default(),
        "it fits"
    );

    store.prune(Some(0), &Plain).unwrap();
    for text in ["oldest", "older", "newest"] {
        assert!(store.get_step(&Digest::of(text)).is_none(), "{text}");
    }
    let there = layers
        .each_ref()
        .map(|layer| store.has(&layer.descriptor).unwrap());
    assert_eq!(there, [false, true, false], "the tagged image keeps its layer");
    assert!(store.has(&descriptor).unwrap());
    assert_eq!(store.du().unwrap().orphaned, 0);
}

#[test]
fn directories_of_caches_go_like_records() {
    let (_dir, store) = store();
    let directory = |name: &str| {
        let path = store.cache_dir(Cache::Contexts, &Digest::of(name)).unwrap();
        fs::write(path.join("file"), [7; 5000]).unwrap();
        path
    };
    let (old, new) = (directory("old"), directory("new"));
    used(&old, 1);
    used(&new, 9);
    assert_eq!(store.prune(None, &Plain).unwrap(), Pruned::default());
    store.prune(Some(total(&store) - 1), &Plain).unwrap();
    assert!(!old.exists() && new.join("file").exists());
    assert_eq!(store.cache_dir(Cache::Contexts, &Digest::of("new")).unwrap(), new);
    assert!(new.join("file").exists());
}

#[test]
fn a_blob_stays_as_long_as_a_step_uses_it() {
    let (_dir, store) = store();
    let layer = step(&store, "hello", 1);
    let record = Record {
        layers: vec![layer.clone()],
        ..Record::default()
    };
    store.put_step(&Digest::of("again"), &record).unwrap();
    let again = store.record_path(Cache::Steps, &Digest::of("again"));
    used(&again, 9);
    let first = store.record_path(Cache::Steps, &Digest::of("hello"));
    used(&first, 0);
    store.prune(Some(total(&store) - 1), &Plain).unwrap();
    assert!(!first.exists());
    assert!(again.exists() && store.has(&layer.descriptor).unwrap());
    store.prune(Some(0), &Plain).unwrap();
    assert!(!again.exists() && !store.has(&layer.descriptor).unwrap());
}

#[test]
fn nothing_is_pruned_while_something_builds() {
    let (_dir, store) = store();
    let digest = store.put_blob(b"nobody's").unwrap();
    let other = Store::open(store.root()).unwrap();
    let holds = [store.hold().unwrap(), other.hold().unwrap()];
    for _hold in holds {
        assert!(matches!(store.prune(Some(0), &Plain), Err(Error::InUse { .. })));
        assert!(store.layout().blob_path(&digest).exists());
    }
    store.prune(None, &Plain).unwrap();
    assert!(!store.layout().blob_path(&digest).exists());
    let _hold = other.hold().unwrap();
}
