//! The Job's pod as it changes.

use std::{pin::pin, time::Duration};

use anyhow::{Context as _, Result};
use futures_util::TryStreamExt as _;
use kube::api::{WatchEvent, WatchParams};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{cluster::Cluster, views::Pod};

/// After how long the cluster ends a watch, in seconds, and after how long we do, if it forgets.
const WATCH: u32 = 240;
const FORGOTTEN: Duration = Duration::from_secs(300);

/// How long to wait before the cluster is asked again, and how often it may fail to answer in a row.
const PAUSE: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 60;

/// What is seen of the pod; none if there is none.
type Sight = Option<Box<Pod>>;

/// Watches until dropped.
pub struct Watcher {
    sights: mpsc::Receiver<Result<Sight>>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Watches the pod of a Job.
    pub fn start(cluster: Cluster, job: &str) -> Self {
        // One Job, one pod: what failed is not tried again.
        let selector = format!("job-name={job}");
        let (sender, sights) = mpsc::channel(16);
        let task = tokio::spawn(async move {
            if let Err(error) = watch(&cluster, &selector, &sender).await {
                // Nobody is there to hear it if this fails.
                let _ = sender.send(Err(error)).await;
            }
        });
        Self { sights, task }
    }

    /// The next change.
    ///
    /// # Errors
    /// When the cluster does not let us watch, or did not answer for long.
    pub async fn next(&mut self) -> Result<Sight> {
        let next = self.sights.recv().await;
        next.context("the pod is not watched any more")?
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(cluster: &Cluster, selector: &str, sender: &mpsc::Sender<Result<Sight>>) -> Result<()> {
    let mut failures = 0;
    loop {
        match look(cluster, selector, sender).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                let refused = matches!(&error, kube::Error::Api(status) if matches!(status.code, 401 | 403));
                if refused || failures == ATTEMPTS {
                    return Err(error).context("cannot see how the pod is");
                }
            }
        }
        sleep(PAUSE).await;
    }
}

/// What is there, and what becomes of it, until the cluster ends the watch.
async fn look(
    cluster: &Cluster,
    selector: &str,
    sender: &mpsc::Sender<Result<Sight>>,
) -> Result<(), kube::Error> {
    // Nobody is there to see it if sending fails, and then this task is about to be aborted.
    let show = async |sight: Sight| drop(sender.send(Ok(sight)).await);
    let list = cluster.pods(selector).await?;
    show(list.items.into_iter().next_back().map(Box::new)).await;
    let parameters = WatchParams::default().labels(selector).timeout(WATCH);
    let mut events = pin!(
        cluster
            .watch_pods(&parameters, &list.metadata.resource_version)
            .await?
    );
    while let Ok(event) = timeout(FORGOTTEN, events.try_next()).await {
        match event? {
            Some(WatchEvent::Added(pod) | WatchEvent::Modified(pod)) => show(Some(Box::new(pod))).await,
            Some(WatchEvent::Deleted(pod)) => {
                // It may have ended before it was deleted.
                show(Some(Box::new(pod))).await;
                show(None).await;
            }
            Some(WatchEvent::Bookmark(_)) => {}
            // Too old a version, most likely: look at what is there now.
            Some(WatchEvent::Error(_)) | None => break,
        }
    }
    Ok(())
}
