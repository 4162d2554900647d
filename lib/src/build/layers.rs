//! Layers as the build uses them: fetched, indexed, unpacked, made.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    error::{BuildError, Problem},
    once::Once,
    place::with_parents,
    solver::Shared,
    stage::Made,
    tarball::Tarball,
};
use crate::{
    Digest,
    event::Sink,
    image::{Blobs, Descriptor, Layer},
    layer::{self, Compression, LayerIndex, Sources},
    registry::{Reference, Registry},
    store::Store,
    tree::{Change, Tree, What},
};

/// Where blobs come from that are not in the store yet.
#[derive(Clone)]
pub(super) enum Origin {
    Registry(Reference),
    Blobs(Arc<dyn Blobs>),
}

/// What is known of layers, and each piece of work on one done once.
pub(super) struct Layers {
    pub(super) store: Store,
    registry: Registry,
    sink: Sink,
    known: Mutex<Known>,
    fetched: Once<Digest, ()>,
    indexed: Once<Digest, Arc<LayerIndex>>,
    pub(super) unpacked: Once<Digest, PathBuf>,
}

#[derive(Default)]
struct Known {
    /// Where to get a blob.
    origins: HashMap<Digest, Origin>,
    /// The blob of a layer, by its diff ID.
    blobs: HashMap<Digest, Descriptor>,
}

impl Layers {
    pub fn new(store: Store, registry: Registry, sink: Sink) -> Self {
        Self {
            store,
            registry,
            sink,
            known: Mutex::default(),
            fetched: Once::default(),
            indexed: Once::default(),
            unpacked: Once::default(),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a layer's blob.
    pub fn know(&self, layer: &Layer) {
        self.known().blobs.insert(layer.diff_id, layer.descriptor.clone());
    }

    /// Remembers the layers of an image, and where they can be had.
    pub fn know_image(&self, layers: &[Layer], origin: &Origin) {
        let mut known = self.known();
        for layer in layers {
            known.blobs.insert(layer.diff_id, layer.descriptor.clone());
            known.origins.insert(layer.descriptor.digest, origin.clone());
        }
    }

    /// The registry that a blob came from, so that a push can ask for a mount.
    pub fn origin(&self, blob: &Digest) -> Option<Origin> {
        self.known().origins.get(blob).cloned()
    }

    /// Sees to it that a blob is in the store.
    pub async fn fetch(&self, shared: &Arc<Shared>, blob: &Descriptor) -> Result<(), BuildError> {
        self.fetched
            .get(blob.digest, || async {
                if self.store.has(blob).map_err(crate::image::Error::from)? {
                    return Ok(());
                }
                match self.origin(&blob.digest) {
                    Some(Origin::Registry(reference)) => {
                        let mut incoming = self.store.new_blob()?;
                        self.registry
                            .pull_blob(&reference, blob, &mut incoming, &self.sink)
                            .await?;
                        let digest = blob.digest;
                        shared.blocking(move || Ok(incoming.commit(&digest)?)).await?;
                    }
                    Some(Origin::Blobs(blobs)) => {
                        let (store, blob) = (self.store.clone(), blob.clone());
                        shared.blocking(move || Ok(store.fetch(&*blobs, &blob)?)).await?;
                    }
                    None => {
                        let message =
                            format!("the store has lost blob {}; build with --no-cache", blob.digest);
                        return Err(Problem::Value(message).into());
                    }
                }
                Ok(())
            })
            .await
    }

    /// What a layer holds.
    pub async fn index(&self, shared: &Arc<Shared>, layer: &Layer) -> Result<Arc<LayerIndex>, BuildError> {
        self.indexed
            .get(layer.diff_id, || async {
                let (store, diff_id) = (self.store.clone(), layer.diff_id);
                let known = shared.blocking(move || Ok(load_index(&store, &diff_id))).await?;
                if let Some(index) = known {
                    return Ok(Arc::new(index));
                }
                self.fetch(shared, &layer.descriptor).await?;
                let (store, layer) = (self.store.clone(), layer.clone());
                shared
                    .blocking(move || Ok(Arc::new(index_blob(&store, &layer, None)?)))
                    .await
            })
            .await
    }

    /// Runs `work` with the contents of `changes` at hand, in another thread. Blobs that hold them are fetched first.
    pub async fn with_contents<T: Send + 'static>(
        &self,
        shared: &Arc<Shared>,
        changes: Vec<Change>,
        work: impl FnOnce(&[Change], &dyn layer::Contents) -> Result<T, BuildError> + Send + 'static,
    ) -> Result<T, BuildError> {
        let mut tars: HashMap<Digest, Tar> = HashMap::new();
        for diff_id in needed(&changes) {
            let blob = self.known().blobs.get(&diff_id).cloned();
            if let Some(tar) = shared.sources.tarball(&diff_id) {
                tars.insert(diff_id, Tar::Plain(tar));
            } else if let Some(blob) = blob {
                self.fetch(shared, &blob).await?;
                tars.insert(diff_id, Tar::Blob(Box::new(blob)));
            }
        }
        let store = self.store.clone();
        shared
            .blocking(move || {
                let open = |diff_id: &Digest| open_tar(&store, tars.get(diff_id), diff_id);
                let contents = Sources::new(&open, &changes);
                work(&changes, &contents)
            })
            .await
    }

    /// Makes a layer of these changes.
    pub async fn make(&self, shared: &Arc<Shared>, mut changes: Vec<Change>) -> Result<Made, BuildError> {
        clamp_times(&mut changes, shared.latest_time());
        let (store, compression) = (self.store.clone(), shared.options.compression);
        let made = self
            .with_contents(shared, changes, move |changes, contents| {
                write_layer(&store, compression, changes, contents)
            })
            .await?;
        self.know(&made.layer);
        Ok(made)
    }
}

/// Where the plain tar of a layer can be read.
enum Tar {
    Plain(Arc<Tarball>),
    Blob(Box<Descriptor>),
}

fn needed(changes: &[Change]) -> Vec<Digest> {
    let mut needed: Vec<Digest> = changes
        .iter()
        .filter_map(|change| match &change.what {
            What::Node(crate::tree::Node {
                kind: crate::tree::Kind::File(content),
                ..
            }) => match content.origin {
                crate::tree::Origin::Layer { diff_id, .. } => Some(diff_id),
                _ => None,
            },
            _ => None,
        })
        .collect();
    needed.sort_unstable();
    needed.dedup();
    needed
}

fn open_tar<'a>(
    store: &Store,
    tar: Option<&Tar>,
    diff_id: &Digest,
) -> Result<Box<dyn Read + Send + 'a>, layer::Error> {
    let failed = layer::Error::Read;
    match tar {
        Some(Tar::Plain(tar)) => Ok(Box::new(File::open(&tar.path).map_err(failed)?)),
        Some(Tar::Blob(blob)) => {
            let blob = Blobs::open(store, blob).map_err(|error| failed(io::Error::other(error)))?;
            layer::decompress(blob)
        }
        None => Err(layer::Error::NoSuchLayer(*diff_id)),
    }
}

/// Writes changes into the store as a layer.
pub(super) fn write_layer(
    store: &Store,
    compression: Compression,
    changes: &[Change],
    contents: &dyn layer::Contents,
) -> Result<Made, BuildError> {
    let (reader, writer) = io::pipe().map_err(Problem::io("create", "a pipe"))?;
    std::thread::scope(|scope| {
        let eater = scope.spawn(|| ingest(store, compression, reader));
        let written = layer::write_tar(changes, contents, writer);
        let made = eater
            .join()
            .map_err(|_| Problem::Thread("while compressing a layer".to_owned()))?;
        written?;
        made
    })
}

/// A plain tar into the store: indexed, compressed, digested in one pass.
pub(super) fn ingest(store: &Store, compression: Compression, tar: impl Read) -> Result<Made, BuildError> {
    let mut incoming = store.new_blob()?;
    let (index, packed) = layer::ingest(tar, &mut incoming, compression)?;
    incoming.commit(&packed.digest)?;
    save_index(store, &index)?;
    let descriptor = Descriptor::new(packed.media_type, packed.digest, packed.size);
    Ok(Made {
        layer: Layer {
            descriptor,
            diff_id: index.diff_id,
        },
        index,
    })
}

pub(super) fn load_index(store: &Store, diff_id: &Digest) -> Option<LayerIndex> {
    let bytes = store.get_tree(diff_id)?;
    // A damaged index is as good as none: it is made anew.
    LayerIndex::load(&bytes[..])
        .ok()
        .filter(|index| index.diff_id == *diff_id)
}

fn save_index(store: &Store, index: &LayerIndex) -> Result<(), BuildError> {
    let mut bytes = Vec::new();
    index
        .save(&mut bytes)
        .map_err(Problem::io("write", "the index of a layer"))?;
    Ok(store.put_tree(&index.diff_id, &bytes)?)
}

/// Reads a layer's blob to its end, checks its diff ID, and remembers its index.
pub(super) fn index_blob(
    store: &Store,
    layer: &Layer,
    tee: Option<&mut dyn Write>,
) -> Result<LayerIndex, BuildError> {
    let blob = Blobs::open(store, &layer.descriptor).map_err(crate::image::Error::from)?;
    let index = layer::index(layer::decompress(blob)?, tee)?;
    if index.diff_id != layer.diff_id {
        return Err(Problem::Value(format!(
            "layer {} unpacks to {}, but the image's config says {}",
            layer.descriptor.digest, index.diff_id, layer.diff_id
        ))
        .into());
    }
    save_index(store, &index)?;
    Ok(index)
}

/// No time later than this one.
pub(super) fn clamp_times(changes: &mut [Change], latest: Option<i64>) {
    let Some(latest) = latest else { return };
    for change in changes {
        if let What::Node(node) = &mut change.what {
            node.metadata.mtime = node.metadata.mtime.min(latest);
        }
    }
}

/// Adds the directories above changes that are not among them, as the tree has them: see [`with_parents`].
pub(super) fn complete(mut changes: Vec<Change>, tree: &Tree) -> Vec<Change> {
    let own: BTreeSet<PathBuf> = changes.iter().map(|change| change.path.clone()).collect();
    for path in with_parents(own.clone()).difference(&own) {
        if let Some(node) = tree.get(path) {
            changes.push(Change {
                path: path.clone(),
                what: What::Node(node.clone()),
            });
        }
    }
    // Changes of one path stay in their order.
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}
