//! Layers that go to a registry while the next steps work.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::{Build, solver::Shared};
use crate::{
    Reference,
    image::{Blobs, Layer},
    registry,
};

/// Layers that move at the same time.
const SIDE_BY_SIDE: usize = 2;

/// Takes layers that may go.
pub(super) struct Early(Mutex<Option<mpsc::UnboundedSender<Layer>>>);

/// Layers on their way to these repositories.
pub(super) struct Departures {
    to: Vec<Reference>,
    layers: mpsc::UnboundedReceiver<Layer>,
}

impl Early {
    /// Where the options say that layers go.
    pub fn new(options: &Build) -> (Self, Departures) {
        let (sender, layers) = mpsc::unbounded_channel();
        // Where all layers become one, none of them is in the image.
        let sender = Some(sender).filter(|_| !options.early.is_empty() && !options.one_layer);
        let to = options.early.clone();
        (Self(Mutex::new(sender)), Departures { to, layers })
    }

    /// A layer of the image is in the store.
    pub fn push(&self, layer: &Layer) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*sender {
            // Nobody receives it when the build is about to end.
            let _ = sender.send(layer.clone());
        }
    }

    /// There will be no more.
    pub fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Departures {
    /// Pushes what comes until no more will come. What fails is left to the push of the image, which says why.
    pub async fn run(mut self, shared: &Shared) {
        let places: Vec<(&Reference, AtomicBool)> =
            self.to.iter().map(|to| (to, AtomicBool::new(true))).collect();
        let places = &places;
        let layers = stream::poll_fn(|context| self.layers.poll_recv(context));
        let push = |layer: Layer| async move {
            for (to, works) in places {
                if works.load(Ordering::Relaxed) && push(shared, to, &layer).await.is_err() {
                    works.store(false, Ordering::Relaxed);
                }
            }
        };
        layers.for_each_concurrent(SIDE_BY_SIDE, push).await;
    }
}

async fn push(shared: &Shared, to: &Reference, layer: &Layer) -> Result<(), registry::Error> {
    let (store, blob) = (shared.store.clone(), layer.descriptor.clone());
    let open = move || Blobs::open(&store, &blob).map_err(io::Error::other);
    let (registry, sink) = (&shared.registry, &shared.options.sink);
    registry
        .push_blob(to, &layer.descriptor, None, &open, sink)
        .await?;
    Ok(())
}
