//! Which lines of a log are new. No I/O.
//!
//! A log that is asked for again begins at a whole second (`sinceTime`), so its first lines were seen before. They are known
//! by their time stamps, which have nanoseconds, and their text: each is skipped as often as it was seen.

use std::{
    collections::{HashMap, VecDeque, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use jiff::Timestamp;

/// A log is asked for from this long before the last line, in seconds: standard output and error have a writer each, and
/// their lines may be a little out of order.
const OVERLAP: i64 = 1;

/// What was seen of a log.
#[derive(Debug, Default)]
pub struct Lines {
    /// Where a new look begins, in seconds since 1970.
    since: Option<i64>,
    /// What was seen since then, and a little more.
    recent: VecDeque<(i64, u64)>,
    /// What of that comes once more.
    again: HashMap<u64, usize>,
    /// Whether a look did not begin where the one before ended.
    torn: bool,
}

impl Lines {
    /// From when on to look, if not from the beginning.
    pub fn since(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.since?).ok()
    }

    /// A new look begins, at [`Self::since`].
    pub fn look_again(&mut self) {
        self.again.clear();
        let since = self.since.unwrap_or(i64::MIN);
        for (_, line) in self.recent.iter().filter(|(second, _)| *second >= since) {
            *self.again.entry(*line).or_default() += 1;
        }
    }

    /// The text of a line with its time stamp, if it is a new one.
    pub fn new_text<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let stamped = line.split_once(' ').unwrap_or((line, ""));
        let Ok(time) = stamped.0.parse::<Timestamp>() else {
            return Some(line);
        };
        let key = key(line);
        if let Some(left) = self.again.get_mut(&key).filter(|left| **left > 0) {
            *left -= 1;
            return None;
        }
        // What was seen comes before what is new, unless it is gone.
        self.torn |= !self.recent.is_empty() && self.again.values().any(|left| *left > 0);
        self.again.clear();
        self.saw(time.as_second(), key);
        Some(stamped.1)
    }

    /// Whether lines may be missing, once.
    pub fn take_torn(&mut self) -> bool {
        std::mem::take(&mut self.torn)
    }

    fn saw(&mut self, second: i64, key: u64) {
        let since = self.since.unwrap_or(i64::MIN).max(second - OVERLAP);
        self.since = Some(since);
        self.recent.push_back((second, key));
        while self.recent.front().is_some_and(|(second, _)| *second < since) {
            self.recent.pop_front();
        }
    }
}

fn key(line: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look at a log of which these lines come.
    fn look<'a>(lines: &mut Lines, log: &[&'a str]) -> Vec<&'a str> {
        lines.look_again();
        log.iter().filter_map(|line| lines.new_text(line)).collect()
    }

    /// What a server sends when it is asked for what was from `since` on.
    fn from<'a>(lines: &Lines, log: &[&'a str]) -> Vec<&'a str> {
        let since = lines.since().unwrap_or(Timestamp::MIN);
        let time = |line: &str| line.split_once(' ').unwrap().0.parse::<Timestamp>().unwrap();
        log.iter().copied().filter(|line| time(line) >= since).collect()
    }

    const LOG: [&str; 9] = [
        "2026-01-01T00:00:00.000000001Z a",
        "2026-01-01T00:00:00.900000000Z b",
        "2026-01-01T00:00:02.000000000Z c",
        "2026-01-01T00:00:02.000000000Z c",
        "2026-01-01T00:00:02.000000000Z ",
        "2026-01-01T00:00:01.999999999Z late",
        "2026-01-01T00:00:02.5Z d e",
        "2026-01-01T00:00:05Z f",
        "2026-01-01T01:00:05.1+01:00 g",
    ];
    const TEXTS: [&str; 9] = ["a", "b", "c", "c", "", "late", "d e", "f", "g"];

    #[test]
    fn a_log_that_is_cut_anywhere_is_whole_and_has_no_line_twice() {
        for first in 0..=LOG.len() {
            for second in first..=LOG.len() {
                let mut lines = Lines::default();
                let mut texts = look(&mut lines, &LOG[..first]);
                let again = from(&lines, &LOG[..second]);
                texts.extend(look(&mut lines, &again));
                let again = from(&lines, &LOG);
                texts.extend(look(&mut lines, &again));
                assert_eq!(texts, TEXTS, "cut at {first} and {second}");
                assert!(!lines.take_torn(), "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_log_that_lost_its_beginning_is_torn() {
        let mut lines = Lines::default();
        look(&mut lines, &LOG[..4]);
        assert!(!lines.take_torn());
        assert_eq!(look(&mut lines, &LOG[6..]), ["d e", "f", "g"]);
        assert!(lines.take_torn());
        assert!(!lines.take_torn());
    }

    #[test]
    fn a_line_without_a_time_is_taken_as_it_is() {
        let mut lines = Lines::default();
        assert_eq!(
            look(&mut lines, &["failed to open log file", ""]),
            ["failed to open log file", ""]
        );
        assert_eq!(lines.since(), None);
    }
}
