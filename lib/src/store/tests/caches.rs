//! What can be rebuilt: records and unpacked layers.

use std::{
    cell::RefCell,
    fs, io,
    time::{Duration, SystemTime},
};

use proptest::prelude::*;

use super::*;
use crate::{
    image::{MediaType, fixture::Memory},
    store::cache::{open_sealed, seal},
};

fn key(text: &str) -> Digest {
    Digest::of(text)
}

#[test]
fn records_come_back() {
    let (_dir, store) = store();
    assert_eq!(store.get_step(&key("a")), None);
    let record = Record {
        layers: vec![Memory::default().layer("a", "a")],
        blobs: vec![Descriptor::of(MediaType::ImageManifest, b"m")],
        value: serde_json::json!({"why": ["not"]}),
    };
    store.put_step(&key("a"), &record).unwrap();
    store.put_step(&key("b"), &Record::default()).unwrap();
    assert_eq!(store.get_step(&key("a")), Some(record));
    assert_eq!(store.get_step(&key("b")), Some(Record::default()));
    for cache in Cache::ALL {
        store.put(cache, &key("c"), cache.directory().as_bytes()).unwrap();
        store
            .put(cache, &key("c"), &[cache.directory().as_bytes(), b"2"].concat())
            .unwrap();
    }
    for cache in Cache::ALL {
        let expected = format!("{}2", cache.directory());
        assert_eq!(store.get(cache, &key("c")), Some(expected.into_bytes()));
    }
    assert_eq!(store.get_step(&key("c")), None, "is no record");
    store.put_tree(&key("d"), &[0; 1000]).unwrap();
    assert_eq!(store.get_tree(&key("d")).unwrap().len(), 1000);
}

#[test]
fn a_torn_record_is_absent() {
    let (_dir, store) = store();
    store.put_step(&key("a"), &Record::default()).unwrap();
    let path = store.root().join("steps").join(key("a").hex());
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(store.get_step(&key("a")), None, "{length}");
        let zeros = [&whole[..length], &vec![0; whole.len() - length]].concat();
        fs::write(&path, zeros).unwrap();
        assert_eq!(store.get_step(&key("a")), None, "{length}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(store.get_step(&key("a")), None);
}

proptest! {
    #[test]
    fn a_changed_record_is_absent(bytes in proptest::collection::vec(any::<u8>(), 0..100), at: usize, flip in 1u8..) {
        let mut sealed = seal(&bytes);
        prop_assert_eq!(open_sealed(sealed.clone()), Some(bytes));
        let at = at % sealed.len();
        sealed[at] ^= flip;
        prop_assert_eq!(open_sealed(sealed), None);
    }
}

#[test]
fn use_is_noted() {
    let (_dir, store) = store();
    store.put_step(&key("a"), &Record::default()).unwrap();
    let path = store.root().join("steps").join(key("a").hex());
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::open(&path).unwrap().set_modified(old).unwrap();
    store.get_step(&key("b"));
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), old);
    store.get_step(&key("a"));
    assert!(fs::metadata(&path).unwrap().modified().unwrap() > old + Duration::from_secs(1000));
}

#[test]
fn unpacked_layers_are_published_whole() {
    let (_dir, store) = store();
    let layer = store.new_layer_dir().unwrap();
    fs::write(layer.root().join("file"), "1").unwrap();
    assert_eq!(store.layer_dir("overlay", &key("a")), None);
    let path = layer.publish("overlay", &key("a")).unwrap();
    assert_eq!(store.layer_dir("overlay", &key("a")), Some(path.clone()));
    assert_eq!(fs::read(path.join("file")).unwrap(), b"1");
    assert_eq!(store.layer_dir("other", &key("a")), None);
    assert_eq!(store.layer_dir("overlay", &key("b")), None);
}

#[test]
fn the_first_to_publish_wins() {
    let (_dir, store) = store();
    let two = [store.new_layer_dir().unwrap(), store.new_layer_dir().unwrap()];
    for (layer, text) in two.iter().zip(["1", "2"]) {
        fs::write(layer.root().join("file"), text).unwrap();
    }
    let paths = two.map(|layer| layer.publish("overlay", &key("a")).unwrap());
    assert_eq!(paths[0], paths[1]);
    assert_eq!(fs::read(paths[0].join("file")).unwrap(), b"1");
}

#[test]
fn layers_of_another_boot_are_not_trusted() {
    let (_dir, store) = store();
    let publish = |text: &str| {
        let layer = store.new_layer_dir().unwrap();
        fs::write(layer.root().join("file"), text).unwrap();
        layer.publish("overlay", &key("a")).unwrap()
    };
    let path = publish("1");
    let stamp = path.with_file_name("stamp");
    for torn in ["00000000-0000-0000-0000-000000000000\n", ""] {
        fs::write(&stamp, torn).unwrap();
        assert_eq!(store.layer_dir("overlay", &key("a")), None);
        assert_eq!(publish("2"), path);
        assert_eq!(fs::read(path.join("file")).unwrap(), b"2");
        assert_eq!(store.layer_dir("overlay", &key("a")), Some(path.clone()));
    }
    fs::write(&stamp, "synced\n").unwrap();
    assert!(store.layer_dir("overlay", &key("a")).is_some());
    drop(store);
}

#[test]
fn work_in_progress_goes_with_its_owner() {
    let (_dir, store) = store();
    let tmp = store.root().join("tmp");
    let one = store.tmp_dir().unwrap();
    let two = store.clone().tmp_dir().unwrap();
    assert_ne!(one.path(), two.path());
    fs::write(one.path().join("file"), "").unwrap();
    let path = one.path().to_owned();
    drop(one);
    assert!(!path.exists());
    let path = two.path().to_owned();
    two.remove(&Plain).unwrap();
    assert!(!path.exists());
    let layer = store.new_layer_dir().unwrap();
    drop(layer);
    drop(store.new_blob().unwrap());
    assert_eq!(listing(&tmp).len(), 2, "the process's directory and its lock");
    drop(store);
    assert_eq!(listing(&tmp), Vec::<PathBuf>::new());
}

#[test]
fn only_the_dead_are_swept() {
    let (_dir, store) = store();
    let tmp = store.root().join("tmp");
    let alive = store.tmp_dir().unwrap();
    fs::write(tmp.join("file"), "").unwrap();
    fs::create_dir(tmp.join("1-0")).unwrap();
    fs::create_dir_all(tmp.join("2-0/0/deep")).unwrap();
    fs::create_dir_all(tmp.join("3-0/0")).unwrap();
    fs::write(tmp.join("3-0/lock"), "").unwrap();
    let removed = RefCell::new(Vec::new());
    let remover = |path: &Path| -> io::Result<()> {
        removed.borrow_mut().push(path.file_name().unwrap().to_owned());
        Plain.remove(path)
    };
    Store::open(store.root()).unwrap().sweep(&remover).unwrap();
    removed.borrow_mut().sort();
    assert_eq!(*removed.borrow(), ["2-0", "3-0", "file"]);
    assert!(alive.path().is_dir());
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 1);
}

#[test]
fn directories_that_forbid_it_are_removed_all_the_same() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("a");
    fs::create_dir_all(top.join("b/c")).unwrap();
    fs::write(top.join("b/c/file"), "").unwrap();
    for path in ["b/c", "b", ""] {
        fs::set_permissions(top.join(path), fs::Permissions::from_mode(0o000)).unwrap();
    }
    Plain.remove(&top).unwrap();
    Plain.remove(&top).unwrap();
    assert!(!top.exists());
}
