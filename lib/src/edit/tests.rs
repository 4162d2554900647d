//! Images changed without a build, against the registry in this process.

use std::{fs, io::Read as _, path::Path};

use rbuild_testutils::registry::{Kind as Asked, TestRegistry};
use tempfile::TempDir;

use super::{conflict::conflicts, *};
use crate::{
    Digest, Locator,
    copy::{Options, Source},
    image::{
        BASE_DIGEST, BASE_NAME, Descriptor, History, Image, Layer, MediaType, Platform, fixture::Memory,
    },
    layer::LocalContents,
    registry::{Anonymous, Registry},
    tree::{Change, Content, Kind, Metadata, Node, Origin, Tree, What, diff},
};

fn client() -> Registry {
    Registry::builder().keychain(Anonymous).build()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

/// Puts an image of a memory into a layout, and says where.
fn place(dir: &TempDir, name: &str, memory: &Memory, image: &Image) -> Locator {
    let path = dir.path().join(name);
    let image = memory.put_image(image);
    crate::archive::write_oci_directory(memory, &image, &path, &[name.to_owned()]).unwrap();
    format!("oci:{}:{name}", path.display()).parse().unwrap()
}

async fn open(at: &Locator) -> Edit {
    Edit::open(at, &amd64(), None, &client()).await.unwrap()
}

fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

fn names(tree: &Tree) -> Vec<String> {
    tree.walk()
        .map(|found| found.path.display().to_string())
        .collect()
}

/// All that is wrong with an image somewhere.
async fn findings(at: &Locator) -> Vec<String> {
    let source = Source::open(at, &amd64(), None, &client()).await.unwrap();
    let validation = source.validate().await.unwrap();
    validation.findings.iter().map(ToString::to_string).collect()
}

/// An image in `base:latest` with one layer, which says that it has 1 GiB; whoever reads it gets something else.
fn push_large(registry: &TestRegistry) {
    let digest = Digest::of("a gigabyte");
    registry.put_blob_as("base", &digest.to_string(), b"not a gigabyte");
    let descriptor = Descriptor::new(MediaType::ImageLayerGzip, digest, 1 << 30);
    let mut image = Image::scratch(&amd64());
    let diff_id = Digest::of("its tar");
    image.append(Layer { descriptor, diff_id }, History::default());
    let encoded = image.encode().unwrap();
    registry.put_blob("base", &encoded.config);
    let media_type = encoded.descriptor.media_type.to_string();
    registry.put_manifest("base", "latest", &media_type, &encoded.manifest);
}

/// Bytes that do not compress.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn a_megabyte_onto_a_remote_gigabyte_moves_little_more() {
    let dir = TempDir::new().unwrap();
    let app = dir.path().join("app");
    fs::write(&app, noise(1 << 20)).unwrap();
    for repository in ["base", "app"] {
        let registry = TestRegistry::start();
        push_large(&registry);
        let at = |name: &str| format!("docker://{}/{name}", registry.host()).parse().unwrap();
        run(async {
            let mut edit = open(&at("base")).await;
            let files = Files::new().add(&app, "/usr/bin/app").unwrap();
            edit.append(&files.changes(), &LocalContents, History::default())
                .unwrap();
            edit.image_mut().config_mut().config.entrypoint = Some(vec!["/usr/bin/app".to_owned()]);
            let to = at(&format!("{repository}:1"));
            edit.write_to(&to, &Options::new(), &client()).await.unwrap();
        });
        let moved = registry.bytes_moved();
        assert!((1 << 20..3 << 20).contains(&moved), "{repository}: {moved} bytes");
        assert_eq!(registry.count(Asked::Mount), usize::from(repository != "base"));
        let manifest = registry.manifest(repository, "1").unwrap();
        assert_eq!(crate::image::Manifest::parse(&manifest).unwrap().layers.len(), 2);
    }
}

#[test]
fn files_and_directories_become_a_layer() {
    let dir = TempDir::new().unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("d")).unwrap();
    fs::write(source.join("d/f"), "text").unwrap();
    fs::hard_link(source.join("d/f"), source.join("d/g")).unwrap();
    std::os::unix::fs::symlink("f", source.join("d/l")).unwrap();
    let files = Files::new().owner(7, 8).mode(0o640).no_later_than(100);
    let files = files
        .add(&source, "/opt")
        .unwrap()
        .add(source.join("d/f"), "./etc/one")
        .unwrap();
    let files = files.remove("/tmp/x").unwrap();
    assert!(Files::new().add(&source, "../out").is_err());
    let to: Locator = format!("oci-archive:{}", dir.path().join("out.tar").display())
        .parse()
        .unwrap();
    run(async {
        let mut edit = Edit::scratch(&amd64()).unwrap();
        edit.append(&files.changes(), &LocalContents, History::default())
            .unwrap();
        edit.write_to(&to, &Options::new(), &client()).await.unwrap();
        assert_eq!(findings(&to).await, [""; 0]);
        let edit = open(&to).await;
        let found = edit.files(None).unwrap();
        let tree = found.tree();
        let expected = [
            "etc", "etc/one", "opt", "opt/d", "opt/d/f", "opt/d/g", "opt/d/l", "tmp",
        ];
        assert_eq!(names(tree), expected);
        assert_eq!(tree.inode("opt/d/f"), tree.inode("opt/d/g"));
        let metadata = &tree.get("opt/d/f").unwrap().metadata;
        assert_eq!(
            (metadata.uid, metadata.gid, metadata.mode, metadata.mtime),
            (7, 8, 0o640, 100)
        );
        let mut text = String::new();
        found.open("/etc/one").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
    });
}

/// An image on a base of a layer for each text, and that base.
fn built_on(memory: &Memory, base: &Image, file: &str, text: &str) -> Image {
    let mut image = base.clone();
    image.append(
        memory.layer(file, text),
        History {
            created_by: "COPY".to_owned(),
            ..History::default()
        },
    );
    image.config_mut().config.set_env("MINE", "1");
    image
}

#[test]
fn a_base_is_exchanged() {
    let (dir, memory) = (TempDir::new().unwrap(), Memory::default());
    let mut old = memory.image("linux/amd64", &["one"]);
    old.config_mut().config.set_env("V", "1");
    let mut new = memory.image("linux/amd64", &["two", "more"]);
    new.config_mut().config.set_env("V", "2");
    let image = built_on(&memory, &old, "mine", "x");
    let (old, new) = (
        place(&dir, "old", &memory, &old),
        place(&dir, "new", &memory, &new),
    );
    let image = place(&dir, "image", &memory, &image);
    let to: Locator = format!("oci:{}:done", dir.path().join("image").display())
        .parse()
        .unwrap();
    run(async {
        let (mut edit, old, new) = (open(&image).await, open(&old).await, open(&new).await);
        rebase(&mut edit, &old, &new, None).unwrap();
        edit.write_to(&to, &Options::new(), &client()).await.unwrap();
        assert_eq!(findings(&to).await, [""; 0]);
        let done = open(&to).await;
        assert_eq!(
            names(done.files(None).unwrap().tree()),
            ["file0", "file1", "mine"]
        );
        assert_eq!(done.image().config().config.env, ["V=2", "MINE=1"]);
        let by: Vec<_> = done
            .image()
            .config()
            .history
            .iter()
            .map(|entry| &*entry.created_by)
            .collect();
        assert_eq!(by, ["COPY two /", "COPY more /", "COPY"]);
        let annotations = done.image().annotations();
        let digest = new.image().encode().unwrap().descriptor.digest.to_string();
        assert_eq!(
            (annotations.get(BASE_DIGEST), annotations.get(BASE_NAME)),
            (Some(&digest), None)
        );
        let error = rebase(&mut open(&to).await, &old, &new, None).unwrap_err();
        assert!(matches!(error, Error::NotTheBase { layer: 1, .. }), "{error}");
    });
}

#[test]
fn a_base_is_not_exchanged_under_layers_that_touched_it() {
    let (dir, memory) = (TempDir::new().unwrap(), Memory::default());
    let (old, new) = (
        memory.image("linux/amd64", &["one"]),
        memory.image("linux/amd64", &["two"]),
    );
    let image = built_on(&memory, &old, "file0", "mine");
    let places = [("old", &old), ("new", &new), ("image", &image)];
    let [old, new, image] = places.map(|(name, image)| place(&dir, name, &memory, image));
    run(async {
        let mut edit = open(&image).await;
        let before = edit.image().encode().unwrap();
        let error = rebase(&mut edit, &open(&old).await, &open(&new).await, None).unwrap_err();
        let text = "the layers above the base have touched what differs between the bases:\
            \n  /file0: changed by the base, changed above it";
        assert_eq!(error.to_string(), text);
        assert_eq!(edit.image().encode().unwrap(), before);
    });
}

fn node(kind: Kind, mode: u32, mtime: i64) -> What {
    What::Node(Node {
        metadata: Metadata {
            mode,
            mtime,
            ..Metadata::default()
        },
        kind,
    })
}

fn file(text: &str) -> What {
    let bytes = text.as_bytes();
    let content = Content {
        size: bytes.len() as u64,
        digest: Some(Digest::of(bytes)),
        origin: Origin::Memory(bytes.into()),
    };
    node(Kind::File(content), 0o644, 0)
}

#[test]
fn what_is_a_conflict() {
    let dir = |mode, time| node(Kind::Directory, mode, time);
    let tree = |changes: &[(&str, What)]| {
        let mut tree = Tree::new();
        let change = |(path, what): &(&str, What)| Change {
            path: path.into(),
            what: what.clone(),
        };
        tree.apply(&changes.iter().map(change).collect::<Vec<_>>())
            .unwrap();
        tree
    };
    let old = tree(&[
        ("etc", dir(0o755, 1)),
        ("etc/a", file("1")),
        ("etc/b", file("1")),
        ("gone", dir(0o755, 1)),
        ("gone/x", file("1")),
        ("tmp", dir(0o755, 1)),
    ]);
    let new = tree(&[
        ("etc", dir(0o755, 2)),
        ("etc/a", file("2")),
        ("etc/b", file("1")),
        ("etc/new", file("1")),
        ("tmp", dir(0o1777, 1)),
    ]);
    assert!(!diff(&old, &new).is_empty());
    let cases: [(&str, What, &[&str]); 13] = [
        ("etc", dir(0o755, 9), &[]),
        ("etc/b", file("mine"), &[]),
        ("other", file("mine"), &[]),
        (
            "etc/a",
            file("mine"),
            &["/etc/a: changed by the base, changed above it"],
        ),
        (
            "etc/a",
            What::Whiteout,
            &["/etc/a: changed by the base, removed above it"],
        ),
        ("etc/a", file("2"), &[]),
        (
            "etc/new",
            file("mine"),
            &["/etc/new: added by the base, changed above it"],
        ),
        ("gone", What::Whiteout, &[]),
        (
            "gone/y",
            file("mine"),
            &["/gone: removed by the base, changed above it"],
        ),
        (
            "tmp",
            dir(0o755, 1),
            &["/tmp: changed by the base, changed above it"],
        ),
        ("tmp", dir(0o1777, 5), &[]),
        (
            "link",
            What::HardLink("etc/a".into()),
            &["/etc/a: changed by the base, linked above it"],
        ),
        (
            "etc",
            What::Opaque,
            &[
                "/etc: changed by the base, emptied above it",
                "/etc/a: changed by the base, emptied above it",
                "/etc/new: added by the base, emptied above it",
            ],
        ),
    ];
    for (path, what, expected) in cases {
        let above = Change {
            path: path.into(),
            what: what.clone(),
        };
        let found = conflicts(&old, &new, &[vec![above]]);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{path}: {what:?}");
    }
}

#[test]
fn layers_are_made_one() {
    let (dir, memory) = (TempDir::new().unwrap(), Memory::default());
    let base = memory.image("linux/amd64", &["base"]);
    let mut image = built_on(&memory, &base, "secret", "x");
    image.append(memory.layer(".wh.secret", ""), History::default());
    image.append(memory.layer("kept", "y"), History::default());
    let places = [("base", &base), ("image", &image)];
    let [base, image] = places.map(|(name, image)| place(&dir, name, &memory, image));
    run(async {
        for (on, layers) in [(None, 1), (Some(open(&base).await), 2)] {
            let mut edit = open(&image).await;
            edit.squash(on.as_ref(), History::default(), None).unwrap();
            let to: Locator = format!("dir:{}", dir.path().join("squashed").display())
                .parse()
                .unwrap();
            edit.write_to(&to, &Options::new(), &client()).await.unwrap();
            assert_eq!(findings(&to).await, [""; 0]);
            let squashed = open(&to).await;
            assert_eq!(squashed.image().layers().len(), layers);
            assert_eq!(squashed.image().config().config.env, ["MINE=1"]);
            assert_eq!(names(squashed.files(None).unwrap().tree()), ["file0", "kept"]);
        }
        let mut edit = open(&base).await;
        edit.squash(Some(&open(&base).await), History::default(), None)
            .unwrap();
        assert_eq!(
            edit.image().layers().len(),
            1,
            "nothing above a base makes no layer"
        );
    });
}

#[test]
fn an_index_is_made_and_changed() {
    let (dir, memory, registry) = (TempDir::new().unwrap(), Memory::default(), TestRegistry::start());
    let of = |platform: &str, text: &str| {
        let image = memory.image(platform, &[text]);
        place(&dir, &text.replace('/', "-"), &memory, &image)
    };
    let to: Locator = format!("docker://{}/many:1", registry.host()).parse().unwrap();
    let platforms = |index: &Platforms| -> Vec<String> {
        let entries = index.index().manifests.iter();
        entries
            .map(|entry| entry.platform.as_ref().unwrap().to_string())
            .collect()
    };
    run(async {
        let mut index = Platforms::new();
        for at in [
            of("linux/amd64", "a"),
            of("linux/arm64", "b"),
            of("linux/amd64", "c"),
        ] {
            index.add(&at, None, &client()).await.unwrap();
        }
        assert_eq!(
            platforms(&index),
            ["linux/arm64", "linux/amd64"],
            "the later one counts"
        );
        index.write_to(&to, &Options::new(), &client()).await.unwrap();
        assert_eq!(findings(&to).await, [""; 0]);
        let mut index = Platforms::open(&to, None, &client()).await.unwrap();
        index.add(&of("linux/s390x", "d"), None, &client()).await.unwrap();
        index.remove_platform(&"linux/arm64".parse().unwrap()).unwrap();
        assert!(matches!(index.remove(Digest::of("")), Err(Error::NotInIndex(_))));
        registry.forget();
        index.write_to(&to, &Options::new(), &client()).await.unwrap();
        assert_eq!(registry.blob_bytes_sent(), 0, "what is there stays there");
        assert_eq!(findings(&to).await, [""; 0]);
        let index = Platforms::open(&to, None, &client()).await.unwrap();
        assert_eq!(platforms(&index), ["linux/amd64", "linux/s390x"]);
        let one = of("linux/amd64", "e");
        assert!(matches!(
            Platforms::open(&one, None, &client()).await,
            Err(Error::NoIndex(_))
        ));
    });
}

#[test]
fn the_same_change_is_the_same_image() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("f"), "text").unwrap();
    let make = || {
        let mut edit = Edit::scratch(&amd64()).unwrap();
        let files = Files::new().add(dir.path(), Path::new("/")).unwrap();
        edit.append(&files.changes(), &LocalContents, History::default())
            .unwrap();
        edit.image().encode().unwrap().descriptor.digest
    };
    assert_eq!(make(), make());
}
