//! Trees on disk, of which only the directories are read that somebody looks into.
//!
//! A block for each directory that has entries, inner ones first; then the root, and the layers that contents are in.

use std::{
    collections::{HashMap, btree_map},
    ffi::OsStr,
    fs::File,
    io,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Content, InodeId, Kind, Node, Origin, Tree,
    codec::{Bytes, put, put_bytes, put_node},
    inodes::{Entries, Entry},
};
use crate::Digest;

/// Changes with the form.
const MAGIC: &[u8; 16] = b"rbuild tree 001\n";

/// Magic, and where the root is.
const HEAD: usize = MAGIC.len() + 8;

/// Where a directory's entries are.
#[derive(Debug)]
pub(super) struct Block {
    source: Arc<Source>,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    length: u64,
}

/// A file with a Tree in it.
#[derive(Debug)]
struct Source {
    file: File,
    /// Where in the file the Tree begins.
    start: u64,
    /// Diff IDs, by the numbers that stand for them.
    layers: Vec<Digest>,
    /// Inodes that may have several names, by the numbers that stand for them.
    linked: Mutex<HashMap<u64, Arc<Node>>>,
}

impl Tree {
    /// A form for [`Tree::open`].
    ///
    /// # Errors
    /// When the contents of a file are not in a layer, or have no digest.
    pub(crate) fn save(&self) -> io::Result<Vec<u8>> {
        let mut writer = Writer {
            out: [&MAGIC[..], &[0; 8]].concat(),
            ..Writer::default()
        };
        let place = writer.entries(&self.root)?;
        let mut end = Vec::new();
        put_node(&mut end, &self.root.node)?;
        put_place(&mut end, place);
        put(&mut end, writer.layers.len() as u64);
        let mut layers: Vec<_> = writer.layers.into_iter().collect();
        layers.sort_unstable_by_key(|(_, number)| *number);
        for (layer, _) in layers {
            end.extend_from_slice(layer.as_bytes());
        }
        let at = (writer.out.len() as u64).to_le_bytes();
        writer.out[MAGIC.len()..HEAD].copy_from_slice(&at);
        writer.out.extend_from_slice(&end);
        Ok(writer.out)
    }

    /// What [`Tree::save`] gave, which begins at `start` in a file; none if it is something else.
    ///
    /// Directories are read when they are looked into, and one that is damaged is empty: the file has to be one that nobody
    /// else writes to.
    pub(crate) fn open(file: File, start: u64) -> Option<Self> {
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, start).ok()?;
        let at = u64::from_le_bytes(*head.strip_prefix(MAGIC)?.first_chunk()?);
        let size = file.metadata().ok()?.len().checked_sub(start)?;
        let end = read(&file, start, at, size.checked_sub(at)?)?;
        let mut bytes = Bytes(&end);
        let tag = bytes.byte()?;
        let node = bytes.node(tag, Digest::from_bytes([0; 32]))?;
        let place = place(&mut bytes, at)?;
        let count = bytes.number()?;
        let layers = (0..count).map(|_| bytes.digest()).collect::<Option<_>>()?;
        let source = Arc::new(Source {
            file,
            start,
            layers,
            linked: Mutex::default(),
        });
        let root = source.entry(Arc::new(node), place);
        Some(Self { root })
    }
}

fn read(file: &File, start: u64, at: u64, length: u64) -> Option<Vec<u8>> {
    let size = file.metadata().ok()?.len();
    // No more than there is, whatever is written there.
    let fits = start.checked_add(at)?.checked_add(length)? <= size;
    let mut bytes = vec![0; usize::try_from(length).ok().filter(|_| fits)?];
    file.read_exact_at(&mut bytes, start.checked_add(at)?).ok()?;
    Some(bytes)
}

fn put_place(to: &mut Vec<u8>, Place { at, length }: Place) {
    put(to, at);
    put(to, length);
}

/// A place that lies before another: so there are no circles.
fn place(bytes: &mut Bytes<'_>, before: u64) -> Option<Place> {
    let (at, length) = (bytes.number()?, bytes.number()?);
    let fits = at.checked_add(length)? <= before;
    fits.then_some(Place { at, length })
}

impl Block {
    /// The entries.
    pub(super) fn load(&self) -> Entries {
        self.source.entries(self.place).unwrap_or_default()
    }
}

impl Source {
    fn entry(self: &Arc<Self>, node: Arc<Node>, place: Place) -> Entry {
        match place.length {
            0 => Entry::directory(node, Entries::new()),
            _ => Entry::saved(
                node,
                Block {
                    source: self.clone(),
                    place,
                },
            ),
        }
    }

    fn entries(self: &Arc<Self>, Place { at, length }: Place) -> Option<Entries> {
        let block = read(&self.file, self.start, at, length)?;
        let mut bytes = Bytes(&block);
        let mut entries = Entries::new();
        while !bytes.0.is_empty() {
            let name = bytes.text()?;
            let link = bytes.number()?;
            let layer = self.layers.get(usize::try_from(bytes.number()?).ok()?);
            let tag = bytes.byte()?;
            let node = bytes.node(tag, *layer.unwrap_or(&Digest::from_bytes([0; 32])))?;
            let place = match node.kind {
                Kind::Directory => place(&mut bytes, at)?,
                _ => Place { at: 0, length: 0 },
            };
            let node = match link {
                0 => Arc::new(node),
                _ => {
                    let mut linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
                    linked.entry(link).or_insert_with(|| Arc::new(node)).clone()
                }
            };
            entries.insert(name.into(), self.entry(node, place));
        }
        Some(entries)
    }
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    layers: HashMap<Digest, u64>,
    linked: HashMap<InodeId, u64>,
}

/// A directory whose block is being made.
struct Open<'a> {
    rest: btree_map::Iter<'a, Arc<OsStr>, Entry>,
    block: Vec<u8>,
}

impl<'a> Open<'a> {
    fn new(entry: &'a Entry) -> Self {
        Self {
            rest: entry.entries().iter(),
            block: Vec::new(),
        }
    }
}

impl Writer {
    /// Writes the blocks at and below a directory; where its own is.
    fn entries(&mut self, entry: &Entry) -> io::Result<Place> {
        // Not by recursion: trees may be deeper than stacks.
        let mut outer = Vec::new();
        let mut inner = Open::new(entry);
        loop {
            if let Some((name, entry)) = inner.rest.next() {
                put_bytes(&mut inner.block, name.as_bytes());
                put(&mut inner.block, self.link(entry));
                self.layer_and_node(&mut inner.block, &entry.node)?;
                if entry.is_directory() {
                    outer.push(std::mem::replace(&mut inner, Open::new(entry)));
                }
                continue;
            }
            let place = Place {
                at: self.out.len() as u64,
                length: inner.block.len() as u64,
            };
            self.out.append(&mut inner.block);
            let Some(around) = outer.pop() else {
                return Ok(place);
            };
            inner = around;
            put_place(&mut inner.block, place);
        }
    }

    /// The number of an inode that may have other names, or 0.
    fn link(&mut self, entry: &Entry) -> u64 {
        if entry.is_directory() || Arc::strong_count(&entry.node) == 1 {
            return 0;
        }
        let next = self.linked.len() as u64 + 1;
        *self.linked.entry(entry.id()).or_insert(next)
    }

    fn layer_and_node(&mut self, to: &mut Vec<u8>, node: &Node) -> io::Result<()> {
        let layer = match &node.kind {
            Kind::File(Content {
                origin: Origin::Layer { diff_id, .. },
                ..
            }) => {
                let next = self.layers.len() as u64;
                *self.layers.entry(*diff_id).or_insert(next)
            }
            _ => 0,
        };
        put(to, layer);
        put_node(to, node)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::tree::{Change, What, arbitrary, diff};

    /// The same with contents in layers.
    fn in_layers(tree: &Tree) -> (Tree, Vec<Change>) {
        let mut changes = diff(&Tree::new(), tree);
        for (number, change) in changes.iter_mut().enumerate() {
            if let What::Node(Node {
                kind: Kind::File(content),
                ..
            }) = &mut change.what
            {
                content.origin = Origin::Layer {
                    diff_id: Digest::of([number as u8 % 3]),
                    offset: number as u64 * 512,
                };
            }
        }
        let mut tree = Tree::new();
        tree.apply(&changes).unwrap();
        (tree, changes)
    }

    fn saved(tree: &Tree) -> Tree {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before").unwrap();
        file.write_all(&tree.save().unwrap()).unwrap();
        Tree::open(file, 6).unwrap()
    }

    fn origins(tree: &Tree) -> Vec<String> {
        let files = tree.walk().filter_map(|found| match &found.node.kind {
            Kind::File(content) => Some(format!("{:?}", content.origin)),
            _ => None,
        });
        files.collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn what_is_saved_is_what_is_read((one, two) in arbitrary::two_trees()) {
            let (whole, _) = in_layers(&one);
            prop_assert_eq!(&saved(&whole), &whole);
            prop_assert_eq!(origins(&saved(&whole)), origins(&whole));
            // Looked at in part, changed, and then saved again.
            let lazy = saved(&whole);
            let looked = saved(&whole);
            let _ = looked.walk().count();
            let layer = diff(&one, &two);
            let change = |tree: &Tree| {
                let mut tree = tree.clone();
                tree.apply(&layer).map(|()| tree)
            };
            prop_assert_eq!(change(&lazy), change(&whole));
            prop_assert_eq!(change(&looked), change(&whole));
            if let Ok(changed) = change(&saved(&whole)) {
                let (changed, _) = in_layers(&changed);
                prop_assert_eq!(saved(&changed), changed);
            }
            prop_assert_eq!(lazy, whole);
        }

        #[test]
        fn damage_is_no_panic(tree in arbitrary::tree(), at in any::<usize>(), byte in any::<u8>(), cut in any::<bool>()) {
            let mut bytes = in_layers(&tree).0.save().unwrap();
            let at = at % bytes.len();
            match cut {
                true => bytes.truncate(at),
                false => bytes[at] ^= byte,
            }
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            // A block may be there several times, but not without end.
            let _ = Tree::open(file, 0).map(|tree| tree.walk().take(1000).count());
        }
    }

    #[test]
    fn deep_trees_are_saved_and_dropped() {
        let deep = vec!["d"; 1000].join("/");
        let mut tree = Tree::new();
        let node = Node {
            metadata: crate::tree::Metadata::default(),
            kind: Kind::Fifo,
        };
        tree.insert(&deep, node).unwrap();
        let again = saved(&tree);
        assert!(again.get(&deep).is_some());
        assert_eq!(again, tree);
    }
}
