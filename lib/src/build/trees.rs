//! Trees of layers that lie over one another. Those of large bases are kept on disk, where only what somebody looks at is
//! read: so what a step costs does not depend on the size of what is below it.

use std::{
    collections::BTreeSet,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{error::BuildError, layers::Layers, place::with_parents, solver::Shared};
use crate::{
    Digest, Hasher,
    image::Layer,
    layer::LayerIndex,
    store::{Cache, Store},
    tree::{
        Change, Tree, What,
        codec::{Bytes, put_bytes},
    },
};

/// Changes that take longer to apply than what they come to takes to be found on disk.
const MANY: usize = 1000;

/// What is to be known of a layer apart from its index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Oddities {
    /// The paths at which the layer, unpacked by itself, is not what it is on top of others.
    pub gaps: Vec<PathBuf>,
    /// It has device nodes that a run would see: in other places than `/dev`, which is not the image's.
    pub devices: bool,
}

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
        let below = layers.len().min(base);
        if let Some(name) = names[..below].last().filter(|_| applied.layers < below) {
            // All stages that begin with it come here at the same time.
            let apply = || self.apply_all(shared, applied.clone(), &layers[..below], &names[..below]);
            *applied = self.bases.get(*name, apply).await?;
        }
        if applied.layers < layers.len() {
            *applied = self.apply_all(shared, applied.clone(), layers, &names).await?;
        }
        Ok(())
    }

    /// Applies the rest of these layers, which have these names, and keeps what they come to if that was much work.
    async fn apply_all(
        &self,
        shared: &Arc<Shared>,
        mut applied: Applied,
        layers: &[Layer],
        names: &[Digest],
    ) -> Result<Applied, BuildError> {
        let mut indexes = Vec::new();
        for layer in &layers[applied.layers..] {
            indexes.push(self.index(shared, layer).await?);
        }
        let changes: usize = indexes.iter().map(|index| index.changes.len()).sum();
        let apply = move || {
            for index in indexes {
                applied.tree.apply(&index.changes)?;
                applied.layers += 1;
            }
            Ok(applied)
        };
        let applied = match changes >= MANY {
            true => shared.blocking(apply).await?,
            false => apply()?,
        };
        if let Some(name) = names.last().copied().filter(|_| changes >= MANY) {
            let (store, tree) = (self.store.clone(), applied.tree.clone());
            // It is made again when it is missing.
            shared.threads.start(move || _ = save(&store, &name, &tree));
        }
        Ok(applied)
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
            paths.extend(self.oddities(shared, layer).await?.gaps.iter().cloned());
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

    /// What is odd about a layer.
    pub async fn oddities(&self, shared: &Arc<Shared>, layer: &Layer) -> Result<Arc<Oddities>, BuildError> {
        let find = || async {
            let key = name(b"rbuild oddities 1", &layer.diff_id);
            let store = self.store.clone();
            let known = shared
                .blocking(move || Ok(store.get(Cache::Contexts, &key)))
                .await?;
            if let Some(known) = known.as_deref().and_then(Oddities::from_bytes) {
                return Ok(Arc::new(known));
            }
            let index = self.index(shared, layer).await?;
            let store = self.store.clone();
            let look = move || {
                let found = Oddities::of(&index);
                if index.changes.len() >= MANY {
                    store.put(Cache::Contexts, &key, &found.to_bytes())?;
                }
                Ok(Arc::new(found))
            };
            shared.blocking(look).await
        };
        self.oddities.get(layer.diff_id, find).await
    }
}

impl Oddities {
    fn of(index: &LayerIndex) -> Self {
        let links = index.foreign_links().into_iter().map(|(name, _)| name);
        let is_device = |change: &Change| match &change.what {
            What::Node(node) => node.is_device() && !change.path.starts_with("dev"),
            _ => false,
        };
        Self {
            gaps: index.implied_directories().into_iter().chain(links).collect(),
            devices: index.changes.iter().any(is_device),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.devices)];
        for path in &self.gaps {
            put_bytes(&mut bytes, path.as_os_str().as_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        let devices = bytes.byte()? != 0;
        let mut gaps = Vec::new();
        while !bytes.0.is_empty() {
            gaps.push(Path::new(bytes.text()?).to_owned());
        }
        Some(Self { gaps, devices })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Kind, Metadata, Node};

    fn change(path: &str, kind: Kind) -> Change {
        let metadata = Metadata::default();
        Change {
            path: path.into(),
            what: What::Node(Node { metadata, kind }),
        }
    }

    #[test]
    fn what_is_odd_is_remembered_as_it_is() {
        let device = || Kind::CharDevice { major: 1, minor: 3 };
        for (changes, gaps, devices) in [
            (vec![], vec![], false),
            (
                vec![change("d", Kind::Directory), change("d/f", Kind::Fifo)],
                vec![],
                false,
            ),
            (
                vec![change("dev", Kind::Directory), change("dev/null", device())],
                vec![],
                false,
            ),
            (vec![change("a/b/null", device())], vec!["a", "a/b"], true),
            (
                vec![Change {
                    path: "link".into(),
                    what: What::HardLink("below".into()),
                }],
                vec!["link"],
                false,
            ),
        ] {
            let index = LayerIndex {
                diff_id: Digest::of(""),
                size: 0,
                changes,
            };
            let found = Oddities::of(&index);
            let gaps = gaps.into_iter().map(PathBuf::from).collect();
            assert_eq!(found, Oddities { gaps, devices });
            assert_eq!(Oddities::from_bytes(&found.to_bytes()), Some(found));
        }
        assert_eq!(Oddities::from_bytes(b""), None);
        assert_eq!(Oddities::from_bytes(b"\x01\x09short"), None);
    }
}
