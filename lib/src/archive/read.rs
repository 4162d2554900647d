//! [`Archive`]: which image is meant, and its blobs.

use std::{io::Read, path::Path};

use super::{CONTAINERD_NAME, Error, directory, docker, oci_tar, oci_tar::OciTar, tar_file::TarFile};
use crate::{
    Digest, Locator, Place,
    image::{BlobError, Blobs, Descriptor, Image, Index, Platform, resolve},
    store::Layout,
};

/// Images in a file or a directory.
pub struct Archive {
    blobs: Box<dyn Blobs>,
    images: Vec<Entry>,
    place: Place,
}

/// An image and what it is called.
pub(super) struct Entry {
    pub names: Vec<String>,
    pub image: Descriptor,
}

impl Entry {
    /// A signature, a bill of materials and the like, which have no name.
    fn is_referrer(&self) -> bool {
        self.names.is_empty() && self.image.artifact_type().is_some()
    }
}

impl Archive {
    /// Opens what a locator names.
    ///
    /// # Errors
    /// If it cannot be read, is not what the locator says, or is in a registry.
    pub fn open(locator: &Locator) -> Result<Self, Error> {
        let (blobs, images, place): (Box<dyn Blobs>, _, _) = match locator {
            Locator::OciLayout(place) => {
                let layout = Layout::open(&place.path)?;
                let images = named(layout.index()?.manifests);
                (Box::new(layout), images, place.clone())
            }
            Locator::OciArchive(place) => {
                let tar = TarFile::open(&place.path)?;
                let images = named(oci_tar::read_index(&tar)?);
                (Box::new(OciTar(tar)), images, place.clone())
            }
            Locator::DockerArchive(place) => {
                let tar = TarFile::open(&place.path)?;
                // As docker writes it since version 25: both kinds in one, and only as an OCI layout are digests kept.
                if tar.find(oci_tar::MARKER).is_some() && tar.find("index.json").is_some() {
                    let images = named(oci_tar::read_index(&tar)?);
                    (Box::new(OciTar(tar)), images, place.clone())
                } else {
                    let (blobs, images) = docker::read(tar)?;
                    (Box::new(blobs), images, place.clone())
                }
            }
            Locator::Directory(path) => {
                let (blobs, image) = directory::read(path)?;
                (
                    Box::new(blobs),
                    vec![Entry {
                        names: Vec::new(),
                        image,
                    }],
                    Place::new(path),
                )
            }
            other => {
                return Err(Error::NotLocal {
                    place: other.to_string(),
                });
            }
        };
        Ok(Self { blobs, images, place })
    }

    /// Names and descriptors of all images here.
    pub fn images(&self) -> impl Iterator<Item = (&[String], &Descriptor)> {
        self.images
            .iter()
            .map(|entry| (entry.names.as_slice(), &entry.image))
    }

    /// The image that the locator means: a manifest or an index. The platform decides only where several entries have
    /// the name.
    ///
    /// # Errors
    /// If there is none, or several.
    pub fn find(&self, platform: &Platform) -> Result<Descriptor, Error> {
        let mut matching: Vec<&Entry> = self
            .images
            .iter()
            .enumerate()
            .filter(|(at, entry)| self.matches(*at, entry))
            .map(|(_, e)| e)
            .collect();
        // What refers to an image lies beside it, and is meant only when it is named.
        if matching.iter().any(|entry| !entry.is_referrer()) {
            matching.retain(|entry| !entry.is_referrer() || self.place.digest.is_some());
        }
        matching.dedup_by_key(|entry| entry.image.digest);
        match matching[..] {
            [] => self.inner().ok_or_else(|| self.not_found()),
            [only] => Ok(only.image.clone()),
            [first, ..] => {
                let several = || Error::Several {
                    path: self.path().to_owned(),
                    available: self.available(),
                };
                if matching.iter().any(|entry| entry.names != first.names) {
                    return Err(several());
                }
                let entries = matching.iter().map(|entry| entry.image.clone()).collect();
                let index = Index::new(entries);
                index
                    .select(platform, Digest::of(""))
                    .cloned()
                    .map_err(|_| several())
            }
        }
    }

    /// The names of all images, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.images.iter().flat_map(|entry| entry.names.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The manifest of the image that the locator means, for a platform, and its descriptor.
    ///
    /// # Errors
    /// As [`find`](Self::find), and if there is no image for the platform.
    pub fn manifest(&self, platform: &Platform) -> Result<(Descriptor, Vec<u8>), Error> {
        Ok(resolve(self, &self.find(platform)?, platform)?)
    }

    /// The image that the locator means, for a platform.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest), and if the image is not valid.
    pub fn image(&self, platform: &Platform) -> Result<Image, Error> {
        Ok(Image::load(self, &self.find(platform)?, platform)?)
    }

    fn path(&self) -> &Path {
        &self.place.path
    }

    fn matches(&self, at: usize, entry: &Entry) -> bool {
        if self
            .place
            .digest
            .is_some_and(|digest| digest != entry.image.digest)
        {
            return false;
        }
        let Some(wanted) = &self.place.name else {
            return true;
        };
        match wanted.strip_prefix('@').map(str::parse::<usize>) {
            // As with skopeo: the image's number.
            Some(Ok(number)) => at == number,
            _ => entry
                .names
                .iter()
                .any(|name| name == wanted || full(name) == full(wanted)),
        }
    }

    /// A digest may name an image that only an index here names.
    fn inner(&self) -> Option<Descriptor> {
        let digest = self.place.digest?;
        if self.place.name.is_some() {
            return None;
        }
        self.images.iter().find_map(|entry| {
            let blobs = super::closure(self, &entry.image).ok()?;
            blobs.into_iter().find(|blob| blob.digest == digest)
        })
    }

    fn not_found(&self) -> Error {
        let name = self.place.name.clone().map(|name| format!("{name:?}"));
        let digest = self.place.digest.map(|digest| digest.to_string());
        let wanted: Vec<String> = name.into_iter().chain(digest).collect();
        Error::NotFound {
            wanted: wanted.join(" with digest "),
            path: self.path().to_owned(),
            available: self.available(),
        }
    }

    fn available(&self) -> Vec<String> {
        let names = self.images.iter().flat_map(|entry| match entry.names.is_empty() {
            true => vec![entry.image.digest.to_string()],
            false => entry.names.clone(),
        });
        names.take(20).collect()
    }
}

impl Blobs for Archive {
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        self.blobs.open(blob)
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, BlobError> {
        self.blobs.has(blob)
    }
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Archive").field(&self.place).finish()
    }
}

/// The entries of an index, with the names that their annotations give.
fn named(manifests: Vec<Descriptor>) -> Vec<Entry> {
    let names = |image: &Descriptor| {
        let containerd = image.annotations.get(CONTAINERD_NAME).map(String::as_str);
        let mut names: Vec<String> = image
            .ref_name()
            .into_iter()
            .chain(containerd)
            .map(str::to_owned)
            .collect();
        names.dedup();
        names
    };
    manifests
        .into_iter()
        .map(|image| Entry {
            names: names(&image),
            image,
        })
        .collect()
}

/// A name with what docker leaves out.
fn full(name: &str) -> String {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let last = name.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
}
