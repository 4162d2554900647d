//! A Job from its creation to its end.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use futures_util::{FutureExt as _, future};
use rbuild::build::Parcel;
use tokio::{
    select,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    cluster::Cluster,
    logs::Log,
    screen::Screen,
    send::{self, Sent},
    status::{self, End, State},
    views::Pod,
    watch::Watcher,
};

/// How long to wait for the rest of the log, at most.
const LAST_LOG: Duration = Duration::from_secs(60);

/// How often to ask why there is no pod.
const NO_POD: Duration = Duration::from_secs(3);

/// How long a pod may live on that did not get its context.
const STARVING: Duration = Duration::from_secs(15);

/// Follows one Job.
pub struct Follower {
    cluster: Cluster,
    name: String,
    screen: Screen,
    parcel: Option<Arc<Parcel>>,
    /// The pod, when there is one.
    pod: Option<String>,
    /// Why it does not run, as told.
    told: Option<String>,
    running: Option<Running>,
}

/// What goes on while the build runs.
struct Running {
    ended: watch::Sender<bool>,
    log: JoinHandle<()>,
    sending: Option<JoinHandle<Result<Sent>>>,
    /// Kept until the pod ends.
    sent: Option<Sent>,
}

/// What became of a Job that failed.
enum Failed {
    /// Somebody deleted it.
    Deleted,
    /// Its time was up.
    Late,
    /// Something else, in words.
    Other(String),
}

impl Drop for Running {
    fn drop(&mut self) {
        self.log.abort();
        if let Some(sending) = &self.sending {
            sending.abort();
        }
    }
}

impl Follower {
    /// Follows the Job of this name.
    pub fn new(cluster: &Cluster, name: &str, screen: Screen, parcel: Option<Parcel>) -> Self {
        Self {
            cluster: cluster.clone(),
            name: name.to_owned(),
            screen,
            parcel: parcel.map(Arc::new),
            pod: None,
            told: None,
            running: None,
        }
    }

    /// Sends the context, shows the log, and says how it ended.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn follow(mut self, start_within: Duration) -> Result<End> {
        let mut watcher = Watcher::start(self.cluster.clone(), &self.name);
        let start_by = Instant::now() + start_within;
        let end = loop {
            let sight = select! {
                sight = watcher.next() => sight?,
                () = sleep_until(start_by), if self.running.is_none() => break self.late(start_within).await,
                () = sleep(NO_POD), if self.pod.is_none() => {
                    match self.why_no_pod().await {
                        Some(end) => break end,
                        None => continue,
                    }
                }
                sent = self.sent() => {
                    match sent {
                        Ok(()) => continue,
                        Err(error) => {
                            self.screen.warn(&format!("{error:#}"));
                            break self.starve(&mut watcher, error).await?;
                        }
                    }
                }
            };
            if let Some(end) = self.saw(sight.as_deref()).await {
                break end;
            }
        };
        self.rest_of_log().await;
        Ok(end)
    }

    /// Waits for the end of a pod that lacks its context; it knows best what that comes to.
    async fn starve(&mut self, watcher: &mut Watcher, error: anyhow::Error) -> Result<End> {
        let patience = sleep(STARVING);
        tokio::pin!(patience);
        loop {
            let sight = select! {
                sight = watcher.next() => sight?,
                () = &mut patience => return Ok(End::Broken(format!("{error:#}"))),
            };
            if let Some(end) = self.saw(sight.as_deref()).await {
                return Ok(end);
            }
        }
    }

    /// What a look at the pod comes to, if it is the end.
    async fn saw(&mut self, pod: Option<&Pod>) -> Option<End> {
        let Some(pod) = pod else {
            self.pod.as_ref()?;
            return Some(self.gone("the pod was deleted").await);
        };
        let name = pod.metadata.name.clone();
        self.pod = Some(name.clone());
        match status::of(pod) {
            State::Waiting(why) => {
                self.tell(why);
                None
            }
            State::Hopeless(why) => {
                let better = self.complaint(&name).await.unwrap_or(why);
                Some(End::Broken(format!("the pod does not start: {better}")))
            }
            State::Running => {
                self.start(name, true);
                None
            }
            State::Ended(end) => {
                self.start(name, false);
                match end {
                    End::Broken(why) => Some(self.gone(&why).await),
                    exited => Some(exited),
                }
            }
        }
    }

    fn tell(&mut self, why: Option<String>) {
        if why.is_some() && why != self.told {
            if let Some(why) = &why {
                self.screen.say(&format!("waiting: {why}"));
            }
            self.told = why;
        }
    }

    /// Begins to show the log and to send the context, unless that was done.
    fn start(&mut self, pod: String, with_context: bool) {
        if self.running.is_some() {
            return;
        }
        let (ended, end) = watch::channel(false);
        let log = Log::new(self.cluster.streams(), pod.clone(), end, self.screen);
        let parcel = self.parcel.take().filter(|_| with_context);
        if with_context {
            self.screen.say(&format!("{pod} runs"));
        }
        self.running = Some(Running {
            ended,
            log: tokio::spawn(log.follow()),
            sending: parcel.map(|parcel| tokio::spawn(send::send(self.cluster.streams(), pod, parcel))),
            sent: None,
        });
    }

    /// The end of sending, which comes once, or never.
    async fn sent(&mut self) -> Result<()> {
        let Some(running) = &mut self.running else {
            return future::pending().await;
        };
        let Some(sending) = &mut running.sending else {
            return future::pending().await;
        };
        let sent = sending
            .map(|sent| sent.map_err(anyhow::Error::from).flatten())
            .await;
        running.sending = None;
        let sent = sent?;
        let size = crate::options::human(sent.size);
        running.sent = Some(sent);
        self.screen.say(&format!("the context is sent: {size}"));
        Ok(())
    }

    async fn rest_of_log(&mut self) {
        if let Some(running) = &mut self.running {
            running.ended.send_replace(true);
            if timeout(LAST_LOG, &mut running.log).await.is_err() {
                self.screen.warn("the end of the log does not come");
            }
        }
    }

    /// Why the pod ended before the build did. The Job knows more of it: its deadline, or that it was deleted itself.
    async fn gone(&self, why: &str) -> End {
        match self.failed().await {
            Some(Failed::Deleted) => End::Broken("the Job was deleted".to_owned()),
            Some(Failed::Late) => End::Broken("the build took longer than --deadline lets it".to_owned()),
            // It failed as its pod did, which is no reason.
            Some(Failed::Other(_)) | None => End::Broken(why.to_owned()),
        }
    }

    /// What became of the Job, if it failed.
    async fn failed(&self) -> Option<Failed> {
        let job = match self.cluster.job(&self.name).await {
            Ok(job) => job,
            Err(kube::Error::Api(status)) if status.code == 404 => return Some(Failed::Deleted),
            Err(_) => return None,
        };
        let mut conditions = job.status.conditions.into_iter();
        let failed = conditions
            .find(|one| matches!(&*one.kind, "Failed" | "FailureTarget") && one.status == "True")?;
        Some(match failed.reason.as_deref() {
            Some("DeadlineExceeded") => Failed::Late,
            _ => Failed::Other(failed.message.or(failed.reason).unwrap_or_default()),
        })
    }

    /// The pod did not run in time.
    async fn late(&self, time: Duration) -> End {
        let why = match (
            &self.told,
            self.complaint(self.pod.as_ref().unwrap_or(&self.name)).await,
        ) {
            (Some(told), _) => told.clone(),
            (None, Some(complaint)) => complaint,
            (None, None) => "the cluster does not say why".to_owned(),
        };
        let seconds = time.as_secs_f64();
        End::Broken(format!("the pod did not run within {seconds} s: {why}"))
    }

    /// The cluster may refuse to make a pod. For want of quota that is a queue; else it stays so.
    async fn why_no_pod(&mut self) -> Option<End> {
        match self.failed().await {
            Some(Failed::Other(why)) => return Some(End::Broken(format!("the Job failed: {why}"))),
            Some(_) => return Some(self.gone("").await),
            None => {}
        }
        let complaint = self.complaint(&self.name).await?;
        if complaint.contains("forbidden") && !complaint.contains("exceeded quota") {
            return Some(End::Broken(format!("the cluster makes no pod: {complaint}")));
        }
        self.tell(Some(complaint));
        None
    }

    /// The last warning about an object, if we may see it.
    async fn complaint(&self, object: &str) -> Option<String> {
        let event = self.cluster.warnings(object).await.ok()?.items.pop()?;
        Some(format!("{}: {}", event.reason, event.message))
    }
}
