//! The inode tree: look up, insert, link, remove.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    path::{Component, Path},
    sync::{Arc, OnceLock},
};

use super::{Error, Kind, Metadata, Node, saved::Block};
use crate::Digest;

/// A filesystem in memory. Cloning takes no time: clones share what none of them has changed since.
///
/// Names that are hard links share one inode: see [`Tree::inode`].
#[derive(Clone, Debug)]
pub struct Tree {
    pub(super) root: Entry,
}

/// A name's inode, and for a directory its entries.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) node: Arc<Node>,
    /// `None` where there are none: mostly since it is no directory.
    entries: Option<Arc<Listing>>,
}

/// The entries of a directory: here, or in a saved Tree until somebody looks.
#[derive(Debug, Default)]
struct Listing {
    here: Entries,
    /// What is read of it takes the place of `here`, which is empty.
    saved: Option<(Block, OnceLock<Entries>)>,
}

impl Listing {
    fn get(&self) -> &Entries {
        match &self.saved {
            Some((block, entries)) => entries.get_or_init(|| block.load()),
            None => &self.here,
        }
    }

    fn get_mut(&mut self) -> &mut Entries {
        if let Some((block, entries)) = self.saved.take() {
            self.here = entries.into_inner().unwrap_or_else(|| block.load());
        }
        &mut self.here
    }

    /// Those that are in memory.
    fn known_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        let saved = self.saved.as_mut().and_then(|(_, entries)| entries.get_mut());
        let saved = saved.into_iter().flat_map(Entries::values_mut);
        self.here.values_mut().chain(saved)
    }
}

impl Clone for Listing {
    fn clone(&self) -> Self {
        Self {
            here: self.get().clone(),
            saved: None,
        }
    }
}

pub(super) type Entries = BTreeMap<Arc<OsStr>, Entry>;

/// Which inode a name stands for. Two names of one Tree with equal ids are hard links.
///
/// Good for as long as the Tree that it was asked of is neither changed nor dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InodeId(usize);

static NO_ENTRIES: Entries = Entries::new();

impl Entry {
    pub(super) fn new(node: Node) -> Self {
        Self {
            node: Arc::new(node),
            entries: None,
        }
    }

    /// A directory and what is in it.
    pub(super) fn directory(node: Arc<Node>, entries: Entries) -> Self {
        Self {
            node,
            entries: (!entries.is_empty()).then(|| {
                Arc::new(Listing {
                    here: entries,
                    saved: None,
                })
            }),
        }
    }

    /// A directory with something in it, which is read when somebody looks.
    pub(super) fn saved(node: Arc<Node>, block: Block) -> Self {
        let listing = Listing {
            here: Entries::new(),
            saved: Some((block, OnceLock::new())),
        };
        Self {
            node,
            entries: Some(Arc::new(listing)),
        }
    }

    /// A directory that nothing describes, as every extractor makes it: root's, 0755.
    pub(super) fn implied_directory() -> Self {
        Self::new(Node {
            metadata: Metadata {
                mode: 0o755,
                ..Metadata::default()
            },
            kind: Kind::Directory,
        })
    }

    pub(super) fn is_directory(&self) -> bool {
        self.node.kind == Kind::Directory
    }

    pub(super) fn id(&self) -> InodeId {
        InodeId(Arc::as_ptr(&self.node).addr())
    }

    pub(super) fn entries(&self) -> &Entries {
        self.entries.as_deref().map_or(&NO_ENTRIES, Listing::get)
    }

    fn entries_mut(&mut self) -> &mut Entries {
        Arc::make_mut(self.entries.get_or_insert_default()).get_mut()
    }
}

/// Without recursion: trees may be deeper than stacks.
impl Drop for Entry {
    fn drop(&mut self) {
        let mut pending: Vec<Arc<Listing>> = self.entries.take().into_iter().collect();
        while let Some(entries) = pending.pop() {
            let mut unshared = Arc::into_inner(entries).unwrap_or_default();
            pending.extend(unshared.known_mut().filter_map(|entry| entry.entries.take()));
        }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// An empty root directory, owned by root, mode 0755.
    pub fn new() -> Self {
        Self {
            root: Entry::implied_directory(),
        }
    }

    /// The inode at a path, symbolic links not followed.
    pub fn get(&self, path: impl AsRef<Path>) -> Option<&Node> {
        self.entry(path.as_ref()).map(|entry| &*entry.node)
    }

    /// Which inode a path stands for, symbolic links not followed.
    pub fn inode(&self, path: impl AsRef<Path>) -> Option<InodeId> {
        self.entry(path.as_ref()).map(Entry::id)
    }

    /// The entries of a directory, sorted by name; none if there is no directory at the path.
    pub fn children(&self, path: impl AsRef<Path>) -> impl Iterator<Item = (&OsStr, &Node)> {
        let entries = self.entry(path.as_ref()).map(|entry| entry.entries().iter());
        entries
            .into_iter()
            .flatten()
            .map(|(name, entry)| (&**name, &*entry.node))
    }

    /// Whether nothing is in the root.
    pub fn is_empty(&self) -> bool {
        self.root.entries().is_empty()
    }

    /// Puts an inode at a path. A directory over a directory keeps its entries; anything else replaces what is there,
    /// with everything below. Parents that are missing, or no directories, become directories of root's, mode 0755.
    ///
    /// # Errors
    /// When the path is not clean, or something other than a directory should become the root.
    pub fn insert(&mut self, path: impl AsRef<Path>, node: Node) -> Result<(), Error> {
        let Some((parent, name)) = split(path.as_ref())? else {
            if node.kind != Kind::Directory {
                return Err(Error::Root);
            }
            self.root.node = Arc::new(node);
            return Ok(());
        };
        let entries = self.make_directory(parent).entries_mut();
        match entries.get_mut(name) {
            Some(old) if old.is_directory() && node.kind == Kind::Directory => old.node = Arc::new(node),
            Some(old) => *old = Entry::new(node),
            None => _ = entries.insert(name.into(), Entry::new(node)),
        }
        Ok(())
    }

    /// Makes a path another name of the file at `target`, replacing what is there. Parents are made as in
    /// [`Tree::insert`].
    ///
    /// # Errors
    /// When a path is not clean, or `target` is missing or a directory.
    pub fn link(&mut self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<(), Error> {
        let (path, target) = (path.as_ref(), target.as_ref());
        let (parent, name) = split(path)?.ok_or(Error::Root)?;
        let wrong = |error: fn(_, _) -> Error| error(path.to_owned(), target.to_owned());
        let inode = match self.entry(target) {
            None => return Err(wrong(|path, target| Error::NoLinkTarget { path, target })),
            Some(entry) if entry.is_directory() => {
                return Err(wrong(|path, target| Error::LinkToDirectory { path, target }));
            }
            Some(entry) => entry.clone(),
        };
        self.make_directory(parent)
            .entries_mut()
            .insert(name.into(), inode);
        Ok(())
    }

    /// Takes a name away, with everything below it; returns whether there was one.
    ///
    /// # Errors
    /// When the path is not clean, or is the root.
    pub fn remove(&mut self, path: impl AsRef<Path>) -> Result<bool, Error> {
        let (parent, name) = split(path.as_ref())?.ok_or(Error::Root)?;
        // Looked up first, so that nothing shared is copied when there is nothing to remove.
        if self.entry(path.as_ref()).is_none() {
            return Ok(false);
        }
        Ok(self.make_directory(parent).entries_mut().remove(name).is_some())
    }

    /// Empties a directory, if there is one.
    pub(super) fn clear(&mut self, path: &Path) {
        if self.entry(path).is_some_and(|entry| entry.entries.is_some()) {
            self.make_directory(path).entries = None;
        }
    }

    /// Sees to it that there is a directory, in place of whatever is there.
    pub(super) fn ensure_directory(&mut self, path: &Path) -> Result<(), Error> {
        // Only to see whether it is clean.
        split(path)?;
        self.make_directory(path);
        Ok(())
    }

    /// Notes the digests of files, at all their names.
    pub(super) fn set_digests(&mut self, digests: &HashMap<InodeId, Digest>) {
        if digests.is_empty() {
            return;
        }
        let mut done: HashMap<InodeId, Arc<Node>> = HashMap::new();
        let mut directories: Vec<&mut Arc<Listing>> = self.root.entries.iter_mut().collect();
        while let Some(entries) = directories.pop() {
            for entry in Arc::make_mut(entries).get_mut().values_mut() {
                let id = entry.id();
                if let Some(digest) = digests.get(&id) {
                    let node = done
                        .entry(id)
                        .or_insert_with(|| Arc::new(with_digest(&entry.node, *digest)));
                    entry.node = Arc::clone(node);
                }
                directories.extend(entry.entries.iter_mut());
            }
        }
    }

    pub(super) fn entry(&self, path: &Path) -> Option<&Entry> {
        let mut entry = &self.root;
        for component in path.components() {
            let Component::Normal(name) = component else {
                return None;
            };
            entry = entry.entries().get(name)?;
        }
        Some(entry)
    }

    /// The directory at a clean path, made with its parents where it is missing or something else is there.
    fn make_directory(&mut self, path: &Path) -> &mut Entry {
        let mut entry = &mut self.root;
        for name in path {
            let next = entry
                .entries_mut()
                .entry(name.into())
                .or_insert_with(Entry::implied_directory);
            if !next.is_directory() {
                *next = Entry::implied_directory();
            }
            entry = next;
        }
        entry
    }
}

fn with_digest(node: &Node, digest: Digest) -> Node {
    let mut node = node.clone();
    if let Kind::File(content) = &mut node.kind {
        content.digest = Some(digest);
    }
    node
}

/// Parent and last name of a clean path; `None` for the root.
fn split(path: &Path) -> Result<Option<(&Path, &OsStr)>, Error> {
    let clean = |component| matches!(component, Component::Normal(_));
    if !path.components().all(clean) {
        return Err(Error::Unclean(path.to_owned()));
    }
    Ok(path.parent().zip(path.file_name()))
}
