//! Layers as the build uses them: fetched, indexed, unpacked, made.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io::{self, BufRead, Read},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use super::{
    error::{BuildError, Problem},
    once::Once,
    packing::{self, Fresh, Packings},
    passing::{Landings, Turns},
    place::with_parents,
    solver::Shared,
    spool::{Reader, Writer},
    stage::Made,
    tarball::Tarball,
    trees::{Applied, Oddities},
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

/// Layers that are read at the same time.
const SIDE_BY_SIDE: usize = 4;

/// Where blobs come from that are not in the store yet.
#[derive(Clone)]
pub(super) enum Origin {
    Registry(Reference),
    Blobs(Arc<dyn Blobs>),
}

/// What is known of layers, and each piece of work on one done once.
pub(super) struct Layers {
    pub(super) store: Store,
    pub(super) registry: Registry,
    pub(super) sink: Sink,
    known: Mutex<Known>,
    pub(super) turns: Turns,
    pub(super) landings: Landings,
    pub(super) packings: Packings,
    pub(super) indexed: Once<Digest, Arc<LayerIndex>>,
    /// By blob and diff ID.
    verified: Once<(Digest, Digest), Arc<LayerIndex>>,
    pub(super) unpacked: Once<(String, Digest), PathBuf>,
    /// For those that are being unpacked: each has its threads, and some 15 MB of buffers.
    pub(super) unpacking: Semaphore,
    pub(super) oddities: Once<Digest, Arc<Oddities>>,
    /// Trees of bases, by the names of their layers.
    pub(super) bases: Once<Digest, Applied>,
    /// Small files that were read, by digest.
    pub(super) small: Once<Digest, Arc<[u8]>>,
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
            turns: Turns::default(),
            landings: Landings::default(),
            packings: Packings::default(),
            indexed: Once::default(),
            verified: Once::default(),
            unpacked: Once::default(),
            unpacking: Semaphore::new(SIDE_BY_SIDE),
            oddities: Once::default(),
            bases: Once::default(),
            small: Once::default(),
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

    /// Remembers a layer that can be had somewhere else; true if it was not known where.
    pub fn know_elsewhere(&self, layer: &Layer, origin: Origin) -> bool {
        use std::collections::hash_map::Entry;
        let mut known = self.known();
        known.blobs.insert(layer.diff_id, layer.descriptor.clone());
        match known.origins.entry(layer.descriptor.digest) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(origin);
                true
            }
        }
    }

    /// The registry that a blob came from, so that a push can ask for a mount.
    pub fn origin(&self, blob: &Digest) -> Option<Origin> {
        self.known().origins.get(blob).cloned()
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
                self.read_through(shared, layer).await
            })
            .await
    }

    /// Reads a layer's blob to its end, wherever it is.
    async fn read_through(&self, shared: &Arc<Shared>, layer: &Layer) -> Result<Arc<LayerIndex>, BuildError> {
        let layer = &self.packed(layer).await?;
        let blob = layer.descriptor.digest;
        let turn = self.turns.wait(&blob).await;
        let passing = self.passing(shared, layer).await?;
        let passed = shared.blocking(move || passing.pass(None)).await;
        let passed = passed.inspect_err(|error| shared.caches.blame(shared, &blob, error.problem()));
        let (index, landing) = passed?;
        if let Some(landing) = landing {
            self.landings.begin(shared, landing, turn);
        }
        Ok(Arc::new(index))
    }

    /// Checks a layer that only a cache vouches for: its blob, and that it is the layer that the cache says.
    pub async fn verify(&self, shared: &Arc<Shared>, layer: &Layer) -> Result<Arc<LayerIndex>, BuildError> {
        let key = (layer.descriptor.digest, layer.diff_id);
        self.verified.get(key, || self.read_through(shared, layer)).await
    }

    /// Whether a layer was checked.
    pub fn is_verified(&self, layer: &Layer) -> bool {
        self.verified.is_done(&(layer.descriptor.digest, layer.diff_id))
    }

    /// Checks those of these layers that only a cache vouches for.
    pub async fn verify_restored(&self, shared: &Arc<Shared>, layers: &[Layer]) -> Result<(), BuildError> {
        let mut each = Vec::new();
        for layer in layers {
            if shared.caches.is_restored(&layer.descriptor.digest) {
                each.push(self.verify(shared, layer));
            }
        }
        stream::iter(each)
            .buffer_unordered(SIDE_BY_SIDE)
            .try_for_each(|_| std::future::ready(Ok(())))
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
            if let Some(tar) = self.packings.tar(&diff_id) {
                tars.insert(diff_id, Tar::Made(tar));
                continue;
            }
            self.packings.layer(&diff_id).await?;
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
    pub async fn make(&self, shared: &Arc<Shared>, mut changes: Vec<Change>) -> Result<Fresh, BuildError> {
        clamp_times(&mut changes, shared.latest_time());
        let build = shared.clone();
        self.with_contents(shared, changes, move |changes, contents| {
            write_fresh(&build, changes, contents)
        })
        .await
    }
}

/// Where the plain tar of a layer can be read.
enum Tar {
    Plain(Arc<Tarball>),
    /// Of a layer that was just made.
    Made(Reader),
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
        Some(Tar::Made(tar)) => Ok(Box::new(tar.again())),
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
    through_queue(changes, contents, |tar| ingest(store, compression, tar))
}

fn write_fresh(
    shared: &Arc<Shared>,
    changes: &[Change],
    contents: &dyn layer::Contents,
) -> Result<Fresh, BuildError> {
    // In this thread, which knows the runtime.
    let (spool, packing) = packing::begin(shared)?;
    let index = through_queue(changes, contents, |tar| index_into(&shared.store, tar, spool))?;
    Ok(Fresh { index, packing })
}

/// Gives the tar of these changes to `eat`, which is called in another thread.
fn through_queue<T: Send>(
    changes: &[Change],
    contents: &dyn layer::Contents,
    eat: impl FnOnce(layer::Reader) -> Result<T, BuildError> + Send,
) -> Result<T, BuildError> {
    let (writer, reader) = layer::queue();
    std::thread::scope(|scope| {
        let eater = scope.spawn(|| eat(reader));
        let written = layer::write_tar(changes, contents, writer);
        let eaten = eater
            .join()
            .map_err(|_| Problem::Thread("while making a layer".to_owned()))?;
        match written {
            // Nobody reads any more: the reason is there.
            Err(layer::Error::Write(_)) if eaten.is_err() => eaten,
            written => written.map_err(BuildError::from).and(eaten),
        }
    })
}

/// A plain tar to its index, and on to what makes a blob of it.
pub(super) fn index_into(
    store: &Store,
    tar: impl BufRead,
    mut spool: Writer,
) -> Result<LayerIndex, BuildError> {
    let index = layer::index_buffered(tar, Some(&mut spool))?;
    spool.finish();
    save_index(store, &index)?;
    Ok(index)
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

pub(super) fn save_index(store: &Store, index: &LayerIndex) -> Result<(), BuildError> {
    let mut bytes = Vec::new();
    index
        .save(&mut bytes)
        .map_err(Problem::io("write", "the index of a layer"))?;
    Ok(store.put_tree(&index.diff_id, &bytes)?)
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
