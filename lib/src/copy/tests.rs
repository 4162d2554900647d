//! Copies among all kinds of places, against the registry in this process and Docker's own.

use std::{
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use rbuild_testutils::{
    DockerRegistry, need,
    registry::{Fault, Kind, TestRegistry},
};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{
    Digest, archive,
    archive::Archive,
    event::Moved,
    image::{BASE_NAME, MediaType, fixture::Memory, read_small},
    registry::{Anonymous, Retry},
};

fn client() -> Registry {
    let retry = Retry {
        attempts: 2,
        first_pause: std::time::Duration::from_millis(1),
        ..Retry::default()
    };
    Registry::builder().keychain(Anonymous).retry(retry).build()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn at(text: impl AsRef<str>) -> Locator {
    text.as_ref().parse().unwrap()
}

/// A layout with an image of two layers for each of two platforms, under the name `app`; and that index.
fn layout(dir: &Path) -> (Locator, Descriptor) {
    let memory = Memory::default();
    let images = ["linux/amd64", "linux/arm64"].map(|platform| {
        let image = memory.image(platform, &["shared", platform]);
        memory.put_image(&image)
    });
    let index = memory.put_index(images.to_vec());
    let path = dir.join("first");
    archive::write_oci_directory(&memory, &index, &path, &["app".to_owned()]).unwrap();
    (at(format!("oci:{}:app", path.display())), index)
}

fn amd64() -> Options {
    Options::new().platform("linux/amd64".parse().unwrap())
}

/// All blobs of an image are at a place, as they should be.
fn check(place: &Locator, image: &Descriptor, store: &Store, registry: &Registry) {
    run(async {
        let platform = "linux/amd64".parse().unwrap();
        let source = Source::open(place, &platform, Some(store), registry)
            .await
            .unwrap();
        assert_eq!(source.descriptor().digest, image.digest, "{place}");
        let (blobs, image) = (source.blobs().clone(), source.descriptor().clone());
        let read = move || {
            for blob in closure(&*blobs, &image)? {
                let mut reader = blobs.open(&blob)?;
                std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
            }
            Ok(())
        };
        blocking(read).await.unwrap();
    });
}

#[test]
fn an_index_goes_from_each_place_to_the_next_unchanged() {
    let dir = TempDir::new().unwrap();
    let server = TestRegistry::start();
    let (first, index) = layout(dir.path());
    let store = Store::open(dir.path().join("store")).unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let places = [
        first,
        at(format!("docker://{}/one/app:1", server.host())),
        at(format!("oci:{}:app", path("layout"))),
        at("store:app"),
        at(format!("docker://{}/two/app", server.host())),
        at(format!("oci-archive:{}:app", path("oci.tar"))),
        at(format!("dir:{}", path("dir"))),
        at(format!("docker://{}/three@{}", server.host(), index.digest)),
        at("store:again:2"),
        at(format!("dir:{}", path("dir2"))),
    ];
    let registry = client();
    let options = Options::new().all(true).store(&store);
    for pair in places.windows(2) {
        let copied = run(copy(&pair[0], &pair[1], &options, &registry));
        assert_eq!(copied.unwrap().digest, index.digest, "{} to {}", pair[0], pair[1]);
        check(&pair[1], &index, &store, &registry);
    }
}

#[test]
fn one_platform_goes_through_a_docker_archive() {
    let dir = TempDir::new().unwrap();
    let server = TestRegistry::start();
    let (first, index) = layout(dir.path());
    let store = Store::open(dir.path().join("store")).unwrap();
    let registry = client();
    let archive = at(format!(
        "docker-archive:{}:app:1",
        dir.path().join("d.tar").display()
    ));
    let all = run(copy(&first, &archive, &Options::new().all(true), &registry));
    assert!(all.unwrap_err().to_string().contains("choose a platform"));
    let image = run(copy(&first, &archive, &amd64(), &registry)).unwrap();
    assert_ne!(image.digest, index.digest);
    let remote = at(format!("docker://{}/app:1", server.host()));
    let pushed = run(copy(&archive, &remote, &amd64(), &registry)).unwrap();
    check(&remote, &pushed, &store, &registry);
    let load = |place: &Locator| {
        run(async {
            let platform = "linux/amd64".parse().unwrap();
            let source = Source::open(place, &platform, None, &registry).await.unwrap();
            source.image(&platform).await.unwrap()
        })
    };
    // The config stays what it is, and the layers what they unpack to.
    let (before, after) = (load(&first), load(&remote));
    assert_eq!(before.encode().unwrap().config, after.encode().unwrap().config);
}

#[test]
fn a_platform_that_is_not_there_is_refused() {
    let dir = TempDir::new().unwrap();
    let (first, _) = layout(dir.path());
    let registry = client();
    let s390x = Options::new().platform("linux/s390x".parse().unwrap());
    let to = at(format!("oci:{}", dir.path().join("out").display()));
    let error = run(copy(&first, &to, &s390x, &registry)).unwrap_err();
    assert!(
        error.to_string().starts_with("no image for linux/s390x in index"),
        "{error}"
    );
    run(copy(&first, &to, &amd64(), &registry)).unwrap();
    let next = at(format!("oci:{}", dir.path().join("next").display()));
    let error = run(copy(&to, &next, &s390x, &registry)).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{to} is for linux/amd64, and linux/s390x was asked for")
    );
}

#[test]
fn a_destination_with_a_digest_takes_that_image_only() {
    let dir = TempDir::new().unwrap();
    let server = TestRegistry::start();
    let (first, index) = layout(dir.path());
    let registry = client();
    let to = at(format!("docker://{}/app@{}", server.host(), Digest::of("other")));
    let error = run(copy(&first, &to, &Options::new().all(true), &registry)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{to} asks for another digest than that of the image, which is {}",
            index.digest
        )
    );
    assert_eq!(server.seen(), []);
}

#[test]
fn blobs_that_are_there_do_not_move_and_others_are_mounted() {
    let dir = TempDir::new().unwrap();
    let server = TestRegistry::start();
    let (first, _) = layout(dir.path());
    let registry = client();
    let one = at(format!("docker://{}/one:1", server.host()));
    run(copy(&first, &one, &amd64(), &registry)).unwrap();
    assert_eq!(server.count(Kind::UploadFinish), 3);
    server.forget();
    let moved = Arc::new(Mutex::new(Vec::new()));
    let heard = moved.clone();
    let options = Options::new().additional_tag("2").on_event(move |event| {
        if let Event::TransferFinished { how, .. } = event {
            heard.lock().unwrap().push(how);
        }
    });
    run(copy(&one, &one, &options, &registry)).unwrap();
    assert_eq!(*moved.lock().unwrap(), [Moved::Existed; 3]);
    assert_eq!(
        (server.count(Kind::Mount), server.count(Kind::UploadStart)),
        (0, 0)
    );
    assert!(server.manifest("one", "2").is_some());
    let two = at(format!("docker://{}/two:1", server.host()));
    run(copy(&one, &two, &options, &registry)).unwrap();
    assert_eq!(moved.lock().unwrap()[3..], [Moved::Mounted; 3]);
    assert_eq!(
        (server.count(Kind::BlobGet), server.count(Kind::UploadFinish)),
        (0, 0)
    );
    server.refuse_mounts();
    let three = at(format!("docker://{}/three:1", server.host()));
    run(copy(&one, &three, &options, &registry)).unwrap();
    assert_eq!(moved.lock().unwrap()[6..], [Moved::Copied; 3]);
}

#[test]
fn what_a_registry_has_already_given_is_not_asked_for_again() {
    let dir = TempDir::new().unwrap();
    let server = TestRegistry::start();
    let (first, _) = layout(dir.path());
    let registry = client();
    let remote = at(format!("docker://{}/app:1", server.host()));
    run(copy(&first, &remote, &Options::new().all(true), &registry)).unwrap();
    server.forget();
    let to = at(format!("oci:{}:app", dir.path().join("to").display()));
    run(copy(&remote, &to, &amd64(), &registry)).unwrap();
    assert_eq!(
        (server.count(Kind::ManifestGet), server.count(Kind::BlobGet)),
        (2, 3)
    );
    run(copy(&remote, &to, &amd64(), &registry)).unwrap();
    assert_eq!(server.count(Kind::BlobGet), 3);
}

#[test]
fn a_copy_that_fails_leaves_no_image() {
    let dir = TempDir::new().unwrap();
    let server = TestRegistry::start();
    let (first, _) = layout(dir.path());
    let registry = client();
    let remote = at(format!("docker://{}/app:1", server.host()));
    run(copy(&first, &remote, &Options::new().all(true), &registry)).unwrap();
    server.fault(Kind::BlobGet, 99, Fault::WrongBytes);
    let store = Store::open(dir.path().join("store")).unwrap();
    for name in ["oci:layout:app", "oci-archive:a.tar", "dir:d", "store:app"] {
        let to = match name.split_once(':') {
            Some(("store", _)) => at(name),
            Some((kind, rest)) => at(format!("{kind}:{}", dir.path().join(rest).display())),
            None => unreachable!(),
        };
        let error = run(copy(&remote, &to, &amd64().store(&store), &registry)).unwrap_err();
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let told: Vec<String> = chain.map(ToString::to_string).collect();
        assert!(told.iter().any(|text| text.contains(&server.host())), "{told:?}");
        let platform = "linux/amd64".parse().unwrap();
        let found = run(Source::open(&to, &platform, Some(&store), &registry));
        assert!(found.is_err(), "{to}");
    }
}

/// An image in the store whose base stayed in the registry, as a build leaves it.
fn with_base_elsewhere(store: &Store, base: &str) -> Descriptor {
    let memory = Memory::default();
    let mut image = memory.image("linux/amd64", &["of the base", "own"]);
    image
        .annotations_mut()
        .insert(BASE_NAME.to_owned(), base.to_owned());
    let own = &image.layers()[1].descriptor;
    store.fetch(&memory, own).unwrap();
    let descriptor = store.put_image(&image).unwrap();
    store.tag("docker.io/library/app:latest", &descriptor).unwrap();
    descriptor
}

#[test]
fn layers_that_stayed_in_a_registry_are_taken_from_there() {
    let dir = TempDir::new().unwrap();
    let server = TestRegistry::start();
    let registry = client();
    let memory = Memory::default();
    let base = memory.image("linux/amd64", &["of the base"]);
    let layer = &base.layers()[0].descriptor;
    server.put_blob("base", &memory.bytes(&layer.digest));
    let store = Store::open(dir.path().join("store")).unwrap();
    let image = with_base_elsewhere(&store, &format!("{}/base:1", server.host()));
    let options = amd64().store(&store);
    let layout = at(format!("oci:{}:app", dir.path().join("layout").display()));
    run(copy(&at("store:app"), &layout, &options, &registry)).unwrap();
    check(&layout, &image, &store, &registry);
    assert_eq!(server.count(Kind::BlobGet), 1);
    let remote = at(format!("docker://{}/mine", server.host()));
    server.forget();
    run(copy(&at("store:app"), &remote, &options, &registry)).unwrap();
    let mounted = server
        .seen()
        .into_iter()
        .filter(|seen| seen.kind == Kind::Mount && seen.status == 201);
    assert_eq!((mounted.count(), server.count(Kind::BlobGet)), (1, 0));
    check(&remote, &image, &store, &registry);
}

/// A layout with an image, a signature of it, and a signature of that.
fn signed(dir: &Path) -> (Locator, Descriptor, Descriptor) {
    let memory = Memory::default();
    let image = memory.put_image(&memory.image("linux/amd64", &["x"]));
    let path = dir.join("signed");
    archive::write_oci_directory(&memory, &image, &path, &["app".to_owned()]).unwrap();
    let mut subject = image.clone();
    for kind in ["application/x-signature", "application/x-countersignature"] {
        let empty = memory.put(MediaType::EmptyJSON, b"{}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::ImageManifest, "artifactType": kind,
            "config": empty, "layers": [empty], "subject": subject, "annotations": {"by": "me"},
        });
        subject = memory.put(MediaType::ImageManifest, manifest.to_string().as_bytes());
        archive::write_oci_directory(&memory, &subject, &path, &[]).unwrap();
    }
    (at(format!("oci:{}:app", path.display())), image, subject)
}

#[test]
fn what_refers_to_an_image_comes_along() {
    let dir = TempDir::new().unwrap();
    let server = TestRegistry::start();
    let (first, image, countersignature) = signed(dir.path());
    let registry = client();
    let one = at(format!("docker://{}/one:1", server.host()));
    let layout = at(format!("oci:{}", dir.path().join("layout").display()));
    run(copy(&first, &one, &amd64(), &registry)).unwrap();
    let listed = |place: &Locator| {
        let Locator::Registry(at) = place else { panic!() };
        run(registry.referrers(&at.with_digest(image.digest), None)).unwrap()
    };
    assert_eq!(listed(&one), []);
    run(copy(&first, &one, &amd64().referrers(true), &registry)).unwrap();
    run(copy(&one, &layout, &amd64().referrers(true), &registry)).unwrap();
    let two = at(format!("docker://{}/two:1", server.host()));
    run(copy(&layout, &two, &amd64().referrers(true), &registry)).unwrap();
    let found = listed(&two);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].artifact_type(), Some("application/x-signature"));
    assert!(
        server
            .manifest("two", &countersignature.digest.to_string())
            .is_some()
    );
    let refused = at(format!("dir:{}", dir.path().join("dir").display()));
    let error = run(copy(&two, &refused, &amd64().referrers(true), &registry)).unwrap_err();
    assert!(matches!(error, Error::NoReferrers { .. }), "{error}");
}

/// Docker's registry of that age has no list of referrers, but a tag does in its stead.
#[test]
fn docker_s_registry_takes_indexes_and_referrers() {
    let Some(server) = DockerRegistry::start() else {
        return;
    };
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let registry = client();
    let (first, index) = layout(dir.path());
    let remote = at(format!("docker://{}/app:1", server.host()));
    let other = at(format!("docker://{}/other:1", server.host()));
    let all = Options::new().all(true).store(&store);
    run(copy(&first, &remote, &all, &registry)).unwrap();
    run(copy(&remote, &other, &all, &registry)).unwrap();
    check(&other, &index, &store, &registry);
    let (first, image, _) = signed(dir.path());
    run(copy(&first, &remote, &amd64().referrers(true), &registry)).unwrap();
    run(copy(&remote, &other, &amd64().referrers(true), &registry)).unwrap();
    let Locator::Registry(at) = &other else { panic!() };
    let found = run(registry.referrers(&at.with_digest(image.digest), None)).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].annotations["by"], "me");
}

#[test]
fn skopeo_and_umoci_read_what_was_copied() {
    let (Some(skopeo), Some(umoci)) = (need("skopeo"), need("umoci")) else {
        return;
    };
    let dir = TempDir::new().unwrap();
    let (first, _) = layout(dir.path());
    let registry = client();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let command = |program: &Path, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    for to in [
        format!("oci:{}:app", path("layout")),
        format!("oci-archive:{}:app", path("oci.tar")),
        format!("docker-archive:{}:app:1", path("docker.tar")),
        format!("dir:{}", path("dir")),
    ] {
        run(copy(&first, &at(&to), &amd64(), &registry)).unwrap();
        let said = command(&skopeo, &["inspect", "--config", &to]);
        let config: serde_json::Value = serde_json::from_slice(&said).unwrap();
        assert_eq!(config["architecture"], "amd64", "{to}");
        let back = path("back");
        command(
            &skopeo,
            &["--insecure-policy", "copy", &to, &format!("oci:{back}:app")],
        );
        let archive = Archive::open(&at(format!("oci:{back}:app"))).unwrap();
        let image = archive.find(&Platform::host()).unwrap();
        assert!(read_small(&archive, &image).is_ok());
        std::fs::remove_dir_all(back).unwrap();
    }
    let image = format!("{}:app", path("layout"));
    let said = command(&umoci, &["stat", "--json", "--image", &image]);
    let history: serde_json::Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(history["history"].as_array().map(Vec::len), Some(2));
}
