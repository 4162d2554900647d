//! What is written can be read.

use std::{fs, io::Write as _};

use super::*;
use crate::{Digest, image::MediaType};

const DIGESTS_KEPT: [&str; 3] = ["oci", "oci-archive", "dir"];

#[test]
fn images_come_back_as_they_were() {
    let memory = Memory::default();
    let plain = memory.put_image(&memory.image("linux/amd64", &["x", "y", "x"]));
    let docker = memory.docker_image();
    let empty = memory.put_image(&memory.image("linux/amd64", &[]));
    let arm = memory.put_image(&memory.image("linux/arm/v7", &["arm"]));
    let index = memory.put_index(vec![plain.clone(), arm, docker.clone()]);
    for kind in DIGESTS_KEPT {
        for image in [&plain, &docker, &empty, &index] {
            let dir = tempfile::tempdir().unwrap();
            let place = locator(kind, &dir.path().join("x"), None);
            assert_eq!(write(&memory, image, &place, &[]).unwrap(), *image);
            let archive = Archive::open(&place).unwrap();
            let found = archive.find(&amd64()).unwrap();
            assert_eq!((found.digest, found.size), (image.digest, image.size), "{kind}");
            read_all(&archive, &found).unwrap();
            let expected = Image::load(&memory, image, &amd64()).unwrap().encode().unwrap();
            let encoded = archive.image(&amd64()).unwrap().encode().unwrap();
            assert_eq!(encoded.manifest, expected.manifest, "{kind}");
            assert_eq!(encoded.config, expected.config, "{kind}");
            assert_eq!(archive.manifest(&amd64()).unwrap().1, expected.manifest, "{kind}");
        }
    }
}

#[test]
fn a_docker_archive_keeps_the_config_and_the_diff_ids() {
    let memory = Memory::default();
    let image = memory.image("linux/amd64", &["x", "y", "x"]);
    let dir = tempfile::tempdir().unwrap();
    let place = locator("docker-archive", &dir.path().join("x.tar"), None);
    let descriptor = memory.put_image(&image);
    write(
        &memory,
        &descriptor,
        &place,
        &names(&["app:1", "docker.io/library/app:2"]),
    )
    .unwrap();
    let archive = Archive::open(&place).unwrap();
    let read = archive.image(&amd64()).unwrap();
    assert_eq!(read.encode().unwrap().config, image.encode().unwrap().config);
    for (layer, original) in read.layers().iter().zip(image.layers()) {
        assert_eq!(layer.diff_id, original.diff_id);
        assert_eq!(layer.descriptor.digest, original.diff_id);
        assert_eq!(layer.descriptor.media_type, MediaType::ImageLayer);
    }
    read_all(&archive, &archive.find(&amd64()).unwrap()).unwrap();
    let listed: Vec<_> = archive.images().map(|(names, _)| names.to_vec()).collect();
    assert_eq!(listed, [names(&["app:1", "docker.io/library/app:2"])]);
    for name in ["app:1", "docker.io/library/app:1", "docker.io/app:2", "@0"] {
        let place = locator("docker-archive", &dir.path().join("x.tar"), Some(name));
        assert!(Archive::open(&place).unwrap().find(&amd64()).is_ok(), "{name}");
    }
    let error = write(&memory, &memory.put_index(vec![descriptor]), &place, &[]).unwrap_err();
    assert!(matches!(error, Error::IsIndex { .. }));
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let memory = Memory::default();
    let image = memory.put_image(&memory.image("linux/amd64", &["x", "y"]));
    let dir = tempfile::tempdir().unwrap();
    for kind in ["oci-archive", "docker-archive"] {
        let write_one = |name: &str| {
            let path = dir.path().join(name);
            write(
                &memory,
                &image,
                &locator(kind, &path, Some("docker.io/a/b:1")),
                &[],
            )
            .unwrap();
            fs::read(path).unwrap()
        };
        assert_eq!(write_one("1"), write_one("2"), "{kind}");
    }
}

#[test]
fn a_layout_keeps_its_other_images() {
    let memory = Memory::default();
    let [one, two, three] =
        ["1", "2", "3"].map(|text| memory.put_image(&memory.image("linux/amd64", &["shared", text])));
    let dir = tempfile::tempdir().unwrap();
    let at = |name| locator("oci", &dir.path().join("layout"), name);
    write(&memory, &one, &at(Some("a")), &[]).unwrap();
    write(&memory, &two, &at(None), &names(&["b", "c"])).unwrap();
    write(&memory, &three, &at(None), &[]).unwrap();
    write(&memory, &three, &at(Some("a")), &[]).unwrap();
    write(&memory, &three, &at(None), &[]).unwrap();
    let archive = Archive::open(&at(None)).unwrap();
    let listed: Vec<_> = archive
        .images()
        .map(|(names, image)| (names.join(" "), image.digest))
        .collect();
    let expected = [("a", &three), ("b", &two), ("c", &two), ("", &three)];
    assert_eq!(
        listed,
        expected.map(|(name, image)| (name.to_owned(), image.digest))
    );
    let error = archive.find(&amd64()).unwrap_err();
    let text = format!("holds several images, say which: a, b, c, {}", three.digest);
    assert!(error.to_string().ends_with(&text), "{error}");
    for (name, image) in [("b", &two), ("c", &two), ("a", &three)] {
        let archive = Archive::open(&at(Some(name))).unwrap();
        assert_eq!(archive.find(&amd64()).unwrap().digest, image.digest, "{name}");
        read_all(&archive, image).unwrap();
    }
    let error = Archive::open(&at(Some("d"))).unwrap().find(&amd64()).unwrap_err();
    assert!(error.to_string().starts_with("no image \"d\" in "), "{error}");
    assert!(error.to_string().contains("; it has a, b, c, sha256:"), "{error}");
}

#[test]
fn a_digest_finds_what_an_index_names() {
    let memory = Memory::default();
    let [one, two] =
        ["linux/amd64", "linux/arm64"].map(|name| memory.put_image(&memory.image(name, &[name])));
    let index = memory.put_index(vec![one.clone(), two.clone()]);
    let dir = tempfile::tempdir().unwrap();
    write(&memory, &index, &locator("oci", dir.path(), Some("a")), &[]).unwrap();
    let find = |digest: Digest, name: Option<&str>| {
        let place = Place {
            digest: Some(digest),
            name: name.map(str::to_owned),
            ..Place::new(dir.path())
        };
        Archive::open(&Locator::OciLayout(place)).unwrap().find(&amd64())
    };
    for image in [&one, &two, &index] {
        assert_eq!(find(image.digest, None).unwrap().digest, image.digest);
    }
    assert_eq!(find(index.digest, Some("a")).unwrap().digest, index.digest);
    assert!(matches!(find(Digest::of("?"), None), Err(Error::NotFound { .. })));
    assert!(matches!(
        find(index.digest, Some("b")),
        Err(Error::NotFound { .. })
    ));
}

#[test]
fn entries_of_one_name_are_told_apart_by_platform() {
    let memory = Memory::default();
    let [one, two] =
        ["linux/amd64", "linux/arm64"].map(|name| memory.put_image(&memory.image(name, &[name])));
    let dir = tempfile::tempdir().unwrap();
    let place = locator("oci", dir.path(), None);
    write(&memory, &one, &place, &[]).unwrap();
    write(&memory, &two, &place, &[]).unwrap();
    let archive = Archive::open(&place).unwrap();
    for (platform, image) in [("linux/amd64", &one), ("linux/arm64", &two)] {
        assert_eq!(
            archive.find(&platform.parse().unwrap()).unwrap().digest,
            image.digest
        );
    }
    assert!(matches!(
        archive.find(&"linux/s390x".parse().unwrap()),
        Err(Error::Several { .. })
    ));
}

#[test]
fn a_directory_is_replaced_and_others_are_not() {
    let memory = Memory::default();
    let [one, two] = ["1", "2"].map(|text| memory.put_image(&memory.image("linux/amd64", &["shared", text])));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let place = locator("dir", &path, None);
    write(&memory, &one, &place, &[]).unwrap();
    fs::write(path.join("signature-1"), "").unwrap();
    write(&memory, &two, &place, &[]).unwrap();
    assert_eq!(
        Archive::open(&place).unwrap().find(&amd64()).unwrap().digest,
        two.digest
    );
    // manifest.json, version, config, two layers, and what is not ours.
    assert_eq!(fs::read_dir(&path).unwrap().count(), 6);
    let home = dir.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("thesis.tex"), "").unwrap();
    let error = write(&memory, &one, &locator("dir", &home, None), &[]).unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
}

#[test]
fn an_archive_is_replaced_at_once_or_not_at_all() {
    let memory = Memory::default();
    let good = memory.put_image(&memory.image("linux/amd64", &["good"]));
    let bad = memory.image("linux/amd64", &["bad"]);
    memory.damage(&bad.layers()[0].descriptor.digest, b"other");
    let bad = memory.put_image(&bad);
    let dir = tempfile::tempdir().unwrap();
    for kind in ["oci-archive", "docker-archive"] {
        let place = locator(kind, &dir.path().join(kind), None);
        write(&memory, &good, &place, &[]).unwrap();
        write(&memory, &bad, &place, &[]).unwrap_err();
        read_all(
            &Archive::open(&place).unwrap(),
            &Archive::open(&place).unwrap().find(&amd64()).unwrap(),
        )
        .unwrap();
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    let missing = locator("oci-archive", &dir.path().join("no/such/x.tar"), None);
    let error = chain(&write(&memory, &good, &missing, &[]).unwrap_err());
    assert!(
        error.ends_with("no/such: No such file or directory (os error 2)"),
        "{error}"
    );
}

#[test]
fn blobs_come_children_first_and_once() {
    let memory = Memory::default();
    let [one, two] = ["1", "2"].map(|text| memory.put_image(&memory.image("linux/amd64", &["shared", text])));
    let inner = memory.put_index(vec![two.clone()]);
    let index = memory.put_index(vec![one, inner, two]);
    let blobs = closure(&memory, &index).unwrap();
    // Three layers, two configs, two manifests, two indexes.
    assert_eq!(blobs.len(), 9);
    assert_eq!(blobs.last(), Some(&index));
    let place = |digest: Digest| blobs.iter().position(|blob| blob.digest == digest).unwrap();
    for blob in &blobs {
        for child in closure(&memory, blob).unwrap() {
            assert!(place(child.digest) <= place(blob.digest));
        }
    }
}

#[test]
fn layers_that_must_not_be_distributed_may_be_missing() {
    let memory = Memory::default();
    let mut layer = memory.layer("a", "a");
    layer.descriptor.media_type = MediaType::ImageLayerNonDistributableGzip;
    let mut image = memory.image("linux/amd64", &["x"]);
    image.append(layer.clone(), Default::default());
    let image = memory.put_image(&image);
    assert_eq!(closure(&memory, &image).unwrap().len(), 4);
    memory.forget(&layer.descriptor.digest);
    assert_eq!(closure(&memory, &image).unwrap().len(), 3);
}

#[test]
fn compressed_archives_are_read() {
    let memory = Memory::default();
    let image = memory.put_image(&memory.image("linux/amd64", &["x"]));
    let mut tar = Vec::new();
    write_oci_tar(&memory, &image, &[], &mut tar).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(&file, flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    gzip.finish().unwrap();
    let archive = Archive::open(&locator("oci-archive", file.path(), None)).unwrap();
    read_all(&archive, &archive.find(&amd64()).unwrap()).unwrap();
}

#[test]
fn a_registry_is_not_on_disk() {
    let place: Locator = "docker://alpine".parse().unwrap();
    assert!(matches!(Archive::open(&place), Err(Error::NotLocal { .. })));
    let memory = Memory::default();
    let image = memory.put_image(&memory.image("linux/amd64", &[]));
    assert!(matches!(
        write(&memory, &image, &place, &[]),
        Err(Error::NotLocal { .. })
    ));
}
