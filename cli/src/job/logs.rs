//! The log of the pod, followed as if the build were here. A log that is cut goes on where it was.

use std::{pin::pin, time::Duration};

use anyhow::Result;
use futures_util::{AsyncBufRead, AsyncBufReadExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};
use tokio::{
    select,
    sync::watch,
    time::{sleep, timeout},
};

use super::{lines::Lines, manifest::CONTAINER, screen::Screen};

/// How long to wait before the log is asked for again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a log may say nothing when its container has ended.
const SILENCE: Duration = Duration::from_secs(5);

/// How often the rest of a log is asked for when its container has ended.
const ATTEMPTS: u32 = 5;

/// A log, and how far it was shown.
pub struct Log {
    pods: Api<Pod>,
    pod: String,
    /// Whether the container has ended.
    ended: watch::Receiver<bool>,
    screen: Screen,
    lines: Lines,
}

impl Log {
    /// The log of a pod's container, from its beginning.
    pub fn new(pods: Api<Pod>, pod: String, ended: watch::Receiver<bool>, screen: Screen) -> Self {
        Self {
            pods,
            pod,
            ended,
            screen,
            lines: Lines::default(),
        }
    }

    /// Shows all of it. The last look is one after the end, so that nothing is missing.
    pub async fn follow(mut self) {
        let (mut failures, mut told) = (0, false);
        loop {
            let last = *self.ended.borrow();
            match self.look(last).await {
                Ok(()) if last => return,
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    if last && (failures >= ATTEMPTS || is_gone(&error)) {
                        let what = format!("the end of the log cannot be read: {error}");
                        return self.screen.warn(&what);
                    }
                    if !std::mem::replace(&mut told, true) {
                        let what = format!("the log is cut, and asked for again: {error}");
                        self.screen.say(&what);
                    }
                }
            }
            if !last || failures > 0 {
                let _ = timeout(PAUSE, self.ended.changed()).await;
            }
        }
    }

    /// Shows what is new.
    async fn look(&mut self, last: bool) -> Result<()> {
        let parameters = LogParams {
            container: Some(CONTAINER.to_owned()),
            follow: !last,
            timestamps: true,
            since_time: self.lines.since(),
            ..LogParams::default()
        };
        let mut stream = pin!(self.pods.log_stream(&self.pod, &parameters).await?);
        self.lines.look_again();
        let mut ended = self.ended.clone();
        let mut line = Vec::new();
        loop {
            line.clear();
            let whole = select! {
                whole = read_line(&mut stream, &mut line) => whole?,
                () = silence(&mut ended) => return Ok(()),
            };
            if whole || (last && !line.is_empty()) {
                self.show(&line);
            }
            if !whole {
                return Ok(());
            }
        }
    }

    fn show(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let Some(text) = self.lines.new_text(&line) else {
            return;
        };
        let text = text.to_owned();
        if self.lines.take_torn() {
            self.screen
                .warn("the log was cut, and lines of it may be missing here");
        }
        self.screen.log(&text);
    }
}

/// Reads a line, and says whether it has an end. One that has none comes again, whole, at the next look.
async fn read_line(stream: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> Result<bool> {
    stream.read_until(b'\n', line).await?;
    let whole = line.last() == Some(&b'\n');
    if whole {
        line.pop();
    }
    Ok(whole)
}

/// Comes some time after the end of the container.
async fn silence(ended: &mut watch::Receiver<bool>) {
    // Nobody tells the end if the sender is gone, and then it is the end.
    let _ = ended.wait_for(|ended| *ended).await;
    sleep(SILENCE).await;
}

fn is_gone(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if status.code == 404)
}
