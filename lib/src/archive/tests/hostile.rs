//! What strangers made.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::image::{BlobError, Error as ImageError, MediaType, fixture::tar};

fn open(kind: &str, bytes: &[u8]) -> Result<Archive, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    fs::write(&path, bytes).unwrap();
    Archive::open(&locator(kind, &path, None))
}

/// An OCI archive with one blob's bytes changed.
fn altered(change: impl FnOnce(&Memory, &Image)) -> (Archive, Descriptor) {
    let memory = Memory::default();
    let image = memory.image("linux/amd64", &["x"]);
    let descriptor = memory.put_image(&image);
    let dir = tempfile::tempdir().unwrap();
    let place = locator("oci", dir.path(), None);
    write(&memory, &descriptor, &place, &[]).unwrap();
    change(&memory, &image);
    let layout = crate::store::Layout::open(dir.path()).unwrap();
    let mut files = vec![
        (
            "oci-layout".to_owned(),
            fs::read(dir.path().join("oci-layout")).unwrap(),
        ),
        (
            "index.json".to_owned(),
            fs::read(dir.path().join("index.json")).unwrap(),
        ),
    ];
    for blob in closure(&layout, &descriptor).unwrap() {
        let bytes = memory.bytes(&blob.digest);
        files.push((format!("blobs/sha256/{}", blob.digest.hex()), bytes));
    }
    let files: Vec<_> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    (open("oci-archive", &tar(&files)).unwrap(), descriptor)
}

#[test]
fn lies_about_size_and_digest_are_found() {
    let (archive, image) = altered(|_, _| {});
    read_all(&archive, &image).unwrap();
    let (archive, _) = altered(|memory, image| memory.damage(&image.layers()[0].descriptor.digest, b"short"));
    let layer = &archive.image(&amd64()).unwrap().layers()[0].descriptor.clone();
    let error = read_small(&archive, layer).unwrap_err();
    assert!(matches!(error, BlobError::Size { found: Some(5), .. }), "{error}");
    assert!(
        error.to_string().contains(&layer.digest.to_string()) && error.to_string().contains("x.tar"),
        "{error}"
    );
    assert!(!archive.has(layer).unwrap());
    let (archive, _) = altered(|memory, image| {
        let layer = &image.layers()[0].descriptor;
        memory.damage(&layer.digest, &vec![0; layer.size as usize]);
    });
    let error = read_small(&archive, layer).unwrap_err();
    assert!(matches!(error, BlobError::Digest { .. }), "{error}");
    let (archive, _) = altered(|memory, image| {
        let config = image.encode().unwrap().config_descriptor.clone();
        memory.damage(&config.digest, &vec![b' '; config.size as usize]);
    });
    assert!(matches!(
        archive.image(&amd64()),
        Err(Error::Image(ImageError::Blob(BlobError::Digest { .. })))
    ));
}

#[test]
fn the_same_blob_cannot_have_two_sizes() {
    let memory = Memory::default();
    let image = memory.put_image(&memory.image("linux/amd64", &["x"]));
    let mut liar = image.clone();
    liar.size += 1;
    let index = memory.put_index(vec![image, liar]);
    assert!(matches!(
        closure(&memory, &index),
        Err(Error::Blob(BlobError::Size { .. }))
    ));
}

#[test]
fn what_is_no_archive_says_why() {
    let listed = |config: &str, layers: &str| format!(r#"[{{"Config":"{config}","Layers":{layers}}}]"#);
    let config = br#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let outside = tar(&[("manifest.json", listed("../../etc/passwd", "[]").as_bytes())]);
    let no_layer = tar(&[
        ("manifest.json", listed("c", "[\"l\"]").as_bytes()),
        ("c", config),
    ]);
    let broken = |name: &str| tar(&[("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#), (name, b"{")]);
    let table: [(&str, Vec<u8>, &str); 10] = [
        (
            "oci-archive",
            Vec::new(),
            "is not a tar that can be read: it is cut short",
        ),
        (
            "oci-archive",
            vec![b'x'; 5000],
            "there is no tar header at byte 0",
        ),
        (
            "oci-archive",
            tar(&[]),
            "is not an OCI archive: it has no file oci-layout",
        ),
        (
            "oci-archive",
            tar(&[("oci-layout", b"{}")]),
            "is not an OCI archive: the file oci-layout is not valid",
        ),
        (
            "oci-archive",
            broken("x"),
            "is not an OCI archive: it has no file index.json",
        ),
        ("oci-archive", broken("index.json"), "index.json in "),
        (
            "docker-archive",
            tar(&[]),
            "is not a docker archive: it has no file manifest.json",
        ),
        (
            "docker-archive",
            tar(&[("manifest.json", b"{}")]),
            "manifest.json in ",
        ),
        (
            "docker-archive",
            outside,
            "names \"../../etc/passwd\", which it does not have",
        ),
        (
            "docker-archive",
            no_layer,
            "the manifest has 1 layers, but its config",
        ),
    ];
    for (kind, bytes, why) in table {
        let error = open(kind, &bytes).unwrap_err();
        assert!(error.to_string().contains(why), "{why}: {error}");
    }
    let missing = Archive::open(&locator("oci-archive", Path::new("/no/such.tar"), None)).unwrap_err();
    assert_eq!(
        chain(&missing),
        "cannot open /no/such.tar: No such file or directory (os error 2)"
    );
}

/// A docker archive whose second layer is a link to the first, as docker wrote them long ago.
fn with_links(kind: tar::EntryType, name: &str, target: &str) -> Vec<u8> {
    let layer = tar(&[("file", b"x")]);
    let diff_id = crate::Digest::of(&layer);
    let config = format!(
        r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":["{diff_id}","{diff_id}"]}}}}"#
    );
    let listed = br#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["1/layer.tar","2/layer.tar"]}]"#;
    let mut out = tar::Builder::new(Vec::new());
    for (name, bytes) in [
        ("manifest.json", &listed[..]),
        ("./c.json", config.as_bytes()),
        ("1/layer.tar", &layer),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        out.append_data(&mut header, name, bytes).unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    out.append_link(&mut header, name, target).unwrap();
    out.into_inner().unwrap()
}

#[test]
fn links_are_followed_within_the_archive() {
    use tar::EntryType::{Link, Symlink};
    for (kind, target) in [
        (Symlink, "../1/layer.tar"),
        (Symlink, "/1/layer.tar"),
        (Link, "1/layer.tar"),
    ] {
        let archive = open("docker-archive", &with_links(kind, "2/layer.tar", target)).unwrap();
        read_all(&archive, &archive.find(&amd64()).unwrap()).unwrap();
        assert_eq!(archive.image(&amd64()).unwrap().layers().len(), 2, "{target}");
    }
    for target in ["layer.tar", "/etc/passwd", "../../../../etc/passwd"] {
        let error = open("docker-archive", &with_links(Symlink, "2/layer.tar", target)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("2/layer.tar\", which it does not have"),
            "{target}: {error}"
        );
    }
}

#[test]
fn a_layer_that_is_not_the_config_s_is_found() {
    let listed = br#"[{"Config":"c","RepoTags":null,"Layers":["l"]}]"#;
    let config = format!(
        r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        crate::Digest::of("another")
    );
    let bytes = tar(&[
        ("manifest.json", listed),
        ("c", config.as_bytes()),
        ("l", &tar(&[])),
    ]);
    let archive = open("docker-archive", &bytes).unwrap();
    let image = archive.find(&amd64()).unwrap();
    assert!(matches!(
        read_all(&archive, &image),
        Err(Error::Blob(BlobError::Digest { .. }))
    ));
}

#[test]
fn a_config_that_lies_is_not_written_to_a_docker_archive() {
    let memory = Memory::default();
    let mut layer = memory.layer("a", "a");
    layer.diff_id = crate::Digest::of("another");
    let mut image = memory.image("linux/amd64", &[]);
    image.append(layer, Default::default());
    let image = memory.put_image(&image);
    let dir = tempfile::tempdir().unwrap();
    let error = write(
        &memory,
        &image,
        &locator("docker-archive", &dir.path().join("x"), None),
        &[],
    )
    .unwrap_err();
    assert!(matches!(error, Error::DiffId { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn large_documents_and_long_names_are_refused() {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(2 << 20);
    header.set_cksum();
    let long = [header.as_bytes().as_slice(), &vec![b'x'; 3 << 20]].concat();
    assert!(
        open("oci-archive", &long)
            .unwrap_err()
            .to_string()
            .contains("too long")
    );
    let large = tar(&[("oci-layout", &vec![b' '; (8 << 20) + 1])]);
    assert!(
        open("oci-archive", &large)
            .unwrap_err()
            .to_string()
            .contains("more than it may have")
    );
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(u64::MAX - 600);
    header.set_cksum();
    assert!(
        open("oci-archive", header.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("ends within the entry")
    );
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("manifest.json"), vec![b' '; (8 << 20) + 1]).unwrap();
    let error = Archive::open(&locator("dir", dir.path(), None)).unwrap_err();
    assert!(
        error.to_string().contains("larger than a manifest may be"),
        "{error}"
    );
}

#[test]
fn any_cut_is_noticed_or_harmless() {
    let memory = Memory::default();
    let image = memory.put_image(&memory.image("linux/amd64", &["x"]));
    let mut whole = Vec::new();
    write_oci_tar(&memory, &image, &[], &mut whole).unwrap();
    for length in (0..whole.len()).step_by(101) {
        let result = open("oci-archive", &whole[..length]).and_then(|archive| read_all(&archive, &image));
        // The padding of the last entry and the blocks that end a tar are not missed.
        let harmless = whole[length..].iter().all(|byte| *byte == 0);
        assert!(result.is_err() || harmless, "{length} of {}", whole.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_panics_on_bytes(flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
        let mut bytes = with_links(tar::EntryType::Symlink, "2/layer.tar", "../1/layer.tar");
        let length = bytes.len();
        for (at, byte) in flips {
            bytes[at % length] = byte;
        }
        for kind in ["oci-archive", "docker-archive"] {
            if let Ok(archive) = open(kind, &bytes) {
                let _ = archive.image(&amd64());
                let _ = archive.find(&amd64()).map(|image| {
                    let blobs = closure(&archive, &image).unwrap_or_default();
                    blobs.iter().filter(|blob| read_small(&archive, blob).is_ok()).count()
                });
            }
        }
    }
}

#[test]
fn a_blob_that_is_not_there_is_named() {
    let memory = Memory::default();
    let image = memory.image("linux/amd64", &["x"]);
    let descriptor = memory.put_image(&image);
    memory.forget(&image.layers()[0].descriptor.digest);
    let dir = tempfile::tempdir().unwrap();
    for kind in ["oci", "oci-archive", "dir"] {
        let error = write(
            &memory,
            &descriptor,
            &locator(kind, &dir.path().join(kind), None),
            &[],
        )
        .unwrap_err();
        let text = format!("memory has no blob {}", image.layers()[0].descriptor.digest);
        assert_eq!(chain(&error), text, "{kind}");
    }
    let blob = Descriptor::of(MediaType::ImageLayer, b"?");
    let archive = Archive::open(&locator("oci", &dir.path().join("oci"), None)).unwrap();
    assert!(matches!(archive.open(&blob), Err(BlobError::Missing { .. })));
    assert!(!archive.has(&blob).unwrap());
}
