//! Registries and directories as caches.

use std::{
    collections::HashMap,
    future::Future,
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::OnceCell;

use super::{
    CachePlace,
    entry::{EMPTY, Entry},
};
use crate::{
    Digest, Reference,
    build::{layers::Origin, solver::Shared},
    image::{Blobs, Descriptor, Layer, MediaType, REF_NAME, read_small},
    in_words,
    registry::{self, Cause},
    store::{Layout, put_entry},
};

/// A cache does not get longer than this to answer a question.
const PATIENCE: Duration = Duration::from_secs(30);
/// A tag has at most 128 characters, and a key 64.
const LONGEST_PREFIX: usize = 63;

/// Why there is no answer.
pub(super) enum Trouble {
    /// There is one, and it is not valid.
    Entry(String),
    /// The place does not work.
    Place(String),
}

/// A cache, as long as it works.
pub(super) struct Shelf {
    place: CachePlace,
    off: AtomicBool,
    /// What a directory has, by key.
    listed: OnceCell<HashMap<String, Descriptor>>,
    /// What a directory will have.
    news: Mutex<Vec<Descriptor>>,
    /// The config that all entries share is there.
    config: OnceCell<()>,
}

impl Shelf {
    pub fn new(place: CachePlace) -> Self {
        Self {
            place,
            off: AtomicBool::new(false),
            listed: OnceCell::new(),
            news: Mutex::default(),
            config: OnceCell::new(),
        }
    }

    pub fn place(&self) -> &CachePlace {
        &self.place
    }

    pub fn is_on(&self) -> bool {
        !self.off.load(Ordering::Relaxed)
    }

    /// Does without it from now on; true for the first who says so.
    pub fn turn_off(&self) -> bool {
        !self.off.swap(true, Ordering::Relaxed)
    }

    /// Where its layers are.
    pub fn origin(&self) -> Origin {
        match &self.place {
            CachePlace::Registry(reference) => Origin::Registry(reference.without_selector()),
            CachePlace::Local(path) => Origin::Blobs(Arc::new(LazyLayout(path.clone()))),
        }
    }

    /// The manifest under a key.
    pub async fn get(&self, shared: &Arc<Shared>, key: &Digest) -> Result<Option<Vec<u8>>, Trouble> {
        match &self.place {
            CachePlace::Registry(reference) => {
                let at = tag(reference, key).map_err(Trouble::Place)?;
                match in_time(shared.registry.manifest(&at)).await? {
                    Ok(found) => Ok(Some(found.bytes.to_vec())),
                    Err(error) if error.is_not_found() => Ok(None),
                    Err(error) => Err(trouble(&error)),
                }
            }
            CachePlace::Local(path) => {
                let listed = self.listed.get_or_try_init(|| list(shared, path)).await?;
                let Some(descriptor) = listed.get(&key.hex()).cloned() else {
                    return Ok(None);
                };
                let path = path.clone();
                let read = shared.blocking(move || {
                    Ok(read_small(&LazyLayout(path), &descriptor).map_err(crate::image::Error::from)?)
                });
                let read = read.await.map_err(|error| Trouble::Entry(in_words(&error)));
                read.map(Some)
            }
        }
    }

    /// Puts an entry under a key.
    pub async fn put(&self, shared: &Arc<Shared>, key: &Digest, entry: &Entry) -> Result<(), String> {
        let bytes = entry.to_bytes(key).map_err(|error| error.to_string())?;
        match &self.place {
            CachePlace::Registry(reference) => self.push(shared, reference, key, entry, bytes).await,
            CachePlace::Local(path) => {
                if let Some(layer) = &entry.layer {
                    fetch(shared, layer).await?;
                }
                let (layer, path) = (entry.layer.clone(), path.clone());
                let store = shared.store.clone();
                let write = shared.blocking(move || Ok(write(&path, &store, layer.as_ref(), &bytes)?));
                let mut descriptor = write.await.map_err(|error| in_words(&error))?;
                descriptor.annotations.insert(REF_NAME.to_owned(), key.hex());
                self.news().push(descriptor);
                Ok(())
            }
        }
    }

    async fn push(
        &self,
        shared: &Arc<Shared>,
        reference: &Reference,
        key: &Digest,
        entry: &Entry,
        bytes: Vec<u8>,
    ) -> Result<(), String> {
        let at = tag(reference, key)?;
        let there = in_time(shared.registry.digest(&at)).await;
        match there.map_err(|trouble| trouble.into_words())? {
            Ok(Some(digest)) if digest == Digest::of(&bytes) => return Ok(()),
            Ok(_) => {}
            // What is there makes no sense: it is replaced.
            Err(error) => match trouble(&error) {
                Trouble::Entry(_) => {}
                Trouble::Place(why) => return Err(why),
            },
        }
        if let Some(layer) = &entry.layer {
            push_layer(shared, &at, layer).await?;
        }
        let sink = crate::event::ignore();
        let open = || Ok(Box::new(EMPTY) as Box<dyn io::Read + Send>);
        let config = Entry::config();
        let push_config = || async {
            shared
                .registry
                .push_blob(&at, &config, None, &open, &sink)
                .await?;
            Ok::<_, registry::Error>(())
        };
        self.config
            .get_or_try_init(push_config)
            .await
            .map_err(|error| error.to_string())?;
        let pushed = shared
            .registry
            .push_manifest(&at, &MediaType::ImageManifest, bytes.into());
        pushed.await.map(drop).map_err(|error| error.to_string())
    }

    fn news(&self) -> std::sync::MutexGuard<'_, Vec<Descriptor>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists what was put into a directory.
    pub fn finish(&self) -> Result<(), String> {
        let (CachePlace::Local(path), news) = (&self.place, std::mem::take(&mut *self.news())) else {
            return Ok(());
        };
        if news.is_empty() {
            return Ok(());
        }
        let edited = Layout::open(path).and_then(|layout| {
            layout.edit(|index| {
                for entry in news {
                    put_entry(&mut index.manifests, entry);
                }
            })
        });
        edited.map_err(|error| error.to_string())
    }
}

/// A layout that is opened when something is asked of it.
struct LazyLayout(std::path::PathBuf);

impl LazyLayout {
    fn open(&self, blob: &Descriptor) -> Result<Layout, crate::image::BlobError> {
        Layout::open(&self.0).map_err(|error| crate::image::BlobError::Place {
            digest: blob.digest,
            place: self.0.display().to_string(),
            source: error.into(),
        })
    }
}

impl Blobs for LazyLayout {
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn io::Read + Send>, crate::image::BlobError> {
        Blobs::open(&Self::open(self, blob)?, blob)
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, crate::image::BlobError> {
        Blobs::has(&Self::open(self, blob)?, blob)
    }
}

/// Where the entry of a key is.
fn tag(reference: &Reference, key: &Digest) -> Result<Reference, String> {
    let prefix = reference.tag().unwrap_or("rbuild");
    let prefix = &prefix[..prefix.len().min(LONGEST_PREFIX)];
    let tag = format!("{prefix}-{}", key.hex());
    reference.with_tag(&tag).map_err(|error| error.to_string())
}

async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, Trouble> {
    let late = || format!("it did not answer within {} s", PATIENCE.as_secs());
    tokio::time::timeout(PATIENCE, answer)
        .await
        .map_err(|_| Trouble::Place(late()))
}

/// Whether what a registry has under a tag makes no sense, or the registry.
fn trouble(error: &registry::Error) -> Trouble {
    match error.cause() {
        Cause::WrongDigest { .. } | Cause::Protocol(_) | Cause::Unsupported(_) | Cause::Image(_) => {
            Trouble::Entry(error.to_string())
        }
        _ => Trouble::Place(error.to_string()),
    }
}

impl Trouble {
    fn into_words(self) -> String {
        match self {
            Self::Entry(why) | Self::Place(why) => why,
        }
    }
}

/// All that a directory has.
async fn list(shared: &Arc<Shared>, path: &Path) -> Result<HashMap<String, Descriptor>, Trouble> {
    let path = path.to_owned();
    let read = shared.blocking(move || Ok(Layout::open(path)?.index()?.manifests));
    let entries = read.await.map_err(|error| Trouble::Place(in_words(&error)))?;
    let named = |entry: Descriptor| Some((entry.ref_name()?.to_owned(), entry));
    Ok(entries.into_iter().filter_map(named).collect())
}

/// Puts a layer of the store and a manifest into a directory.
fn write(
    path: &Path,
    store: &dyn Blobs,
    layer: Option<&Layer>,
    manifest: &[u8],
) -> Result<Descriptor, crate::store::Error> {
    let layout = Layout::create(path)?;
    if let Some(layer) = layer {
        layout.fetch(store, &layer.descriptor, || layout.new_blob())?;
    }
    let descriptor = Descriptor::of(MediaType::ImageManifest, manifest);
    for (blob, bytes) in [(&descriptor, manifest), (&Entry::config(), EMPTY)] {
        if !layout.holds(&blob.digest, blob.size) {
            let mut incoming = layout.new_blob()?;
            incoming.write_bytes(bytes)?;
            incoming.commit(&blob.digest)?;
        }
    }
    Ok(descriptor)
}

/// Puts a layer into a repository.
async fn push_layer(shared: &Arc<Shared>, at: &Reference, layer: &Layer) -> Result<(), String> {
    let blob = &layer.descriptor;
    if shared
        .registry
        .has_blob(at, blob.digest)
        .await
        .map_err(in_short)?
    {
        return Ok(());
    }
    fetch(shared, layer).await?;
    let (store, wanted) = (shared.store.clone(), blob.clone());
    let open = move || Blobs::open(&store, &wanted).map_err(io::Error::other);
    let sink = &shared.options.sink;
    let pushed = shared.registry.push_blob(at, blob, None, &open, sink);
    pushed.await.map_err(in_short)?;
    // An image of the same registry can take it from there.
    shared
        .layers
        .know_elsewhere(layer, Origin::Registry(at.without_selector()));
    Ok(())
}

fn in_short(error: registry::Error) -> String {
    error.to_string()
}

async fn fetch(shared: &Arc<Shared>, layer: &Layer) -> Result<(), String> {
    let fetched = shared.layers.fetch(shared, &layer.descriptor).await;
    fetched.map_err(|error| in_words(&error))
}
