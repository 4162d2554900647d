//! What a walk found: names and stats, packed, and what they come to.

use std::{
    collections::HashMap,
    ffi::{CStr, OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustix::fs::{FileType, Stat, major, minor};

use super::{
    StatCache,
    cache::{Seen, is_racy},
};
use crate::{
    Digest, Hasher,
    plan::key::prefixed,
    tree::{
        Content, Kind, Metadata, Node, Origin, Tree,
        inodes::{Entries, Entry},
    },
};

/// Names of one directory, one after the other.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// Where each begins, and what the directory says that it is.
    each: Vec<(usize, FileType)>,
}

impl Names {
    pub(super) fn push(&mut self, name: &CStr, kind: FileType) {
        self.each.push((self.bytes.len(), kind));
        self.bytes.extend_from_slice(name.to_bytes_with_nul());
    }

    pub(super) fn len(&self) -> usize {
        self.each.len()
    }

    /// The name with this number; empty if there are not so many.
    pub(super) fn get(&self, number: usize) -> (&CStr, FileType) {
        let (start, kind) = self.each.get(number).copied().unwrap_or((0, FileType::Unknown));
        let bytes = self.bytes.get(start..).unwrap_or_default();
        (CStr::from_bytes_until_nul(bytes).unwrap_or_default(), kind)
    }
}

/// What one look at names of a directory found. A large directory is looked at in parts.
#[derive(Debug)]
pub(super) struct Listing {
    /// Relative to the directory that was walked.
    pub(super) directory: PathBuf,
    pub(super) names: Names,
    pub(super) found: Vec<Found>,
}

/// What a name of a [`Listing`] is.
#[derive(Debug)]
pub(super) struct Found {
    /// Its number among the names.
    pub(super) name: usize,
    pub(super) stat: Stat,
    /// Where a symbolic link leads.
    pub(super) target: Option<OsString>,
    /// Left out, but for the sake of what may be below.
    pub(super) left_out: bool,
}

/// All that a walk found.
#[derive(Debug)]
pub(super) struct Scanned {
    root: PathBuf,
    /// Of the root.
    stat: Stat,
    /// Sorted by directory.
    listings: Vec<Listing>,
    /// Nothing was looked at before this.
    began: SystemTime,
}

impl Scanned {
    pub(super) fn new(root: &Path, stat: Stat, mut listings: Vec<Listing>, began: SystemTime) -> Self {
        listings.sort_unstable_by(|a, b| a.directory.cmp(&b.directory));
        let root = root.to_owned();
        Self {
            root,
            stat,
            listings,
            began,
        }
    }

    /// The directories, each after those above it, with their entries sorted by name.
    fn directories(&self) -> impl DoubleEndedIterator<Item = (&Path, Vec<(&CStr, &Found)>)> {
        let parts = self.listings.chunk_by(|a, b| a.directory == b.directory);
        parts.map(|parts| {
            let entries = parts.iter().flat_map(|part| {
                part.found
                    .iter()
                    .map(|found| (part.names.get(found.name).0, found))
            });
            let mut entries: Vec<_> = entries.collect();
            entries.sort_unstable_by_key(|(name, _)| *name);
            let directory = parts.first().map_or(Path::new(""), |part| &part.directory);
            (directory, entries)
        })
    }

    /// The digest of all names and stats. A later walk that comes to the same has found the same files with the same
    /// contents: who writes to a file changes its time. None where a file is so new that this may not be so.
    pub(super) fn stamp(&self) -> Option<Digest> {
        let mut hasher = Hasher::new();
        let mut bytes = Vec::new();
        for (directory, entries) in self.directories() {
            bytes.clear();
            for (name, found) in entries {
                if found.is_file() && is_racy(&found.stat, self.began) {
                    return None;
                }
                bytes.extend_from_slice(name.to_bytes_with_nul());
                found.append_to(&mut bytes);
            }
            prefixed(&mut hasher, directory.as_os_str().as_bytes());
            prefixed(&mut hasher, &bytes);
        }
        Some(hasher.finish())
    }

    /// The Tree of all this, and which records of the cache it uses: files that the cache knows have their digest, the
    /// others none.
    pub(super) fn tree(&self, cache: &StatCache) -> (Tree, Vec<usize>) {
        let (mut used, mut linked, mut done) = (Vec::new(), HashMap::new(), HashMap::new());
        // From the innermost directories to the root.
        for (directory, found) in self.directories().rev() {
            let mut entries = Entries::new();
            for (name, found) in found {
                let name = OsStr::from_bytes(name.to_bytes());
                let below = match found.kind() {
                    FileType::Directory => done.remove(&directory.join(name)),
                    _ => None,
                };
                if found.left_out && below.is_none() {
                    continue;
                }
                let mut node = || {
                    let record = found.record(cache);
                    used.extend(record.map(|(place, _)| place));
                    let place = || self.root.join(directory).join(name);
                    Arc::new(found.node(place, record.map(|(_, digest)| digest)))
                };
                let node = match found.inode() {
                    Some(inode) => Arc::clone(linked.entry(inode).or_insert_with(node)),
                    None => node(),
                };
                entries.insert(name.into(), Entry::directory(node, below.unwrap_or_default()));
            }
            if !entries.is_empty() {
                done.insert(directory.to_owned(), entries);
            }
        }
        let node = Node {
            metadata: metadata(&self.stat),
            kind: Kind::Directory,
        };
        let entries = done.remove(Path::new("")).unwrap_or_default();
        let root = Entry::directory(Arc::new(node), entries);
        (Tree { root }, used)
    }
}

impl Found {
    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    fn is_file(&self) -> bool {
        self.kind() == FileType::RegularFile
    }

    /// Device and inode number, if it has other names.
    fn inode(&self) -> Option<(u64, u64)> {
        let linked = self.kind() != FileType::Directory && self.stat.st_nlink > 1;
        linked.then_some((self.stat.st_dev, self.stat.st_ino))
    }

    fn record(&self, cache: &StatCache) -> Option<(usize, Digest)> {
        match self.is_file() {
            true => cache.get(&Seen::new(&self.stat)),
            false => None,
        }
    }

    /// All that tells it from what it may become.
    fn append_to(&self, bytes: &mut Vec<u8>) {
        let stat = &self.stat;
        for number in [stat.st_mode, stat.st_uid, stat.st_gid, self.left_out.into()] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        // Times and sizes of directories are those of lists, which are here in full.
        if self.kind() != FileType::Directory {
            bytes.extend_from_slice(&Seen::new(stat).to_bytes());
            bytes.extend_from_slice(&stat.st_rdev.to_le_bytes());
            bytes.push(self.inode().is_some().into());
            bytes.extend_from_slice(self.target.as_deref().unwrap_or_default().as_bytes());
            bytes.push(0);
        }
    }

    fn node(&self, place: impl FnOnce() -> PathBuf, digest: Option<Digest>) -> Node {
        let (major, minor) = (major(self.stat.st_rdev), minor(self.stat.st_rdev));
        let kind = match self.kind() {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink(self.target.clone().unwrap_or_default()),
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::CharDevice { major, minor },
            FileType::BlockDevice => Kind::BlockDevice { major, minor },
            _ => Kind::File(Content {
                size: self.stat.st_size as u64,
                digest,
                origin: Origin::Disk(place().into()),
            }),
        };
        Node {
            metadata: metadata(&self.stat),
            kind,
        }
    }
}

fn metadata(stat: &Stat) -> Metadata {
    Metadata {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: stat.st_mtime,
        ..Metadata::default()
    }
}
