//! A disk that fills up.

use std::{fs, io, process::Command};

use rbuild_testutils::{need, skip};

use super::*;
use crate::image::MediaType;

/// A file system of a mebibyte; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<Self> {
        need("mount")?;
        let dir = tempfile::tempdir().unwrap();
        let options = ["-t", "tmpfs", "-o", "size=1m", "rbuild-test"];
        let output = Command::new("mount")
            .args(options)
            .arg(dir.path())
            .output()
            .unwrap();
        if !output.status.success() {
            skip("only root can mount a small disk");
            return None;
        }
        Some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_named_and_leaves_nothing_half_written() {
    let Some(disk) = SmallDisk::new() else { return };
    let store = Store::open(disk.0.path()).unwrap();
    store
        .tag("kept", &Descriptor::of(MediaType::ImageManifest, b"m"))
        .unwrap();
    let before = fs::read(store.root().join("index.json")).unwrap();
    let large = vec![7; 2 << 20];

    let error = store.put_blob(&large).unwrap_err();
    let expected = format!(
        "cannot write to {}/blobs/sha256: No space left on device",
        store.root().display()
    );
    assert!(chain(&error).starts_with(&expected), "{}", chain(&error));

    let mut incoming = store.new_blob().unwrap();
    let error = io::copy(&mut io::repeat(1).take(4 << 20), &mut incoming).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(error.to_string().contains("blobs/sha256"), "{error}");
    let full = store.tag("new", &Descriptor::of(MediaType::ImageManifest, b"n"));
    assert!(chain(&full.unwrap_err()).contains("index.json: No space left on device"));
    let full = store.put(Cache::Trees, &Digest::of("t"), &large[..1 << 19]);
    assert!(chain(&full.unwrap_err()).contains("No space left on device"));
    drop(incoming);

    assert_eq!(fs::read(store.root().join("index.json")).unwrap(), before);
    assert_eq!(listing(&store.root().join("blobs/sha256")), Vec::<PathBuf>::new());
    assert_eq!(
        listing(&store.root().join("tmp")).len(),
        2,
        "the process's directory and its lock"
    );
    store.put_blob(&large[..1 << 19]).unwrap();
    store
        .tag("new", &Descriptor::of(MediaType::ImageManifest, b"n"))
        .unwrap();
}
