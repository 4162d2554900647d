//! What refers to what: from names and records to blobs and diff IDs.

use std::{collections::HashSet, fs, path::PathBuf, time::SystemTime};

use super::{Cache, Error, Record, Store, cache::open_sealed, disk::IoContext as _};
use crate::{
    Digest,
    image::{Config, Descriptor, Index, Manifest, MediaTypeExt, read_small},
};

/// Things that are kept because something refers to them.
#[derive(Default)]
pub(super) struct Reach {
    /// Blobs, here or not.
    pub blobs: HashSet<Digest>,
    /// Layers, by diff ID.
    pub diff_ids: HashSet<Digest>,
}

/// A step's record, and what only it may be keeping.
pub(super) struct Step {
    pub path: PathBuf,
    pub used: SystemTime,
    /// Of a torn record, nothing.
    pub reach: Option<Reach>,
}

impl Reach {
    /// Adds what a descriptor stands for: manifests with all that they name. What is not here or not valid ends there.
    fn add(&mut self, store: &Store, descriptor: &Descriptor) {
        let mut pending = vec![descriptor.clone()];
        while let Some(next) = pending.pop() {
            if !self.blobs.insert(next.digest) {
                continue;
            }
            let media_type = &next.media_type;
            if !media_type.is_index() && !media_type.is_manifest() && !media_type.is_config() {
                continue;
            }
            let Ok(bytes) = read_small(store, &next) else {
                continue;
            };
            if media_type.is_index() {
                pending.extend(Index::parse(&bytes).into_iter().flat_map(|index| index.manifests));
            } else if media_type.is_manifest() {
                let manifest = Manifest::parse(&bytes).into_iter();
                pending
                    .extend(manifest.flat_map(|m| [m.config].into_iter().chain(m.layers).chain(m.subject)));
            } else {
                self.diff_ids
                    .extend(Config::parse(&bytes).into_iter().flat_map(|c| c.rootfs.diff_ids));
            }
        }
    }

    fn of_record(store: &Store, record: &Record) -> Self {
        let mut reach = Self::default();
        for blob in &record.blobs {
            reach.add(store, blob);
        }
        for layer in &record.layers {
            reach.blobs.insert(layer.descriptor.digest);
            reach.diff_ids.insert(layer.diff_id);
        }
        reach
    }

    /// What the named images are made of.
    pub(super) fn of_names(store: &Store) -> Result<Self, Error> {
        let mut reach = Self::default();
        for entry in store.layout().index()?.manifests {
            reach.add(store, &entry);
        }
        Ok(reach)
    }

    /// Adds what a step is made of.
    pub(super) fn extend(&mut self, other: Self) {
        self.blobs.extend(other.blobs);
        self.diff_ids.extend(other.diff_ids);
    }
}

/// The records of steps. Torn ones refer to nothing.
pub(super) fn steps(store: &Store) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for (path, used) in records(store, Cache::Steps)? {
        let record = fs::read(&path).ok().and_then(open_sealed);
        let record: Option<Record> = record.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let reach = record.map(|record| Reach::of_record(store, &record));
        steps.push(Step { path, used, reach });
    }
    Ok(steps)
}

/// The records of a cache, with the time of their last use.
pub(super) fn records(store: &Store, cache: Cache) -> Result<Vec<(PathBuf, SystemTime)>, Error> {
    let dir = store.root().join(cache.directory());
    let mut records = Vec::new();
    for entry in fs::read_dir(&dir).at("list", &dir)? {
        let entry = entry.at("list", &dir)?;
        let used = entry.metadata().and_then(|metadata| metadata.modified());
        records.push((entry.path(), used.unwrap_or(SystemTime::UNIX_EPOCH)));
    }
    Ok(records)
}

impl Store {
    /// Where a layer is unpacked, in each format.
    pub(super) fn unpacked_of(&self, digest: &Digest) -> Result<Vec<PathBuf>, Error> {
        let root = self.root().join("layers");
        let formats = fs::read_dir(&root).at("list", &root)?;
        let paths = formats.map(|format| Ok(format.at("list", &root)?.path().join(digest.hex())));
        paths
            .filter(|path| path.as_ref().map_or(true, |path| path.exists()))
            .collect()
    }
}

/// Unpacked layers of all formats, with the time of their last use.
pub(super) fn unpacked(store: &Store) -> Result<Vec<(PathBuf, SystemTime)>, Error> {
    let root = store.root().join("layers");
    let mut found = Vec::new();
    for format in fs::read_dir(&root).at("list", &root)? {
        let format = format.at("list", &root)?.path();
        for layer in fs::read_dir(&format).at("list", &format)? {
            let path = layer.at("list", &format)?.path();
            let used = fs::metadata(path.join("stamp")).and_then(|metadata| metadata.modified());
            found.push((path, used.unwrap_or(SystemTime::UNIX_EPOCH)));
        }
    }
    Ok(found)
}

/// The blobs that are here.
pub(super) fn blobs(store: &Store) -> Result<Vec<PathBuf>, Error> {
    let dir = store.root().join("blobs/sha256");
    let entries = fs::read_dir(&dir).at("list", &dir)?;
    entries.map(|entry| Ok(entry.at("list", &dir)?.path())).collect()
}

/// The digest that a file or a directory is named after.
pub(super) fn digest_of(path: &std::path::Path) -> Option<Digest> {
    format!("sha256:{}", path.file_name()?.to_str()?).parse().ok()
}
