//! What changed in a bundle, as a layer.

use std::{
    collections::HashMap,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Bundle, Error,
    disk::{Found, Opened, Step, walk},
    mtree::{self, Entry},
    owner,
    unpack::describe,
};
use crate::{
    edit::Edit,
    image::{Descriptor, History},
    inspect::Files,
    layer::{Sources, belongs_to_image},
    tree::{Content, Kind, Metadata, Node, Origin, Tree, diff},
};

/// What to make of a bundle.
#[derive(Clone, Debug, Default)]
pub struct Repack {
    /// What the image's history says of the new layer.
    pub history: History,
    /// Paths at and below which nothing counts as changed.
    pub masked: Vec<PathBuf>,
    /// The latest time of files in the layer, in seconds since 1970.
    pub latest: Option<i64>,
}

/// Adds a layer of what changed in a bundle to the image that the bundle was made of; says whether anything did. Blocks.
///
/// Files keep the owners that they have in the image, and new ones are root's, unless the attribute
/// `user.rootlesscontainers` says otherwise; in a bundle of root's own, owners are what the disk says.
///
/// # Errors
/// If the bundle is of another image, or something cannot be read.
pub fn repack(edit: &mut Edit, files: &Files, bundle: &Bundle, options: &Repack) -> Result<bool, Error> {
    let found = edit.image().encode()?.descriptor.digest;
    let expected = bundle.image().digest;
    if found != expected {
        return Err(Error::AnotherImage { expected, found });
    }
    let root = std::path::absolute(bundle.rootfs()).unwrap_or_else(|_| bundle.rootfs());
    let mut opened = Opened::default();
    let steps = walk(&root, &mut opened)?;
    let scan = Scan {
        root: &root,
        bundle,
        base: files.tree(),
        list: mtree::read(&bundle.list())?,
        options,
    };
    let changes = diff(files.tree(), &scan.tree(&steps)?);
    if changes.is_empty() {
        return Ok(false);
    }
    // A file that is new under one of its names is written with all of them, and may not have changed.
    let open = |diff_id: &_| files.open_layer(diff_id);
    edit.append(&changes, &Sources::new(&open, &changes), options.history.clone())?;
    Ok(true)
}

impl Bundle {
    /// Makes this the bundle of another image, which has what is in it now.
    ///
    /// # Errors
    /// If that cannot be written down.
    pub fn refresh(&self, image: &Descriptor, place: &str) -> Result<Self, Error> {
        let bundle = self.of_image(image, place);
        describe(&bundle)?;
        if bundle.list() != self.list() {
            let _ = std::fs::remove_file(self.list());
        }
        Ok(bundle)
    }
}

struct Scan<'a> {
    root: &'a Path,
    bundle: &'a Bundle,
    base: &'a Tree,
    list: HashMap<PathBuf, Entry>,
    options: &'a Repack,
}

impl Scan<'_> {
    /// The tree that the bundle is now.
    fn tree(&self, steps: &[Step]) -> Result<Tree, Error> {
        let mut tree = Tree::new();
        let mut names: HashMap<(u64, u64), PathBuf> = HashMap::new();
        for step in steps {
            let (Step::Enter(found) | Step::File(found)) = step else {
                continue;
            };
            if self.is_masked(&found.path) {
                continue;
            }
            let metadata = &found.metadata;
            let inode = (metadata.dev(), metadata.ino());
            if !metadata.is_dir() && metadata.nlink() > 1 {
                if let Some(first) = names.get(&inode) {
                    tree.link(&found.path, first)?;
                    continue;
                }
                names.insert(inode, found.path.clone());
            }
            tree.insert(&found.path, self.node(found)?)?;
        }
        self.keep_masked(&mut tree)?;
        Ok(tree)
    }

    fn is_masked(&self, path: &Path) -> bool {
        self.options.masked.iter().any(|masked| path.starts_with(masked))
    }

    /// What the image has at masked paths stays.
    fn keep_masked(&self, tree: &mut Tree) -> Result<(), Error> {
        for masked in &self.options.masked {
            let mut names = HashMap::new();
            for found in self.base.walk_at(masked) {
                if let Some(first) = names.get(&found.inode) {
                    tree.link(&found.path, first)?;
                    continue;
                }
                names.insert(found.inode, found.path.clone());
                tree.insert(&found.path, found.node.clone())?;
            }
        }
        Ok(())
    }

    /// What a file is in the image: what it was, unless it changed.
    fn node(&self, found: &Found) -> Result<Node, Error> {
        let before = self.base.get(&found.path);
        let entry = self.list.get(&found.path);
        match (before, entry) {
            (Some(before), Some(entry)) if self.is_same(found, entry)? => Ok(before.clone()),
            _ => self.changed(found, before, entry),
        }
    }

    fn is_same(&self, found: &Found, entry: &Entry) -> Result<bool, Error> {
        let metadata = &found.metadata;
        let as_was = |was: Option<u64>, is: u64| was.is_none_or(|was| was == is);
        let ours = self.bundle.is_rootless();
        let quick = entry
            .kind
            .as_deref()
            .is_none_or(|kind| Some(kind) == found.kind())
            && as_was(entry.mode.map(u64::from), found.mode().into())
            && (metadata.is_dir() || as_was(entry.size, metadata.size()))
            && (ours || as_was(entry.uid.map(u64::from), metadata.uid().into()))
            && (ours || as_was(entry.gid.map(u64::from), metadata.gid().into()))
            && entry.mtime.is_none_or(|was| was == metadata.mtime())
            && (entry.link.is_none() || entry.link == found.link)
            && relevant(&entry.xattrs).eq(relevant(&found.xattrs));
        if !quick {
            return Ok(false);
        }
        match (&entry.digest, metadata.is_file()) {
            (Some(was), true) => Ok(*was == mtree::digest(&self.root.join(&found.path))?.hex()),
            _ => Ok(true),
        }
    }

    fn changed(&self, found: &Found, before: Option<&Node>, entry: Option<&Entry>) -> Result<Node, Error> {
        let kind = self.kind(found)?;
        let was = before.map(|node| &node.metadata);
        let (uid, gid) = self.owner(found, was);
        // What the disk says of the mode counts only if somebody changed that.
        let mode = match (was, entry.and_then(|entry| entry.mode)) {
            (Some(was), Some(mode)) if mode == found.mode() => was.mode,
            _ => found.mode(),
        };
        let mut xattrs: std::collections::BTreeMap<_, _> = relevant(&found.xattrs)
            .filter(|(name, _)| *name != owner::NAME)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // What the disk could not hold is as it was. A file's capabilities go with its content, as in a kernel.
        for (name, value) in was.into_iter().flat_map(|was| &was.xattrs) {
            let on_disk = entry.is_some_and(|entry| entry.xattrs.contains_key(name));
            let stale = name == "security.capability" && before.is_some_and(|before| before.kind != kind);
            if !on_disk && !stale {
                xattrs.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        let mtime = found.metadata.mtime();
        let mtime = self.options.latest.map_or(mtime, |latest| mtime.min(latest));
        let metadata = Metadata {
            mode,
            uid,
            gid,
            mtime,
            xattrs,
        };
        Ok(Node { metadata, kind })
    }

    fn owner(&self, found: &Found, was: Option<&Metadata>) -> (u32, u32) {
        if !self.bundle.is_rootless() {
            return self.bundle.inside(found.metadata.uid(), found.metadata.gid());
        }
        let said = found.xattrs.get(std::ffi::OsStr::new(owner::NAME));
        let said = said.and_then(|value| owner::decode(value));
        said.or_else(|| was.map(|was| (was.uid, was.gid)))
            .unwrap_or((0, 0))
    }

    fn kind(&self, found: &Found) -> Result<Kind, Error> {
        let device = rustix::fs::Dev::from(found.metadata.rdev());
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        Ok(match found.kind() {
            Some("dir") => Kind::Directory,
            Some("link") => Kind::Symlink(found.link.clone().unwrap_or_default()),
            Some("fifo") => Kind::Fifo,
            Some("char") => Kind::CharDevice { major, minor },
            Some("block") => Kind::BlockDevice { major, minor },
            _ => {
                let path = self.root.join(&found.path);
                Kind::File(Content {
                    size: found.metadata.size(),
                    digest: Some(mtree::digest(&path)?),
                    origin: Origin::Disk(Arc::from(path)),
                })
            }
        })
    }
}

type Attributes = std::collections::BTreeMap<std::ffi::OsString, Vec<u8>>;

fn relevant(xattrs: &Attributes) -> impl Iterator<Item = (&std::ffi::OsString, &Vec<u8>)> {
    xattrs.iter().filter(|(name, _)| belongs_to_image(name))
}
