//! [`Files`]: files of this machine as a layer.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use super::Error;
use crate::tree::{self, Change, Content, Context, Kind, Metadata, Node, Origin, StatCache, What};

/// Files of this machine, and where they go in an image. Parents of these that are not named are what the image has.
#[derive(Clone, Debug, Default)]
pub struct Files {
    added: BTreeMap<PathBuf, What>,
    /// Of lower layers.
    gone: BTreeSet<PathBuf>,
    /// Directories in which nothing of lower layers shows.
    opaque: BTreeSet<PathBuf>,
    owner: (u32, u32),
    mode: Option<u32>,
    latest: Option<i64>,
}

impl Files {
    /// Nothing yet; all will belong to root, with modes and times as on disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who owns what is added from now on.
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.owner = (uid, gid);
        self
    }

    /// The mode of files that are added from now on.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode & 0o7777);
        self
    }

    /// No file is later than this, in seconds since 1970.
    pub fn no_later_than(mut self, seconds: i64) -> Self {
        self.latest = Some(seconds);
        self
    }

    /// Adds a file under this path in the image, or all that is in a directory below it.
    ///
    /// # Errors
    /// If it cannot be read, or the path is none.
    pub fn add(mut self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Self, Error> {
        let (from, to) = (from.as_ref(), clean(to.as_ref())?);
        let found = fs::metadata(from).map_err(Error::disk("cannot read", from))?;
        if found.is_dir() {
            return self.directory(from, &to);
        }
        let kind = match found.file_type() {
            kind if kind.is_file() => Kind::File(Content {
                size: found.len(),
                digest: None,
                origin: Origin::Disk(Arc::from(
                    std::path::absolute(from).map_err(Error::disk("cannot find", from))?,
                )),
            }),
            kind if kind.is_fifo() => Kind::Fifo,
            _ => {
                let wrong = std::io::Error::other("it is no regular file");
                return Err(Error::disk("cannot add", from)(wrong));
            }
        };
        let metadata = Metadata {
            mode: found.mode() & 0o7777,
            mtime: found.mtime(),
            ..Metadata::default()
        };
        self.put(to, Node { metadata, kind });
        Ok(self)
    }

    /// Takes a path of lower layers away, with all below it.
    ///
    /// # Errors
    /// If it is no path.
    pub fn remove(mut self, path: impl AsRef<Path>) -> Result<Self, Error> {
        self.gone.insert(clean(path.as_ref())?);
        Ok(self)
    }

    /// Adds a directory, and hides what lower layers have in it.
    ///
    /// # Errors
    /// If it cannot be read, or the path is none.
    pub fn replace(mut self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Self, Error> {
        let path = clean(to.as_ref())?;
        self = self.add(from, &path)?;
        self.opaque.insert(path);
        Ok(self)
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.gone.is_empty() && self.opaque.is_empty()
    }

    /// The layer.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes: Vec<Change> = self
            .gone
            .iter()
            .map(|path| change(path, What::Whiteout))
            .collect();
        for (path, what) in &self.added {
            changes.push(change(path, what.clone()));
            if self.opaque.contains(path) {
                changes.push(change(path, What::Opaque));
            }
        }
        changes
    }

    fn directory(mut self, from: &Path, to: &Path) -> Result<Self, Error> {
        let root = std::path::absolute(from).map_err(Error::disk("cannot find", from))?;
        let context = Context::scan(&root, &(), StatCache::default())?;
        let mut names = BTreeMap::new();
        for found in context.tree().walk_at("") {
            let path = to.join(&found.path);
            if path.as_os_str().is_empty() {
                continue;
            }
            let first = names.entry(found.inode).or_insert_with(|| path.clone());
            match found.node.kind {
                Kind::Directory => self.put(path, found.node.clone()),
                _ if *first != path => _ = self.added.insert(path, What::HardLink(first.clone())),
                _ => self.put(path, found.node.clone()),
            }
        }
        Ok(self)
    }

    fn put(&mut self, path: PathBuf, mut node: Node) {
        let metadata = &mut node.metadata;
        (metadata.uid, metadata.gid) = self.owner;
        if let (Kind::File(_), Some(mode)) = (&node.kind, self.mode) {
            metadata.mode = mode;
        }
        metadata.mtime = self
            .latest
            .map_or(metadata.mtime, |latest| metadata.mtime.min(latest));
        self.added.insert(path, What::Node(node));
    }
}

fn change(path: &Path, what: What) -> Change {
    Change {
        path: path.to_owned(),
        what,
    }
}

/// A path in an image, from its root, without `.`; `..` is refused.
fn clean(path: &Path) -> Result<PathBuf, tree::Error> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => clean.push(name),
            _ => return Err(tree::Error::Unclean(path.to_owned())),
        }
    }
    Ok(clean)
}
