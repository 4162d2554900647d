//! An image to a directory.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, lchown},
    path::Path,
};

use super::{Bundle, Error, disk, error::At, meta::ROOTFS, mtree, runtime, write::write};
use crate::{copy::Source, image::Image, inspect::Files};

/// Makes a bundle of an image. Who cannot give files away, or does not want to (`rootless`), owns all of them. Blocks.
///
/// # Errors
/// If there is a bundle already, the image cannot be read, or something cannot be written.
pub fn unpack(
    source: &Source,
    image: &Image,
    files: &Files,
    bundle: &Path,
    rootless: bool,
) -> Result<Bundle, Error> {
    let mut builder = DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(bundle)
        .at("cannot create", bundle)?;
    let rootless = rootless || !can_give_away(bundle)?;
    let descriptor = image.encode()?.descriptor.clone();
    let made = Bundle::new(bundle, &descriptor, source.place(), rootless);
    unpack_files(image, files, &bundle.join(ROOTFS), rootless)?;
    describe(&made)?;
    runtime::write(bundle, image, files, rootless)?;
    Ok(made)
}

/// Writes an image's files below a directory that is not there yet, and nothing else. Blocks.
///
/// # Errors
/// If it is there, the image cannot be read, or something cannot be written.
pub fn unpack_files(image: &Image, files: &Files, root: &Path, rootless: bool) -> Result<(), Error> {
    match root.symlink_metadata() {
        Ok(_) => return Err(Error::Exists(root.to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).at("cannot read", root),
    }
    let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).at("cannot create", parent)?;
    let rootless = rootless || !can_give_away(parent)?;
    let written = write(image, files, root, rootless);
    if written.is_err() {
        // Made by this call; half an image is of no use.
        let _ = fs::remove_dir_all(root);
    }
    written
}

/// Writes down what image a bundle is of, and what its files are like now.
pub(super) fn describe(bundle: &Bundle) -> Result<(), Error> {
    let root = bundle.rootfs();
    let mut opened = disk::Opened::default();
    let list = mtree::write(&root, &disk::walk(&root, &mut opened)?)?;
    let path = bundle.list();
    fs::write(&path, list).at("cannot write", &path)?;
    bundle.write()
}

/// Whether files can be made those of other users here.
fn can_give_away(directory: &Path) -> Result<bool, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    let probe = tempfile::NamedTempFile::new_in(directory).at("cannot create a file in", directory)?;
    Ok(lchown(probe.path(), Some(1), Some(1)).is_ok())
}
