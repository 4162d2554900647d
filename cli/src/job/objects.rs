//! The objects in the cluster. The Job owns the Secret, and the cluster removes what a removed object owned.

use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::api::{DeleteParams, Preconditions};
use tokio::time::{sleep, timeout};

use super::{cluster::Cluster, manifest::Order, screen::Screen, views::Metadata};

/// How often to try to remove the Job, how long to wait in between, and how long for one answer.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(20);

/// A Job that was made, and is to be removed.
pub struct Objects {
    cluster: Cluster,
    job: Metadata,
}

impl Objects {
    /// Makes the Job, and then the Secret that it owns. Its pod waits for that.
    pub async fn create(cluster: &Cluster, order: &Order<'_>) -> Result<Self> {
        let job = cluster
            .create(&order.job())
            .await
            .with_context(|| format!("cannot create the Job {}", order.name))?;
        let objects = Self {
            cluster: cluster.clone(),
            job,
        };
        if let Some(secret) = order.secret(Some(objects.job.owner()))
            && let Err(error) = cluster.create(&secret).await
        {
            let why = objects
                .try_to_remove()
                .await
                .err()
                .map(|error| format!("; the Job stays: {error:#}"));
            let context = format!(
                "cannot create the Secret {}{}",
                order.name,
                why.unwrap_or_default()
            );
            return Err(error).context(context);
        }
        Ok(objects)
    }

    /// Removes the Job. That is no reason to fail: the cluster does so itself some time after the end (`--ttl`).
    pub async fn remove(self, screen: Screen) {
        if let Err(error) = self.try_to_remove().await {
            let (name, namespace) = (&self.job.name, &self.cluster.namespace);
            screen.warn(&format!(
                "the Job is still there: {error:#}; remove it with kubectl -n {namespace} delete job {name}"
            ));
        }
    }

    async fn try_to_remove(&self) -> Result<()> {
        let parameters = DeleteParams::background().preconditions(Preconditions {
            uid: Some(self.job.uid.clone()),
            resource_version: None,
        });
        let mut attempt = 1;
        loop {
            match timeout(ANSWER, self.cluster.remove_job(&self.job.name, &parameters)).await {
                Ok(Ok(_)) => return Ok(()),
                // Somebody else was faster; a conflict is about another Job that has the name by now.
                Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => return Ok(()),
                Ok(Err(error)) if attempt == ATTEMPTS => return Err(error.into()),
                Err(late) if attempt == ATTEMPTS => return Err(late.into()),
                _ => sleep(PAUSE).await,
            }
            attempt += 1;
        }
    }
}
