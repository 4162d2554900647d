//! Images that are as they should be, and images that are not.

use std::{io::Read, sync::Arc};

use serde_json::{Value, json};

use super::*;
use crate::{
    Digest,
    image::{Descriptor, Image, Index, MediaType, Platform, fixture::Memory},
};

fn sound() -> (Memory, Image, Descriptor) {
    let memory = Memory::default();
    let image = memory.image("linux/amd64", &["one", "two"]);
    let descriptor = memory.put_image(&image);
    (memory, image, descriptor)
}

/// The image with its manifest and config changed.
fn changed(
    memory: &Memory,
    image: &Image,
    manifest: impl Fn(&mut Value),
    config: impl Fn(&mut Value),
) -> Descriptor {
    let encoded = image.encode().unwrap();
    let mut value: Value = serde_json::from_slice(&encoded.config).unwrap();
    config(&mut value);
    let config = memory.put(MediaType::ImageConfig, value.to_string().as_bytes());
    let mut value: Value = serde_json::from_slice(&encoded.manifest).unwrap();
    value["config"] = json!(config);
    manifest(&mut value);
    memory.put(MediaType::ImageManifest, value.to_string().as_bytes())
}

#[test]
fn a_sound_image_has_no_findings() {
    let (memory, _, image) = sound();
    let index = memory.put_index(vec![image]);
    let result = validate(&memory, &index);
    assert_eq!(result.findings, []);
    assert_eq!((result.manifests, result.blobs), (2, 3));
}

#[test]
fn each_thing_that_can_be_wrong_is_found() {
    let (memory, image, _) = sound();
    let same = |_: &mut Value| {};
    type Case<'a> = (&'a str, Descriptor);
    let cases: [Case; 6] = [
        (
            "it has 1 diff IDs, and the manifest 2 layers",
            changed(&memory, &image, same, |config| {
                config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
            }),
        ),
        (
            "its history tells of 1 layers, and the manifest has 2",
            changed(&memory, &image, same, |config| {
                config["history"].as_array_mut().unwrap().pop();
            }),
        ),
        (
            "and the config says sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            changed(&memory, &image, same, |config| {
                config["rootfs"]["diff_ids"][1] = json!(Digest::of(""));
            }),
        ),
        (
            "should have 7 bytes",
            changed(
                &memory,
                &image,
                |manifest| manifest["layers"][0]["size"] = json!(7),
                same,
            ),
        ),
        (
            "text/plain is no layer",
            changed(
                &memory,
                &image,
                |manifest| manifest["layers"][0]["mediaType"] = json!("text/plain"),
                same,
            ),
        ),
        (
            "it calls itself application/vnd.oci.image.index.v1+json",
            changed(
                &memory,
                &image,
                |manifest| manifest["mediaType"] = json!(MediaType::ImageIndex),
                same,
            ),
        ),
    ];
    for (expected, descriptor) in cases {
        let findings = validate(&memory, &descriptor).findings;
        assert_eq!(findings.len(), 1, "{expected}: {findings:?}");
        assert!(
            findings[0].to_string().contains(expected),
            "{expected}: {findings:?}"
        );
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let (memory, image, descriptor) = sound();
    memory.damage(&image.layers()[0].descriptor.digest, b"other bytes");
    memory.forget(&image.layers()[1].descriptor.digest);
    let mut entry = descriptor.clone();
    entry.platform = Some("linux/s390x".parse().unwrap());
    let index = Index::new(vec![
        entry,
        Descriptor::of(MediaType::ImageManifest, b"not there"),
    ]);
    let index = memory.put(MediaType::ImageIndex, &serde_json::to_vec(&index).unwrap());
    let findings = validate(&memory, &index).findings;
    let words: Vec<&str> = findings.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(words.len(), 4, "{words:#?}");
    assert_eq!(words[0], "it is for linux/amd64, and the index says linux/s390x");
    assert!(words[1].contains("should have"), "{words:#?}");
    assert!(
        words[2].contains("has no blob") && words[3].contains("has no blob"),
        "{words:#?}"
    );
}

#[test]
fn a_layer_that_is_no_tar_is_found() {
    let memory = Memory::default();
    let mut image = Image::scratch(&Platform::host());
    let bytes = vec![b'x'; 2000];
    let layer = crate::image::Layer {
        descriptor: memory.put(MediaType::ImageLayer, &bytes),
        diff_id: Digest::of(&bytes),
    };
    image.append(layer, Default::default());
    let findings = validate(&memory, &memory.put_image(&image)).findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[test]
fn files_are_read_through_the_layers() {
    let (memory, image, _) = sound();
    let store_dir = tempfile::tempdir().unwrap();
    let store = crate::store::Store::open(store_dir.path().join("store")).unwrap();
    let blobs = Arc::new(memory);
    for _ in 0..2 {
        let files = Files::of(&image, blobs.clone(), Some(&store)).unwrap();
        let names: Vec<_> = files
            .tree()
            .children("")
            .map(|(name, _)| name.to_owned())
            .collect();
        assert_eq!(names, ["file0", "file1"]);
        let mut text = String::new();
        files.open("/file1").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "two");
        let error = |path: &str| files.open(path).map(drop).unwrap_err().to_string();
        assert_eq!(error("nothing"), "the image has no /nothing");
        assert_eq!(error("/"), "/ is no regular file");
    }
    // What the layers hold is known now, but not what the files do.
    blobs.damage(&image.layers()[1].descriptor.digest, b"other");
    let files = Files::of(&image, blobs.clone(), Some(&store)).unwrap();
    let mut text = String::new();
    let read = files.open("file1").map(|mut file| file.read_to_string(&mut text));
    assert!(!matches!(read, Ok(Ok(_))));
}
