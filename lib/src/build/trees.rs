//! Trees of layers that lie over one another. Those of large bases are kept on disk, where only what somebody looks at is
//! read: so what a step costs does not depend on the size of what is below it.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{error::BuildError, layers::Layers, place::with_parents, solver::Shared};
use crate::{
    Digest, Hasher,
    image::Layer,
    store::{Cache, Store},
    tree::{
        Change, Tree, What,
        codec::{Bytes, put_bytes},
    },
};

/// Changes that take longer to apply than what they come to takes to be found on disk.
const MANY: usize = 1000;

/// What the first so many layers of an image come to.
#[derive(Clone, Default)]
pub(super) struct Applied {
    pub tree: Tree,
    pub layers: usize,
}

impl Layers {
    /// Applies the rest of these layers, of which so many are the base's: others are built on that, too.
    pub async fn apply(
        &self,
        shared: &Arc<Shared>,
        applied: &mut Applied,
        layers: &[Layer],
        base: usize,
    ) -> Result<(), BuildError> {
        let names = names(layers);
        if applied.layers == 0 && !layers.is_empty() {
            let (store, names) = (self.store.clone(), names.clone());
            let known = shared.blocking(move || Ok(saved(&store, &names))).await?;
            *applied = known.unwrap_or_default();
        }
        let mut changes = 0;
        while let Some((layer, name)) = layers.get(applied.layers).zip(names.get(applied.layers)) {
            let index = self.index(shared, layer).await?;
            applied.tree.apply(&index.changes)?;
            applied.layers += 1;
            changes += index.changes.len();
            let worth_it = applied.layers == base || applied.layers == layers.len();
            if worth_it && changes >= MANY {
                changes = 0;
                let (store, name, tree) = (self.store.clone(), *name, applied.tree.clone());
                // It is made again when it is missing.
                shared.threads.start(move || _ = save(&store, &name, &tree));
            }
        }
        Ok(())
    }

    /// The root filesystem of these layers.
    pub async fn tree(&self, shared: &Arc<Shared>, layers: &[Layer]) -> Result<Tree, BuildError> {
        let mut applied = Applied::default();
        self.apply(shared, &mut applied, layers, layers.len()).await?;
        Ok(applied.tree)
    }

    /// What layers unpacked one by one lack of `tree`, which they come to: the owners and modes of directories that they
    /// have something in and do not list, and hard links to files of layers below.
    pub async fn corrections(
        &self,
        shared: &Arc<Shared>,
        layers: &[Layer],
        tree: &Tree,
    ) -> Result<Vec<Change>, BuildError> {
        let mut paths = BTreeSet::new();
        for layer in layers {
            paths.extend(self.gaps(shared, layer).await?.iter().cloned());
        }
        let node = |path: PathBuf| {
            let node = tree.get(&path)?.clone();
            Some(Change {
                path,
                what: What::Node(node),
            })
        };
        Ok(with_parents(paths).into_iter().filter_map(node).collect())
    }

    /// The paths at which a layer that is unpacked by itself is not what it is on top of others.
    async fn gaps(&self, shared: &Arc<Shared>, layer: &Layer) -> Result<Arc<[PathBuf]>, BuildError> {
        let find = || async {
            let key = name(b"rbuild gaps 1", &layer.diff_id);
            let store = self.store.clone();
            let known = shared
                .blocking(move || Ok(store.get(Cache::Contexts, &key)))
                .await?;
            if let Some(paths) = known.as_deref().and_then(paths) {
                return Ok(paths.into());
            }
            let index = self.index(shared, layer).await?;
            let links = index.foreign_links().into_iter().map(|(name, _)| name);
            let paths: Vec<PathBuf> = index.implied_directories().into_iter().chain(links).collect();
            if index.changes.len() >= MANY {
                let (store, bytes) = (self.store.clone(), bytes(&paths));
                shared
                    .blocking(move || Ok(store.put(Cache::Contexts, &key, &bytes)?))
                    .await?;
            }
            Ok(paths.into())
        };
        self.gaps.get(layer.diff_id, find).await
    }
}

/// Names of what the first one, two, three and so on of these layers come to.
fn names(layers: &[Layer]) -> Vec<Digest> {
    let next = |below: &mut Digest, layer: &Layer| {
        *below = name(below.as_bytes(), &layer.diff_id);
        Some(*below)
    };
    layers.iter().scan(Digest::of("rbuild tree 1"), next).collect()
}

fn name(what: &[u8], layer: &Digest) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(what);
    hasher.update(layer.as_bytes());
    hasher.finish()
}

/// The tree of as many layers as there is one of.
fn saved(store: &Store, names: &[Digest]) -> Option<Applied> {
    names.iter().enumerate().rev().find_map(|(number, name)| {
        let (file, start) = store.open_live(Cache::Contexts, name)?;
        let tree = Tree::open(file, start)?;
        let layers = number + 1;
        Some(Applied { tree, layers })
    })
}

fn save(store: &Store, name: &Digest, tree: &Tree) -> Result<(), BuildError> {
    if let Ok(bytes) = tree.save() {
        store.put_live(Cache::Contexts, name, &bytes)?;
    }
    Ok(())
}

fn bytes(paths: &[PathBuf]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for path in paths {
        put_bytes(&mut bytes, path.as_os_str().as_bytes());
    }
    bytes
}

fn paths(bytes: &[u8]) -> Option<Vec<PathBuf>> {
    let mut bytes = Bytes(bytes);
    let mut paths = Vec::new();
    while !bytes.0.is_empty() {
        let path: &OsStr = bytes.text()?;
        paths.push(Path::new(path).to_owned());
    }
    Some(paths)
}
