//! What takes how much space, and what nothing refers to.

use std::{
    collections::HashSet,
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use walkdir::WalkDir;

use super::{
    Cache, Error, Store,
    reach::{self, Reach},
    unpacked,
};
use crate::Digest;

/// What a store takes on disk. The parts add up to what `du -s` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Each directory of the store by its name, and `other`.
    pub parts: Vec<Part>,
    /// In bytes: what nothing refers to, contained in the parts.
    pub orphaned: u64,
}

/// A part of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `blobs`, `layers`, …
    pub name: &'static str,
    /// Allocated on disk.
    pub bytes: u64,
    /// Blobs, records, layers; for `tmp` and `other`, names.
    pub count: usize,
}

impl Usage {
    /// In bytes.
    pub fn total(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

impl Store {
    /// What takes how much space. What may not be read is not counted, as with `du`.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub fn du(&self) -> Result<Usage, Error> {
        let mut meter = Meter::default();
        let root = self.root();
        let mut parts = Vec::new();
        let mut measure = |name, path: &str, count| {
            parts.push(Part {
                name,
                bytes: meter.measure(&root.join(path)),
                count,
            });
        };
        measure("blobs", "blobs", reach::blobs(self)?.len());
        for cache in Cache::ALL {
            measure(
                cache.directory(),
                cache.directory(),
                reach::records(self, cache)?.len(),
            );
        }
        measure("layers", "layers", reach::unpacked(self)?.len());
        let formats = std::fs::read_dir(root.join("mounts"))
            .into_iter()
            .flatten()
            .flatten();
        let caches = formats.map(|format| entries(&format.path())).sum();
        measure("mounts", "mounts", caches);
        measure("tmp", "tmp", entries(&root.join("tmp")));
        let rest = meter.measure(root);
        parts.push(Part {
            name: "other",
            bytes: rest,
            count: entries(root).saturating_sub(parts.len()),
        });
        let mut meter = Meter::default();
        let orphaned = self.orphans()?.iter().map(|path| meter.measure(path)).sum();
        Ok(Usage { parts, orphaned })
    }

    /// Blobs, trees and unpacked layers that no name and no step refers to; and torn records, and layers of an earlier
    /// boot, which nobody can use.
    pub(super) fn orphans(&self) -> Result<Vec<PathBuf>, Error> {
        let mut reach = Reach::of_names(self)?;
        let mut orphans = Vec::new();
        for step in reach::steps(self)? {
            match step.reach {
                Some(used) => reach.extend(used),
                None => orphans.push(step.path),
            }
        }
        let is_kept = |path: &Path, kept: &HashSet<Digest>| {
            reach::digest_of(path).is_some_and(|digest| kept.contains(&digest))
        };
        orphans.extend(
            reach::blobs(self)?
                .into_iter()
                .filter(|path| !is_kept(path, &reach.blobs)),
        );
        for (path, _) in reach::records(self, Cache::Trees)? {
            if !is_kept(&path, &reach.diff_ids) {
                orphans.push(path);
            }
        }
        for (path, _) in reach::unpacked(self)? {
            if !is_kept(&path, &reach.diff_ids) || !unpacked::is_valid(&path) {
                orphans.push(path);
            }
        }
        Ok(orphans)
    }
}

/// Adds up what is allocated on disk, each inode once.
#[derive(Default)]
pub(super) struct Meter {
    seen: HashSet<(u64, u64)>,
}

impl Meter {
    /// What a path takes, with all below it, and was not measured before.
    pub(super) fn measure(&mut self, path: &Path) -> u64 {
        let entries = WalkDir::new(path).into_iter().flatten();
        entries
            .flat_map(|entry| entry.metadata())
            .map(|metadata| self.count(&metadata))
            .sum()
    }

    fn count(&mut self, metadata: &Metadata) -> u64 {
        // st_blocks is in units of 512 bytes, whatever the file system's block is: stat(2).
        let bytes = metadata.blocks() * 512;
        if self.seen.insert((metadata.dev(), metadata.ino())) {
            bytes
        } else {
            0
        }
    }
}

fn entries(path: &Path) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}
