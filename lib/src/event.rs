//! What a build tells its caller while it works.

use std::time::Duration;

use serde::Serialize;

use crate::Digest;

/// One step of the plan, numbered through the whole build from 0.
pub type StepId = usize;

/// One transfer of a blob, numbered through the whole process.
pub type TransferId = u64;

/// Something that happened in a build or a copy.
///
/// Serializes as a JSON object with a `type`, for programs that follow a build line by line.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The plan stands; no step has begun.
    Planned {
        /// How many steps the target needs.
        steps: usize,
    },
    /// A step began: its cache key is being computed, or it waits for nothing any more.
    StepStarted {
        /// Which one.
        step: StepId,
        /// The stage's name, or its number where it has none.
        stage: String,
        /// Place of the step in its stage, from 1.
        position: usize,
        /// Number of steps in its stage.
        of: usize,
        /// The instruction as written, continuation lines joined.
        instruction: String,
        /// Its first line in the Containerfile, from 1.
        line: usize,
    },
    /// The step's result was in the store, or in a cache elsewhere.
    StepCached {
        /// Which one.
        step: StepId,
        /// The cache elsewhere.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    /// The step's result was not in the store, so it runs.
    StepMissed {
        /// Which one.
        step: StepId,
        /// Why, in a few words: `app.py changed`, `not built here before`.
        why: String,
    },
    /// The process of a RUN wrote something.
    StepOutput {
        /// Which one.
        step: StepId,
        /// Where it wrote to.
        stream: Stream,
        /// What it wrote; not cut at line ends.
        #[serde(serialize_with = "lossy")]
        bytes: Vec<u8>,
    },
    /// The step is done.
    StepFinished {
        /// Which one.
        step: StepId,
        /// From its start.
        #[serde(serialize_with = "seconds", rename = "seconds")]
        elapsed: Duration,
        /// The layer that it added, if any (its diff ID).
        layer: Option<Digest>,
    },
    /// The step failed; the build's error says why.
    StepFailed {
        /// Which one.
        step: StepId,
        /// From its start.
        #[serde(serialize_with = "seconds", rename = "seconds")]
        elapsed: Duration,
    },
    /// The layer of a step is a blob in the store now. Its step was done before, when the layer's tar was whole.
    LayerPacked {
        /// The layer's diff ID.
        layer: Digest,
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// How long it took to compress and store it.
        #[serde(serialize_with = "seconds", rename = "seconds")]
        elapsed: Duration,
    },
    /// A blob or a download starts to move.
    TransferStarted {
        /// Which one.
        transfer: TransferId,
        /// Which way.
        direction: Direction,
        /// The blob; a download has no digest before it is complete.
        #[serde(skip_serializing_if = "Option::is_none")]
        digest: Option<Digest>,
        /// Its size in bytes; 0 if nobody says.
        size: u64,
        /// Where from or to: `registry.example/app`, `oci:dir`, `https://host/file`.
        place: String,
    },
    /// More of a blob has moved.
    TransferProgress {
        /// Which one.
        transfer: TransferId,
        /// Bytes so far.
        bytes: u64,
    },
    /// A blob has moved, or did not need to.
    TransferFinished {
        /// Which one.
        transfer: TransferId,
        /// How it came to be there.
        how: Moved,
    },
    /// Something a user should know and can act on; the build goes on.
    Warning {
        /// In words.
        message: String,
        /// Line of the Containerfile, from 1, if it is about one.
        line: Option<usize>,
    },
    /// The image is complete in the store.
    Built {
        /// Digest of its manifest.
        manifest: Digest,
    },
    /// The image has been written to a destination.
    Written {
        /// The destination.
        place: String,
        /// Digest of what was written there: of a manifest or an index.
        manifest: Digest,
    },
}

/// One of the two output streams of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Which way a blob moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Towards this machine.
    Pull,
    /// Away from it.
    Push,
}

/// How a blob came to be where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moved {
    /// Its bytes were transferred.
    Copied,
    /// It was there already.
    Existed,
    /// The registry took it from another of its repositories.
    Mounted,
}

/// The number for the next transfer of this process.
pub fn next_transfer() -> TransferId {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// Takes events; shared by everything that works on one build.
pub type Sink = std::sync::Arc<dyn Fn(Event) + Send + Sync>;

/// A sink for those who do not want to know.
pub fn ignore() -> Sink {
    std::sync::Arc::new(|_| {})
}

fn lossy<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

fn seconds<S: serde::Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(elapsed.as_secs_f64())
}
