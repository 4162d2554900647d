//! Counts, in the text format of Prometheus.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What is counted since the start.
#[derive(Default)]
pub struct Metrics {
    ended: [AtomicU64; 4],
    refused: AtomicU64,
    milliseconds: AtomicU64,
    context_bytes: AtomicU64,
}

/// How a build ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its image is where it should be.
    Succeeded,
    /// It is not.
    Failed,
    /// Its caller went away, or the server did.
    Cancelled,
    /// It took too long.
    TimedOut,
}

impl End {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
        }
    }
}

const ENDS: [End; 4] = [End::Succeeded, End::Failed, End::Cancelled, End::TimedOut];

impl Metrics {
    /// A build ended, after working so long.
    pub fn ended(&self, end: End, took: Duration) {
        if let Some(at) = ENDS.iter().position(|known| *known == end) {
            self.ended[at].fetch_add(1, Relaxed);
        }
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.milliseconds.fetch_add(milliseconds, Relaxed);
    }

    /// A request for a build was refused.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// So much came of a context.
    pub fn received(&self, bytes: usize) {
        self.context_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// The text; who counts the builds at work and those that wait says how many.
    pub fn text(&self, running: usize, waiting: usize) -> String {
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, values: &[(String, String)]| {
            text.push_str(&format!(
                "# HELP rbuild_{name} {help}\n# TYPE rbuild_{name} {kind}\n"
            ));
            for (label, value) in values {
                text.push_str(&format!("rbuild_{name}{label} {value}\n"));
            }
        };
        let one = |value: String| [(String::new(), value)];
        metric(
            "builds_running",
            "gauge",
            "Builds at work.",
            &one(running.to_string()),
        );
        metric(
            "builds_waiting",
            "gauge",
            "Builds that are being received or wait for their turn.",
            &one(waiting.to_string()),
        );
        let ended: Vec<_> = ENDS
            .iter()
            .zip(&self.ended)
            .map(|(end, count)| {
                (
                    format!("{{result=\"{}\"}}", end.word()),
                    count.load(Relaxed).to_string(),
                )
            })
            .collect();
        metric("builds_total", "counter", "Builds that ended.", &ended);
        let count = |value: &AtomicU64| one(value.load(Relaxed).to_string());
        metric(
            "builds_refused_total",
            "counter",
            "Requests for builds that were refused.",
            &count(&self.refused),
        );
        let seconds = self.milliseconds.load(Relaxed) as f64 / 1000.0;
        metric(
            "build_seconds_total",
            "counter",
            "Time that builds took, without waiting.",
            &one(seconds.to_string()),
        );
        metric(
            "context_bytes_total",
            "counter",
            "Bytes of contexts that were received.",
            &count(&self.context_bytes),
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_a_line() {
        let metrics = Metrics::default();
        metrics.ended(End::Succeeded, Duration::from_millis(1500));
        metrics.ended(End::TimedOut, Duration::from_secs(1));
        metrics.refused();
        metrics.received(7);
        let text = metrics.text(2, 3);
        let values: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            values,
            [
                "rbuild_builds_running 2",
                "rbuild_builds_waiting 3",
                "rbuild_builds_total{result=\"succeeded\"} 1",
                "rbuild_builds_total{result=\"failed\"} 0",
                "rbuild_builds_total{result=\"cancelled\"} 0",
                "rbuild_builds_total{result=\"timed_out\"} 1",
                "rbuild_builds_refused_total 1",
                "rbuild_build_seconds_total 2.5",
                "rbuild_context_bytes_total 7",
            ]
        );
    }
}
