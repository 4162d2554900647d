//! What must not get lost: blobs and names.

use std::{collections::BTreeSet, fs, io::Write as _, os::unix::fs::PermissionsExt as _, thread};

use super::*;
use crate::image::{MediaType, fixture::Memory, read_small};

fn blob(bytes: &[u8]) -> Descriptor {
    Descriptor::of(MediaType::ImageLayer, bytes)
}

#[test]
fn a_store_is_made_once_and_found_again() {
    let (dir, store) = store();
    let root = dir.path().join("store");
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
    let made = listing(&root);
    let names: Vec<_> = made.iter().map(|path| path.to_str().unwrap()).collect();
    let expected = "blobs blobs/sha256 contexts index.json layers mounts oci-layout steps tmp trees why";
    assert_eq!(names.join(" "), expected);
    store.put_blob(b"x").unwrap();
    drop(store);
    assert!(Store::open(&root).unwrap().has(&blob(b"x")).unwrap());
    assert_eq!(listing(&root).len(), made.len() + 1);
}

#[test]
fn a_store_that_was_begun_is_completed() {
    for have in [&["tmp"][..], &["blobs", "steps"], &["index.json", "lost+found"]] {
        let dir = tempfile::tempdir().unwrap();
        for name in have {
            match *name {
                "index.json" => {
                    fs::write(dir.path().join(name), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap()
                }
                name => fs::create_dir(dir.path().join(name)).unwrap(),
            }
        }
        let store = Store::open(dir.path()).unwrap();
        store.tag("a", &blob(b"x")).unwrap();
        assert_eq!(store.images().unwrap().len(), 1, "{have:?}");
    }
}

#[test]
fn other_directories_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "").unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("is not a store of rbuild: it holds \"thesis.tex\""),
        "{error}"
    );
    assert_eq!(listing(dir.path()).len(), 1);
    let file = dir.path().join("thesis.tex");
    assert!(chain(&Store::open(&file).unwrap_err()).contains("thesis.tex"));
}

#[test]
fn layouts_of_other_versions_are_refused() {
    for (marker, why) in [
        (r#"{"imageLayoutVersion":"2.0.0"}"#, "\"2.0.0\""),
        ("{}", "missing field"),
        ("", "not valid"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("oci-layout"), marker).unwrap();
        let error = Layout::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains(why), "{marker}: {error}");
    }
}

#[test]
fn the_default_place_follows_the_environment() {
    type Variables<'a> = &'a [(&'a str, &'a str)];
    let table: [(Variables, Option<&str>); 7] = [
        (
            &[("RBUILD_ROOT", "/r"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")],
            Some("/r"),
        ),
        (&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")], Some("/x/rbuild")),
        (
            &[("XDG_DATA_HOME", "relative"), ("HOME", "/h")],
            Some("/h/.local/share/rbuild"),
        ),
        (
            &[("RBUILD_ROOT", ""), ("XDG_DATA_HOME", ""), ("HOME", "/h")],
            Some("/h/.local/share/rbuild"),
        ),
        (&[("RBUILD_ROOT", "r")], Some("r")),
        (&[("HOME", "")], None),
        (&[], None),
    ];
    for (variables, expected) in table {
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| value.into())
        };
        let root = default_root(variable).ok();
        assert_eq!(root.as_deref(), expected.map(Path::new), "{variables:?}");
    }
}

#[test]
fn blobs_come_back() {
    let (_dir, store) = store();
    let digest = store.put_blob(b"hello").unwrap();
    assert_eq!(digest, Digest::of(b"hello"));
    assert_eq!(read_small(&store, &blob(b"hello")).unwrap(), b"hello");
    let mut incoming = store.new_blob().unwrap();
    incoming.write_all(b"hel").unwrap();
    incoming.write_bytes(b"p").unwrap();
    assert_eq!(incoming.written(), 4);
    assert!(!store.has(&blob(b"help")).unwrap());
    incoming.commit(&Digest::of(b"help")).unwrap();
    assert_eq!(read_small(&store, &blob(b"help")).unwrap(), b"help");
    let missing = read_small(&store, &blob(b"other")).unwrap_err();
    assert!(matches!(missing, BlobError::Missing { .. }));
    let path = store.layout().blob_path(&digest);
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o111, 0);
}

#[test]
fn damaged_blobs_are_found_and_replaced() {
    let (_dir, store) = store();
    for damage in [&b"hellx"[..], b"hell", b"hello!", b""] {
        store.put_blob(b"hello").unwrap();
        fs::write(store.layout().blob_path(&Digest::of(b"hello")), damage).unwrap();
        let error = read_small(&store, &blob(b"hello")).unwrap_err();
        assert!(
            matches!(error, BlobError::Digest { .. } | BlobError::Size { .. }),
            "{error}"
        );
        assert!(
            error.to_string().contains(store.root().to_str().unwrap()),
            "{error}"
        );
        store.discard_blob(&Digest::of(b"hello")).unwrap();
        assert!(!store.has(&blob(b"hello")).unwrap());
    }
    store.discard_blob(&Digest::of(b"hello")).unwrap();
    store.put_blob(b"hello").unwrap();
    assert_eq!(read_small(&store, &blob(b"hello")).unwrap(), b"hello");
}

#[test]
fn a_blob_that_is_not_what_it_should_be_is_not_fetched() {
    let (_dir, store) = store();
    let memory = Memory::default();
    let layer = memory.put(MediaType::ImageLayer, b"hello");
    memory.damage(&layer.digest, b"hellx");
    assert!(matches!(
        store.fetch(&memory, &layer),
        Err(Error::Blob(BlobError::Digest { .. }))
    ));
    memory.forget(&layer.digest);
    assert!(matches!(
        store.fetch(&memory, &layer),
        Err(Error::Blob(BlobError::Missing { .. }))
    ));
    assert!(!store.has(&layer).unwrap());
    memory.put(MediaType::ImageLayer, b"hello");
    store.fetch(&memory, &layer).unwrap();
    memory.forget(&layer.digest);
    store.fetch(&memory, &layer).unwrap();
    assert!(store.has(&layer).unwrap());
}

#[test]
fn names_move_and_go() {
    let (_dir, store) = store();
    let (one, two) = (blob(b"1"), blob(b"2"));
    let name = "docker.io/library/app:1";
    store.tag(name, &one).unwrap();
    store.tag("localhost:5000/app@x", &one).unwrap();
    assert_eq!(store.resolve(name).unwrap().unwrap().digest, one.digest);
    store.tag(name, &two).unwrap();
    assert_eq!(store.resolve(name).unwrap().unwrap().digest, two.digest);
    let names: Vec<_> = store
        .images()
        .unwrap()
        .into_iter()
        .map(|image| image.name.unwrap())
        .collect();
    assert_eq!(names, [name, "localhost:5000/app@x"]);
    assert!(store.untag(name).unwrap());
    assert!(!store.untag(name).unwrap());
    assert_eq!(store.resolve(name).unwrap(), None);
    for wrong in ["", "a b", "a\nb", "a\0", &"x".repeat(1001)] {
        assert!(
            matches!(store.tag(wrong, &one), Err(Error::Name { .. })),
            "{wrong:?}"
        );
    }
}

#[test]
fn images_are_found_as_people_name_them() {
    let (_dir, store) = store();
    let memory = Memory::default();
    let [first, two] = ["1", "2"].map(|text| memory.image("linux/amd64", &[text]));
    let one = store.put_image(&first).unwrap();
    let unnamed = store.put_image(&two).unwrap();
    store.tag("docker.io/library/app:latest", &one).unwrap();
    store.tag("odd", &one).unwrap();
    let hex = one.digest.hex();
    for name in [
        "app",
        "app:latest",
        "docker.io/app",
        "odd",
        &hex[..6],
        &format!("sha256:{hex}"),
    ] {
        assert_eq!(store.find(name).unwrap().digest, one.digest, "{name}");
    }
    assert_eq!(
        store.find(&unnamed.digest.to_string()).unwrap().digest,
        unnamed.digest
    );
    let config = two.encode().unwrap().config_descriptor.digest.to_string();
    for nothing in ["app:2", "", &hex[..5], &unnamed.digest.hex()[..20], &config] {
        assert!(
            matches!(store.find(nothing), Err(Error::NoImage { .. })),
            "{nothing}"
        );
    }
}

#[test]
fn images_are_removed_by_name_or_digest() {
    let (_dir, store) = store();
    let (one, two) = (blob(b"1"), blob(b"2"));
    for name in ["a", "b"] {
        store.tag(name, &one).unwrap();
    }
    store.tag("c", &two).unwrap();
    let hex = one.digest.hex();
    for nothing in ["d", "", "sha256:", &hex[..5], &two.digest.hex()[1..20]] {
        assert!(
            matches!(store.rmi(nothing), Err(Error::NoImage { .. })),
            "{nothing}"
        );
    }
    assert_eq!(store.rmi("c").unwrap().len(), 1);
    let gone = store.rmi(&format!("sha256:{}", &hex[..6])).unwrap();
    assert_eq!(
        gone.iter().flat_map(|image| &image.name).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(store.images().unwrap(), []);
}

#[test]
fn what_others_wrote_into_the_index_stays() {
    let (_dir, store) = store();
    let path = store.root().join("index.json");
    let theirs = r#"{"schemaVersion":2,"manifests":[{"mediaType":"x/y","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"annotations":{"k":"v"},"zeta":{"a":1}}],"annotations":{"n":"m"},"future":[1]}"#;
    fs::write(&path, theirs).unwrap();
    store.tag("a", &blob(b"1")).unwrap();
    store.untag("a").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
}

#[test]
fn an_index_that_is_no_index_is_reported_and_kept() {
    let (_dir, store) = store();
    let path = store.root().join("index.json");
    fs::write(&path, "{").unwrap();
    let error = store.tag("a", &blob(b"1")).unwrap_err();
    assert!(
        chain(&error).contains("index.json is not valid: EOF"),
        "{}",
        chain(&error)
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "{");
}

#[test]
fn nobody_s_name_gets_lost() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let (threads, rounds) = (8, 20);
    thread::scope(|scope| {
        for thread in 0..threads {
            let root = &root;
            // A store of its own each, as processes have: locks belong to open files.
            scope.spawn(move || {
                let store = Store::open(root).unwrap();
                let _hold = store.hold().unwrap();
                for round in 0..rounds {
                    let bytes = format!("{thread} {round}");
                    store.put_blob(bytes.as_bytes()).unwrap();
                    store.put_blob(b"the same").unwrap();
                    store
                        .tag(&format!("image:{thread}-{round}"), &blob(bytes.as_bytes()))
                        .unwrap();
                    store.tag("latest", &blob(bytes.as_bytes())).unwrap();
                    if round % 2 == 1 {
                        assert!(store.untag(&format!("image:{thread}-{}", round - 1)).unwrap());
                    }
                }
            });
        }
    });
    let store = Store::open(&root).unwrap();
    let names: BTreeSet<_> = store
        .images()
        .unwrap()
        .into_iter()
        .flat_map(|image| image.name)
        .collect();
    let odd = (0..threads).flat_map(|thread| {
        (1..rounds)
            .step_by(2)
            .map(move |round| format!("image:{thread}-{round}"))
    });
    assert_eq!(names, odd.chain(["latest".to_owned()]).collect());
    for image in store.images().unwrap() {
        read_small(&store, &image.descriptor).unwrap();
    }
    assert_eq!(listing(&root.join("tmp")), Vec::<PathBuf>::new());
}

#[test]
fn images_are_stored_as_their_bytes() {
    let (_dir, store) = store();
    let memory = Memory::default();
    let descriptor = memory.docker_image();
    let image = Image::load(&memory, &descriptor, &"linux/amd64".parse().unwrap()).unwrap();
    assert_eq!(store.put_image(&image).unwrap(), descriptor);
    let again = Image::load(&store, &descriptor, &"linux/amd64".parse().unwrap()).unwrap();
    assert_eq!(again.encode().unwrap(), image.encode().unwrap());
}
