//! Writing to caches, beside the build.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::{Entry, Target, warn};
use crate::{Digest, build::solver::Shared};

/// Results that are written at the same time.
const SIDE_BY_SIDE: usize = 4;

/// A result that is to be written.
pub(super) struct Job {
    pub target: Arc<Target>,
    pub key: Digest,
    pub entry: Entry,
}

/// Results that are to be written, as they come.
pub(in crate::build) struct Jobs {
    receiver: mpsc::UnboundedReceiver<Job>,
    targets: Vec<Arc<Target>>,
}

impl Jobs {
    pub(super) fn new(receiver: mpsc::UnboundedReceiver<Job>, targets: Vec<Arc<Target>>) -> Self {
        Self { receiver, targets }
    }

    /// Writes what comes until no more will come, and says what could not be written.
    pub async fn run(mut self, shared: &Arc<Shared>) {
        let jobs = stream::poll_fn(|context| self.receiver.poll_recv(context));
        jobs.for_each_concurrent(SIDE_BY_SIDE, |job| job.run(shared))
            .await;
        for target in self.targets {
            let of_thread = target.clone();
            let finished = shared.blocking(move || Ok(of_thread.shelf.finish())).await;
            match finished {
                Ok(Ok(())) => {}
                Ok(Err(why)) => target.give_up(shared, &why),
                Err(error) => target.give_up(shared, &error.to_string()),
            }
        }
    }
}

impl Job {
    async fn run(self, shared: &Arc<Shared>) {
        let shelf = &self.target.shelf;
        if shelf.is_on()
            && let Err(why) = shelf.put(shared, &self.key, &self.entry).await
        {
            self.target.give_up(shared, &why);
        }
    }
}

impl Target {
    /// Writes nothing more there.
    fn give_up(&self, shared: &Shared, why: &str) {
        if self.shelf.turn_off() {
            let place = self.shelf.place();
            warn(
                shared,
                format!("nothing more is written to the cache {place}: {why}"),
            );
        }
    }
}
