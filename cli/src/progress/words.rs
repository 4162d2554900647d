//! Phrases that the plain and the live display share.

use std::time::Duration;

use rbuild::{
    Digest,
    event::{Direction, Moved},
};

use super::lines::harmless;
use crate::options::human;

/// `[build 2/5] RUN make`; a stage without a name is called by its number.
pub fn title(stage: &str, position: usize, of: usize, instruction: &str) -> String {
    let unnamed = stage.chars().all(|c| c.is_ascii_digit());
    let prefix = if unnamed { "stage-" } else { "" };
    let mut lines = instruction.trim_end().lines();
    let first = harmless(lines.next().unwrap_or_default());
    let more = if lines.next().is_some() { " ..." } else { "" };
    format!("[{prefix}{} {position}/{of}] {first}{more}", harmless(stage))
}

/// Seconds with a tenth; minutes where there are some: `0.4s`, `1m05s`, `2h00m`.
pub fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}.{}s", time.subsec_millis() / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// A blob that moves.
pub struct Transfer {
    /// Which way.
    pub direction: Direction,
    /// The blob's short name.
    pub blob: String,
    /// In bytes.
    pub size: u64,
    /// Where from or to.
    pub place: String,
    /// When it began.
    pub since: Duration,
    /// Bytes that have moved.
    pub moved: u64,
}

impl Transfer {
    /// One that has just begun.
    pub fn new(direction: Direction, digest: Option<&Digest>, size: u64, place: &str, now: Duration) -> Self {
        Self {
            direction,
            blob: digest.map_or_else(|| "a file".to_owned(), Digest::short),
            size,
            place: harmless(place),
            since: now,
            moved: 0,
        }
    }

    /// `pull 0123456789ab (30 MB) from registry.example/app`.
    pub fn title(&self) -> String {
        let (verb, preposition) = self.words();
        format!(
            "{verb} {} ({}) {preposition} {}",
            self.blob,
            human(self.size),
            self.place
        )
    }

    /// `pull 0123456789ab 12 MB of 30 MB from registry.example/app`.
    pub fn state(&self) -> String {
        let (verb, preposition) = self.words();
        let (moved, size) = (human(self.moved), human(self.size));
        format!(
            "{verb} {} {moved} of {size} {preposition} {}",
            self.blob, self.place
        )
    }

    /// `pull 0123456789ab: done in 1.2s`.
    pub fn outcome(&self, how: Moved, now: Duration) -> String {
        let (verb, _) = self.words();
        let took = elapsed(now.saturating_sub(self.since));
        let outcome = match how {
            Moved::Copied => format!("done in {took}"),
            Moved::Existed => "already there".to_owned(),
            Moved::Mounted => "mounted from another repository".to_owned(),
        };
        format!("{verb} {}: {outcome}", self.blob)
    }

    fn words(&self) -> (&'static str, &'static str) {
        match self.direction {
            Direction::Pull => ("pull", "from"),
            Direction::Push => ("push", "to"),
        }
    }
}

/// `warning: MESSAGE (line 3)`, without the first word.
pub fn warning(message: &str, line: Option<usize>) -> String {
    let message = harmless(message);
    line.map_or(message.clone(), |line| format!("{message} (line {line})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles() {
        let cases = [
            (("build", "RUN make"), "[build 2/5] RUN make"),
            (("0", "RUN make"), "[stage-0 2/5] RUN make"),
            (("a", "RUN <<EOF\nmake\nEOF"), "[a 2/5] RUN <<EOF ..."),
            (("a", "RUN printf '\x1b[2J'"), "[a 2/5] RUN printf ''"),
        ];
        for ((stage, instruction), expected) in cases {
            assert_eq!(title(stage, 2, 5, instruction), expected);
        }
    }

    #[test]
    fn times() {
        let cases = [
            (0, "0.0s"),
            (449, "0.4s"),
            (59_999, "59.9s"),
            (60_000, "1m00s"),
            (3_599_000, "59m59s"),
            (7_260_000, "2h01m"),
        ];
        for (millis, expected) in cases {
            assert_eq!(elapsed(Duration::from_millis(millis)), expected);
        }
    }
}
