//! Images in files and directories: OCI layouts, the same in a tar, what `docker save` writes, and skopeo's `dir:`.
//!
//! Each is read through [`Archive`], which is a [`Blobs`] and knows the names in it, and written by a function of its
//! own, or by [`write()`] to where a [`Locator`] says. Bytes and digests are preserved, except that a docker archive
//! holds layers uncompressed and has no manifests.
//!
//! - `read`: [`Archive`]: which image is meant, and its blobs
//! - `walk`: all blobs that an image is made of
//! - `oci_dir`: OCI image layouts in a directory
//! - `oci_tar`: OCI image layouts in a tar
//! - `docker`, `docker_write`: docker archives
//! - `directory`: `dir:`
//! - `tar_file`: blobs in a tar, found without unpacking it; `tar_out`: writing one

mod directory;
mod docker;
mod docker_write;
mod error;
mod oci_dir;
mod oci_tar;
mod read;
mod tar_file;
mod tar_out;
mod walk;

use std::path::Path;

pub use directory::write as write_directory;
pub use docker_write::write as write_docker;
pub use error::Error;
pub use oci_dir::write as write_oci_directory;
pub use oci_tar::write as write_oci_tar;
pub use read::Archive;
pub use walk::closure;

use crate::{
    Locator,
    image::{Blobs, Descriptor, REF_NAME},
    store::disk::{self, Durability, IoContext as _},
};

/// The name of an image, in containerd's and docker's annotation.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Writes an image, or an index with all images in it, to a place on disk, under the names given and the one in the
/// locator. An OCI layout keeps its other images, a `dir:` is replaced, and so is an archive, all at once.
///
/// Returns what the place calls the image: the same descriptor, but for a docker archive, which has none.
///
/// # Errors
/// If something cannot be read or written; and if the place is a registry, or cannot hold such an image.
pub fn write(
    source: &dyn Blobs,
    image: &Descriptor,
    to: &Locator,
    names: &[String],
) -> Result<Descriptor, Error> {
    let all = |name: &Option<String>| -> Vec<String> {
        let mut all: Vec<String> = name.iter().chain(names).cloned().collect();
        all.dedup();
        all
    };
    match to {
        Locator::OciLayout(place) => write_oci_directory(source, image, &place.path, &all(&place.name)),
        Locator::OciArchive(place) => replace(&place.path, |mut file| {
            write_oci_tar(source, image, &all(&place.name), &mut file)
        }),
        Locator::DockerArchive(place) => replace(&place.path, |file| {
            write_docker(source, image, &all(&place.name), file)
        }),
        Locator::Directory(path) => write_directory(source, image, path),
        other => Err(Error::NotLocal {
            place: other.to_string(),
        }),
    }
}

/// Writes a file beside the one it will replace.
fn replace<T>(path: &Path, write: impl FnOnce(&std::fs::File) -> Result<T, Error>) -> Result<T, Error> {
    let dir = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // A device or a pipe stays what it is.
    if path
        .metadata()
        .is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
    {
        let file = std::fs::File::options().write(true).open(path).at("open", path)?;
        return write(&file).map_err(|error| error.writing(path));
    }
    let file = disk::temporary(dir)?;
    let result = write(file.as_file()).map_err(|error| error.writing(path))?;
    disk::persist(file, path, Durability::Synced)?;
    Ok(result)
}

/// The entries of an index for an image: one for each name, or one without.
fn entries(image: &Descriptor, names: &[String]) -> Vec<Descriptor> {
    let mut plain = image.clone();
    plain.annotations.remove(REF_NAME);
    plain.annotations.remove(CONTAINERD_NAME);
    if names.is_empty() {
        return vec![plain];
    }
    let named = |name: &String| {
        let mut entry = plain.clone();
        entry.annotations.insert(REF_NAME.to_owned(), name.clone());
        // docker and containerd want to know where the image was, and that is what looks like a full reference.
        if name.contains('/') {
            entry.annotations.insert(CONTAINERD_NAME.to_owned(), name.clone());
        }
        entry
    };
    names.iter().map(named).collect()
}

#[cfg(test)]
mod tests;
