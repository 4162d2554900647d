//! Bundles, by our own hand and umoci's.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use rbuild_testutils::need;
use tempfile::TempDir;

use super::*;
use crate::{
    Locator,
    copy::{Options, Source},
    edit::Edit,
    image::{History, Image, Layer, MediaType, Platform, fixture::Memory},
    inspect::Files,
    registry::{Anonymous, Registry},
    tree::{Kind, Metadata, Tree},
};

fn run<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

fn client() -> Registry {
    Registry::builder().keychain(Anonymous).build()
}

/// A tar of files of several owners, a device, links and an attribute.
fn odd_tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, mode: u32, owner: (u64, u64), data: &str| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner.0);
        header.set_gid(owner.1);
        header.set_mtime(1000);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        match kind {
            tar::EntryType::Symlink | tar::EntryType::Link => {
                header.set_size(0);
                tar.append_link(&mut header, name, data).unwrap();
            }
            _ => {
                header.set_size(data.len() as u64);
                tar.append_data(&mut header, name, data.as_bytes()).unwrap();
            }
        }
    };
    use tar::EntryType as T;
    add("etc", T::Directory, 0o755, (0, 0), "");
    add("etc/secret", T::Regular, 0o000, (7, 8), "secret\n");
    add("etc/other name", T::Link, 0o000, (7, 8), "etc/secret");
    add("etc/kept", T::Regular, 0o644, (7, 0), "kept\n");
    add("closed", T::Directory, 0o500, (9, 9), "");
    add("closed/f", T::Regular, 0o4755, (0, 0), "f");
    add("null", T::Char, 0o666, (0, 0), "");
    add("pipe", T::Fifo, 0o600, (3, 0), "");
    add("link", T::Symlink, 0o777, (5, 5), "etc/secret");
    add("data/v", T::Regular, 0o644, (0, 0), "v");
    tar.into_inner().unwrap()
}

/// An image in a layout, as `image` there.
fn layout(dir: &Path) -> Locator {
    let memory = Memory::default();
    let tar = odd_tar();
    let mut image = Image::scratch(&Platform::host());
    let descriptor = memory.put(MediaType::ImageLayer, &tar);
    image.append(
        Layer {
            descriptor,
            diff_id: crate::Digest::of(&tar),
        },
        History::default(),
    );
    image.config_mut().config.user = "7".to_owned();
    image.config_mut().config.volumes.insert("/data".to_owned());
    let image = memory.put_image(&image);
    let path = dir.join("layout");
    crate::archive::write_oci_directory(&memory, &image, &path, &["image".to_owned()]).unwrap();
    format!("oci:{}:image", path.display()).parse().unwrap()
}

async fn opened(at: &Locator) -> (Source, Image, Files) {
    let platform = Platform::host();
    let source = Source::open(at, &platform, None, &client()).await.unwrap();
    let image = source.image(&platform).await.unwrap();
    let files = source.files(&image, None).await.unwrap();
    (source, image, files)
}

async fn unpacked(at: &Locator, bundle: &Path, rootless: bool) {
    let (source, image, files) = opened(at).await;
    unpack(&source, &image, &files, bundle, rootless).unwrap();
}

/// The image of a bundle, and whether it has a new layer.
async fn repacked(bundle: &Path, to: &Locator, options: &Repack) -> (bool, Tree) {
    let bundle = Bundle::open(bundle).unwrap();
    let mut edit = bundle.base(to, None, &client()).await.unwrap();
    let files = edit.files(None).unwrap();
    let changed = repack(&mut edit, &files, &bundle, options).unwrap();
    edit.write_to(to, &Options::new(), &client()).await.unwrap();
    let (source, image, files) = opened(to).await;
    assert_eq!(source.validate().await.unwrap().findings, []);
    assert_eq!(image.layers().len(), if changed { 2 } else { 1 });
    (changed, files.tree().clone())
}

fn new(dir: &Path) -> Locator {
    format!("oci:{}:new", dir.join("layout").display())
        .parse()
        .unwrap()
}

fn metadata<'a>(tree: &'a Tree, path: &str) -> &'a Metadata {
    &tree.get(path).unwrap().metadata
}

#[test]
fn a_bundle_that_nobody_touched_is_the_same_image() {
    let dir = TempDir::new().unwrap();
    let image = layout(dir.path());
    run(async {
        for (name, rootless) in [("rootless", true), ("as it is", false)] {
            let bundle = dir.path().join(name);
            unpacked(&image, &bundle, rootless).await;
            let (changed, tree) = repacked(&bundle, &new(dir.path()), &Repack::default()).await;
            assert!(!changed, "{name}");
            assert_eq!(tree, *opened(&image).await.2.tree());
            let (source, image, files) = opened(&image).await;
            let again = unpack(&source, &image, &files, &bundle, rootless);
            assert!(matches!(again, Err(Error::Exists(_))));
        }
    });
}

#[test]
fn files_are_the_caller_s_and_their_owners_are_kept() {
    let dir = TempDir::new().unwrap();
    let image = layout(dir.path());
    let bundle = dir.path().join("bundle");
    let root = bundle.join("rootfs");
    run(async {
        unpacked(&image, &bundle, true).await;
        let of = |path: &str| fs::symlink_metadata(root.join(path)).unwrap();
        let me = rustix::process::geteuid().as_raw();
        for path in ["etc/secret", "closed", "link", "pipe", "null"] {
            assert_eq!(of(path).uid(), me, "{path}");
        }
        assert_eq!(
            (of("etc/secret").mode() & 0o7777, of("closed").mode() & 0o7777),
            (0o600, 0o700)
        );
        assert!(of("null").is_file() && of("etc/secret").ino() == of("etc/other name").ino());
        let config: serde_json::Value =
            serde_json::from_slice(&fs::read(bundle.join("config.json")).unwrap()).unwrap();
        assert_eq!(config["process"]["user"]["uid"], 7);

        fs::write(root.join("etc/secret"), "edited\n").unwrap();
        fs::remove_file(root.join("closed/f")).unwrap();
        fs::write(root.join("etc/new"), "new").unwrap();
        fs::remove_file(root.join("null")).unwrap();
        symlink("x", root.join("null")).unwrap();
        fs::write(root.join("data/v"), "of a volume").unwrap();
        fs::set_permissions(root.join("etc/kept"), fs::Permissions::from_mode(0o640)).unwrap();
        let options = Repack {
            masked: vec!["data".into()],
            ..Repack::default()
        };
        let (changed, tree) = repacked(&bundle, &new(dir.path()), &options).await;
        assert!(changed);
        let secret = metadata(&tree, "etc/secret");
        assert_eq!(
            (secret.uid, secret.gid, secret.mode),
            (7, 8, 0),
            "nobody changed the mode"
        );
        assert_eq!(tree.inode("etc/secret"), tree.inode("etc/other name"));
        assert_eq!(
            (metadata(&tree, "etc/kept").uid, metadata(&tree, "etc/kept").mode),
            (7, 0o640)
        );
        assert_eq!(
            (metadata(&tree, "etc/new").uid, metadata(&tree, "closed").uid),
            (0, 9)
        );
        assert_eq!(metadata(&tree, "closed").mode, 0o500);
        assert!(tree.get("closed/f").is_none() && matches!(tree.get("null").unwrap().kind, Kind::Symlink(_)));
        let before = opened(&image).await.2;
        for path in ["data/v", "pipe", "link"] {
            assert_eq!(tree.get(path), before.tree().get(path), "{path}");
        }
    });
}

#[test]
fn a_layer_has_what_changed_and_no_more() {
    let dir = TempDir::new().unwrap();
    let image = layout(dir.path());
    let bundle = dir.path().join("bundle");
    run(async {
        unpacked(&image, &bundle, true).await;
        fs::write(bundle.join("rootfs/etc/kept"), "more\n").unwrap();
        let to = new(dir.path());
        assert!(repacked(&bundle, &to, &Repack::default()).await.0);
        let (source, made, _) = opened(&to).await;
        let layer = source.blobs().open(&made.layers()[1].descriptor).unwrap();
        let index = crate::layer::index(crate::layer::decompress(layer).unwrap(), None).unwrap();
        let paths: Vec<_> = index
            .changes
            .iter()
            .map(|change| change.path.to_str().unwrap())
            .collect();
        assert_eq!(paths, ["etc/kept"]);
        // Once more, from the new image on.
        let written = made.encode().unwrap().descriptor.clone();
        let refreshed = Bundle::open(&bundle)
            .unwrap()
            .refresh(&written, &to.to_string())
            .unwrap();
        assert_eq!(
            Bundle::open(&bundle).unwrap().image().digest,
            refreshed.image().digest
        );
        let mut edit = refreshed.base(&to, None, &client()).await.unwrap();
        let files = edit.files(None).unwrap();
        assert!(!repack(&mut edit, &files, &refreshed, &Repack::default()).unwrap());
        let mut other = Edit::open(&image, &Platform::host(), None, &client())
            .await
            .unwrap();
        let error = repack(&mut other, &files, &refreshed, &Repack::default()).unwrap_err();
        assert!(matches!(error, Error::AnotherImage { .. }), "{error}");
    });
}

#[test]
fn what_is_no_bundle_is_refused() {
    let dir = TempDir::new().unwrap();
    let error = |meta: &str| {
        fs::write(dir.path().join("umoci.json"), meta).unwrap();
        Bundle::open(dir.path()).unwrap_err().to_string()
    };
    assert!(
        Bundle::open(dir.path())
            .unwrap_err()
            .to_string()
            .ends_with("there is no file umoci.json")
    );
    assert!(error("{").contains("EOF"));
    assert!(error(r#"{"umoci_version":"9","from_descriptor_path":{}}"#).contains("only 2 is known"));
    assert!(error(r#"{"umoci_version":"2","from_descriptor_path":{}}"#).contains("names no image"));
}

fn umoci(dir: &Path, arguments: &[&str]) {
    let output = Command::new("umoci")
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "umoci {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn umoci_repacks_what_we_unpack() {
    if need("umoci").is_none() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let image = layout(dir.path());
    let bundle = dir.path().join("bundle");
    run(async {
        unpacked(&image, &bundle, true).await;
        fs::write(bundle.join("rootfs/etc/kept"), "by umoci\n").unwrap();
        umoci(dir.path(), &["repack", "--image", "layout:new", "bundle"]);
        let (source, made, files) = opened(&new(dir.path())).await;
        assert_eq!(source.validate().await.unwrap().findings, []);
        let layer = source.blobs().open(&made.layers()[1].descriptor).unwrap();
        let index = crate::layer::index(crate::layer::decompress(layer).unwrap(), None).unwrap();
        let paths: Vec<_> = index
            .changes
            .iter()
            .map(|change| change.path.to_str().unwrap())
            .collect();
        assert_eq!(paths, ["etc/kept"], "umoci sees the one change and no other");
        assert_eq!(
            metadata(files.tree(), "etc/kept").uid,
            7,
            "and the owner, by the attribute"
        );
    });
}

#[test]
fn we_repack_what_umoci_unpacks() {
    if need("umoci").is_none() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let image = layout(dir.path());
    let bundle = dir.path().join("bundle");
    run(async {
        umoci(
            dir.path(),
            &["unpack", "--rootless", "--image", "layout:image", "bundle"],
        );
        let (changed, tree) = repacked(&bundle, &new(dir.path()), &Repack::default()).await;
        assert!(!changed);
        assert_eq!(tree, *opened(&image).await.2.tree());
        fs::write(bundle.join("rootfs/etc/kept"), "by rbuild\n").unwrap();
        fs::write(bundle.join("rootfs/etc/secret"), "by rbuild\n").unwrap();
        let (changed, tree) = repacked(&bundle, &new(dir.path()), &Repack::default()).await;
        assert!(changed);
        assert_eq!(
            (metadata(&tree, "etc/kept").uid, metadata(&tree, "etc/secret").gid),
            (7, 8)
        );
    });
}
