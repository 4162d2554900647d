//! An image of the store, some of whose layers may have stayed in a registry: a build does not fetch layers of its base
//! that no step looks into.

use std::{collections::HashMap, io::Read};

use super::Error;
use crate::{
    Digest, Reference,
    archive::closure,
    build,
    image::{BASE_NAME, BlobError, Blobs, Descriptor, Manifest, MediaTypeExt, read_small},
    registry::{Registry, Repository},
    store::{Hold, Store},
};

/// The store's blobs, and in their stead those of the registries that they came from.
pub(super) struct Origins {
    store: Store,
    known: HashMap<Digest, Reference>,
    repositories: HashMap<Reference, Repository>,
    _hold: Hold,
}

impl Origins {
    /// Looks up where the layers of an image came from: by the annotations of its manifests; and where that does not
    /// do, by what builds remember of their bases.
    pub(super) fn of(store: Store, image: &Descriptor) -> Result<Self, Error> {
        let mut known = HashMap::new();
        let hold = store.hold()?;
        let blobs = closure(&store, image)?;
        for manifest in blobs.iter().filter(|blob| blob.media_type.is_manifest()) {
            let manifest = Manifest::parse(&read_small(&store, manifest)?)?;
            let base = manifest.annotations.get(BASE_NAME);
            if let Some(base) = base.and_then(|name| name.parse::<Reference>().ok()) {
                known.extend(manifest.layers.iter().map(|layer| (layer.digest, base.clone())));
            }
        }
        for blob in &blobs {
            if !store.has(blob)? {
                known.extend(pulled_layers(&store)?);
                break;
            }
        }
        Ok(Self {
            store,
            known,
            repositories: HashMap::new(),
            _hold: hold,
        })
    }

    /// Makes the registries' repositories ready to be read. To be called in a runtime.
    pub(super) fn reachable_through(mut self, registry: &Registry) -> Self {
        let references = self.known.values();
        self.repositories = references
            .map(|reference| (reference.without_selector(), registry.repository(reference)))
            .collect();
        self
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Where a blob came from.
    pub(super) fn origin(&self, blob: &Descriptor) -> Option<&Reference> {
        self.known.get(&blob.digest)
    }

    fn repository(&self, blob: &Descriptor) -> Option<&Repository> {
        self.repositories.get(&self.origin(blob)?.without_selector())
    }
}

/// The layers of all bases that builds with this store had.
fn pulled_layers(store: &Store) -> Result<HashMap<Digest, Reference>, Error> {
    let mut layers = HashMap::new();
    for (reference, manifest) in build::pulled(store)? {
        // One that was pruned says nothing.
        let manifest = read_small(store, &manifest)
            .ok()
            .and_then(|bytes| Manifest::parse(&bytes).ok());
        for layer in manifest.into_iter().flat_map(|manifest| manifest.layers) {
            layers.insert(layer.digest, reference.clone());
        }
    }
    Ok(layers)
}

impl Blobs for Origins {
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        match (Blobs::open(&self.store, blob), self.repository(blob)) {
            (Err(BlobError::Missing { .. }), Some(repository)) => repository.open(blob),
            (opened, _) => opened,
        }
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, BlobError> {
        match self.repository(blob) {
            Some(repository) if !self.store.has(blob)? => repository.has(blob),
            _ => self.store.has(blob),
        }
    }
}
