//! Records that can be rebuilt: results of steps, indexes of layers and the like.
//!
//! A record ends with a line that holds the digest of what comes before. One without, or with a wrong one, is not there.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{
    Error, Store,
    disk::{self, Durability, IoContext as _},
    reach,
};
use crate::{
    Digest,
    image::{Descriptor, Layer},
};

/// The kinds of records, each in a directory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cache {
    /// Results of steps, by key.
    Steps,
    /// Indexes of layers, by diff ID.
    Trees,
    /// What explains a miss.
    Why,
    /// What is known of build contexts.
    Contexts,
}

impl Cache {
    pub(super) const ALL: [Self; 4] = [Self::Steps, Self::Trees, Self::Why, Self::Contexts];

    pub(super) const fn directory(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Trees => "trees",
            Self::Why => "why",
            Self::Contexts => "contexts",
        }
    }
}

/// The result of a step. What it names is kept as long as the record is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Layers that it made or uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
    /// Other blobs: manifests (with all they name), downloads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Descriptor>,
    /// Whatever else its maker wants to know.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub value: serde_json::Value,
}

impl Store {
    /// A record, if it is there and whole. It counts as used now.
    pub fn get(&self, cache: Cache, key: &Digest) -> Option<Vec<u8>> {
        let path = self.record_path(cache, key);
        let bytes = open_sealed(fs::read(&path).ok()?)?;
        touch(&path);
        Some(bytes)
    }

    /// Writes a record, in place of one that was there.
    ///
    /// # Errors
    /// If it cannot be written; then what was there is as it was.
    pub fn put(&self, cache: Cache, key: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let path = self.record_path(cache, key);
        disk::publish(
            self.session()?.dir(),
            &path,
            &seal(bytes),
            Durability::Rebuildable,
        )
    }

    /// The result of a step, if it is known. Whether its blobs are here is another question: those of a base may never
    /// have been fetched.
    pub fn get_step(&self, key: &Digest) -> Option<Record> {
        serde_json::from_slice(&self.get(Cache::Steps, key)?).ok()
    }

    /// All results of steps that are whole.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn steps(&self) -> Result<Vec<Record>, Error> {
        let records = reach::records(self, Cache::Steps)?.into_iter();
        let whole = records.filter_map(|(path, _)| {
            let bytes = open_sealed(fs::read(path).ok()?)?;
            serde_json::from_slice(&bytes).ok()
        });
        Ok(whole.collect())
    }

    /// Records the result of a step.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put_step(&self, key: &Digest, record: &Record) -> Result<(), Error> {
        let path = self.record_path(Cache::Steps, key);
        let bytes = serde_json::to_vec(record).map_err(|source| Error::Json { path, source })?;
        self.put(Cache::Steps, key, &bytes)
    }

    /// The index of a layer, by diff ID.
    pub fn get_tree(&self, diff_id: &Digest) -> Option<Vec<u8>> {
        self.get(Cache::Trees, diff_id)
    }

    /// Writes the index of a layer.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put_tree(&self, diff_id: &Digest, bytes: &[u8]) -> Result<(), Error> {
        self.put(Cache::Trees, diff_id, bytes)
    }

    /// A directory for what a record has no room for, made if there is none. It counts as used now, and goes when it was not
    /// used for longest.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn cache_dir(&self, cache: Cache, key: &Digest) -> Result<PathBuf, Error> {
        let path = self.record_path(cache, key);
        fs::create_dir_all(&path).at("create", &path)?;
        touch(&path);
        Ok(path)
    }

    pub(super) fn record_path(&self, cache: Cache, key: &Digest) -> PathBuf {
        self.root().join(cache.directory()).join(key.hex())
    }
}

/// The length of the line that ends a record: newline, digest, newline.
const SEAL: usize = 1 + "sha256:".len() + 64 + 1;

pub(super) fn seal(bytes: &[u8]) -> Vec<u8> {
    let line = format!("\n{}\n", Digest::of(bytes));
    [bytes, line.as_bytes()].concat()
}

pub(super) fn open_sealed(mut sealed: Vec<u8>) -> Option<Vec<u8>> {
    let length = sealed.len().checked_sub(SEAL)?;
    let line = sealed.split_off(length);
    (line == format!("\n{}\n", Digest::of(&sealed)).as_bytes()).then_some(sealed)
}

/// Notes that something was used. Once a minute is enough for what is compared with days.
pub(super) fn touch(path: &Path) {
    let recent = |time: SystemTime| time.elapsed().is_ok_and(|age| age < Duration::from_secs(60));
    let update = || -> io::Result<()> {
        if !recent(fs::metadata(path)?.modified()?) {
            fs::File::open(path)?.set_modified(SystemTime::now())?;
        }
        Ok(())
    };
    // A store that cannot be written can still be read.
    let _ = update();
}
