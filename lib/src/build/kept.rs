//! The root that a RUN leaves, if the next one can go on in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{run::Root, stage::Stage};
use crate::{Digest, exec::Engine};

/// A place for one root. Clones share it; the first one takes it.
#[derive(Clone, Default)]
pub(super) struct KeptRoot(Arc<Mutex<Option<Kept>>>);

struct Kept {
    /// What is in it.
    layers: Vec<Digest>,
    root: Root,
}

impl KeptRoot {
    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    /// The root that the last RUN has left, if that is one of this engine's and no layer came after it.
    pub fn take_root(&self, engine: &Engine) -> Option<Root> {
        let layers = self.image.layers().iter().map(|layer| layer.diff_id);
        let kept = self
            .kept
            .lock()
            .take_if(|kept| kept.root.is_of(engine) && kept.layers.iter().copied().eq(layers));
        self.drop_root();
        kept.map(|kept| kept.root)
    }

    /// Keeps a root for the next RUN, with the layer that was made in it.
    pub fn keep_root(&self, root: Option<Root>, layer: Digest) {
        let below = self.image.layers().iter().map(|layer| layer.diff_id);
        *self.kept.lock() = root.map(|root| Kept {
            layers: below.chain([layer]).collect(),
            root,
        });
    }

    /// Gives up the root that was kept, which takes its time. The build is not over before that is done.
    pub fn drop_root(&self) {
        if let Some(root) = self.kept.lock().take() {
            self.shared.threads.start(move || drop(root));
        }
    }
}
