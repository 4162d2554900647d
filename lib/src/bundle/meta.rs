//! `umoci.json`: which image a bundle is of.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Error, error::At};
use crate::{
    Digest, Locator, Place,
    edit::{self, Edit},
    image::{BlobError, Descriptor, Platform},
    registry::Registry,
    store::Store,
};

pub(super) const META: &str = "umoci.json";
pub(super) const ROOTFS: &str = "rootfs";
/// The form of bundles that umoci 0.4 and later have.
const VERSION: &str = "2";

/// A directory with an image's files and what is known of them.
#[derive(Clone, Debug)]
pub struct Bundle {
    path: PathBuf,
    meta: Meta,
    image: Descriptor,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Meta {
    umoci_version: String,
    from_descriptor_path: Walk,
    #[serde(default)]
    map_options: Option<Mapping>,
    #[serde(default)]
    whiteout_mode: u32,
    /// Where the image was; umoci passes over it.
    #[serde(default, rename = "rbuild_place", skip_serializing_if = "Option::is_none")]
    place: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Walk {
    #[serde(default)]
    descriptor_walk: Vec<Descriptor>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Mapping {
    #[serde(default)]
    uid_mappings: Option<Vec<Ids>>,
    #[serde(default)]
    gid_mappings: Option<Vec<Ids>>,
    #[serde(default)]
    rootless: bool,
}

/// Some ids in a container, and what they are on this machine.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Ids {
    #[serde(rename = "containerID")]
    inside: u32,
    #[serde(rename = "hostID")]
    outside: u32,
    size: u32,
}

impl Bundle {
    /// Opens a bundle that rbuild or umoci made.
    ///
    /// # Errors
    /// If it is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let file = path.join(META);
        let not = |why: String| Error::NotABundle {
            path: path.clone(),
            why,
        };
        let bytes = match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(not(format!("there is no file {META}")));
            }
            read => read.at("cannot read", &file)?,
        };
        let meta: Meta = serde_json::from_slice(&bytes).map_err(|error| not(format!("{META}: {error}")))?;
        if !["1", VERSION, "3"].contains(&&*meta.umoci_version) {
            return Err(not(format!(
                "its form is {:?}, and only 2 is known",
                meta.umoci_version
            )));
        }
        let image = meta.from_descriptor_path.descriptor_walk.last().cloned();
        let image = image.ok_or_else(|| not(format!("{META} names no image")))?;
        Ok(Self { path, meta, image })
    }

    /// A bundle that is being made.
    pub(super) fn new(path: &Path, image: &Descriptor, place: &str, rootless: bool) -> Self {
        let ids = |outside| {
            let size = if rootless { 1 } else { u32::MAX };
            Some(vec![Ids {
                inside: 0,
                outside,
                size,
            }])
        };
        let (uid, gid) = match rootless {
            true => (
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
            ),
            false => (0, 0),
        };
        let meta = Meta {
            umoci_version: VERSION.to_owned(),
            from_descriptor_path: Walk {
                descriptor_walk: vec![image.clone()],
            },
            map_options: Some(Mapping {
                uid_mappings: ids(uid),
                gid_mappings: ids(gid),
                rootless,
            }),
            whiteout_mode: 0,
            place: Some(place.to_owned()),
        };
        Self {
            path: path.to_owned(),
            meta,
            image: image.clone(),
        }
    }

    /// The same directory, as that of another image.
    pub(super) fn of_image(&self, image: &Descriptor, place: &str) -> Self {
        let mut bundle = self.clone();
        bundle.meta.from_descriptor_path.descriptor_walk = vec![image.clone()];
        bundle.meta.place = Some(place.to_owned());
        bundle.image = image.clone();
        bundle
    }

    pub(super) fn write(&self) -> Result<(), Error> {
        let path = self.path.join(META);
        let bytes = serde_json::to_vec(&self.meta)
            .map_err(io::Error::from)
            .at("cannot write", &path)?;
        fs::write(&path, bytes).at("cannot write", &path)
    }

    /// The manifest of the image.
    pub fn image(&self) -> &Descriptor {
        &self.image
    }

    /// Where the image was when it was unpacked, if the bundle says so.
    pub fn place(&self) -> Option<Locator> {
        self.meta.place.as_ref()?.parse().ok()
    }

    /// The files.
    pub fn rootfs(&self) -> PathBuf {
        self.path.join(ROOTFS)
    }

    /// The list of what the files were like.
    pub(super) fn list(&self) -> PathBuf {
        self.path.join(list_name(&self.image.digest))
    }

    /// All files belong to who unpacked them.
    pub fn is_rootless(&self) -> bool {
        self.meta.map_options.as_ref().is_some_and(|map| map.rootless)
    }

    /// Who an owner on this machine is in the image. Ids that have no counterpart stay what they are.
    pub(super) fn inside(&self, uid: u32, gid: u32) -> (u32, u32) {
        let map = self.meta.map_options.as_ref();
        let ids = |ids: Option<&Option<Vec<Ids>>>, id: u32| {
            let ids = ids.and_then(Option::as_ref).into_iter().flatten();
            let inside = |ids: &Ids| {
                let place = id.checked_sub(ids.outside).filter(|place| *place < ids.size)?;
                ids.inside.checked_add(place)
            };
            ids.clone().find_map(inside).unwrap_or(id)
        };
        (
            ids(map.map(|map| &map.uid_mappings), uid),
            ids(map.map(|map| &map.gid_mappings), gid),
        )
    }
}

fn list_name(image: &Digest) -> String {
    format!("{}.mtree", image.to_string().replace(':', "_"))
}

impl Bundle {
    /// Opens the image that the bundle was made of: beside where the result will go, or where it was.
    ///
    /// # Errors
    /// If it is in neither place.
    pub async fn base(
        &self,
        near: &Locator,
        store: Option<&Store>,
        registry: &Registry,
    ) -> Result<Edit, edit::Error> {
        let platform = self.image.platform.clone().unwrap_or_else(Platform::host);
        let digest = self.image.digest;
        let places = [Some(near.clone()), self.place()].into_iter().flatten();
        let mut failed = None;
        for place in places.flat_map(|place| [by_digest(&place, digest), place]) {
            match Edit::open(&place, &platform, store, registry).await {
                Ok(edit) if edit.image().encode()?.descriptor.digest == digest => return Ok(edit),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        let missing = BlobError::Missing {
            digest,
            place: near.to_string(),
        };
        Err(failed.unwrap_or_else(|| missing.into()))
    }
}

fn by_digest(place: &Locator, digest: Digest) -> Locator {
    match place {
        Locator::Registry(reference) => Locator::Registry(reference.with_digest(digest)),
        Locator::Store(_) => Locator::Store(digest.to_string()),
        Locator::OciLayout(at) => Locator::OciLayout(Place {
            path: at.path.clone(),
            name: None,
            digest: Some(digest),
        }),
        Locator::OciArchive(at) => Locator::OciArchive(Place {
            path: at.path.clone(),
            name: None,
            digest: Some(digest),
        }),
        other => other.clone(),
    }
}
