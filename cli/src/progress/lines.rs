//! The output of a process, cut into lines.

use std::collections::VecDeque;

/// A line longer than this, in bytes, is shown in parts, so that output without line ends cannot fill the memory.
const LONGEST: usize = 16 << 10;

/// Holds what came since the last line end.
#[derive(Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes more output, gives the lines it completes.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            self.extend(line, &mut lines);
            lines.push(as_seen(&std::mem::take(&mut self.partial)));
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.extend(bytes, &mut lines);
        lines
    }

    /// What came after the last line end, if anything.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.partial);
        (!rest.is_empty()).then(|| as_seen(&rest))
    }

    /// What came after the last line end so far.
    fn pending(&self) -> Option<String> {
        (!self.partial.is_empty()).then(|| as_seen(&self.partial))
    }

    fn extend(&mut self, mut bytes: &[u8], lines: &mut Vec<String>) {
        while self.partial.len() + bytes.len() > LONGEST {
            let (part, rest) = bytes.split_at(LONGEST.saturating_sub(self.partial.len()));
            self.partial.extend_from_slice(part);
            lines.push(as_seen(&std::mem::take(&mut self.partial)));
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
    }
}

/// The last few lines of a process's output.
pub struct LastLines {
    lines: Lines,
    last: VecDeque<String>,
    kept: usize,
}

impl LastLines {
    /// Keeps this many lines.
    pub fn new(kept: usize) -> Self {
        Self {
            lines: Lines::default(),
            last: VecDeque::new(),
            kept,
        }
    }

    /// Takes more output.
    pub fn push(&mut self, bytes: &[u8]) {
        self.last.extend(self.lines.push(bytes));
        let surplus = self.last.len().saturating_sub(self.kept);
        self.last.drain(..surplus);
    }

    /// The last lines, an unfinished one included.
    pub fn get(&self) -> Vec<String> {
        let all: Vec<String> = self.last.iter().cloned().chain(self.lines.pending()).collect();
        let surplus = all.len().saturating_sub(self.kept);
        all.into_iter().skip(surplus).collect()
    }
}

/// A line as a terminal would show it at the end: after a carriage return it was written anew.
fn as_seen(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let last = line
        .rsplit(|byte| *byte == b'\r')
        .find(|part| !part.is_empty())
        .unwrap_or_default();
    harmless(&String::from_utf8_lossy(last))
}

/// The text without control characters and escape sequences, tabs as blanks.
pub fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' if rest.next_if_eq(&'[').is_some() => {
                // A control sequence ends with a letter or one of @[\]^_`{|}~ (ECMA-48, 5.4).
                while rest.next_if(|c| !('@'..='~').contains(c)).is_some() {}
                rest.next();
            }
            '\t' => clean.push_str("    "),
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_arrive() {
        let text = "one\ntwo\r\n\nfour";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let mut seen: Vec<String> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|part| lines.push(part))
                .collect();
            seen.extend(lines.finish());
            assert_eq!(seen, ["one", "two", "", "four"], "parts of {size}");
        }
    }

    #[test]
    fn a_line_written_over_shows_its_last_state() {
        let cases = [
            ("10%\r50%\r100%", "100%"),
            ("10%\r50%\r", "50%"),
            ("\r\r", ""),
            ("\x1b[31mred\x1b[0m", "red"),
            ("\x1b[2Jgone\x07", "gone"),
            ("\x1b", ""),
            ("\x1b[", ""),
            ("a\tb", "a    b"),
        ];
        for (line, seen) in cases {
            assert_eq!(as_seen(line.as_bytes()), seen, "{line:?}");
        }
        assert_eq!(as_seen(b"\xff!"), "\u{fffd}!");
    }

    #[test]
    fn the_last_lines_include_an_unfinished_one() {
        let mut last = LastLines::new(2);
        assert!(last.get().is_empty());
        last.push(b"a\nb\nc\nd");
        assert_eq!(last.get(), ["c", "d"]);
        last.push(b"\n");
        assert_eq!(last.get(), ["c", "d"]);
    }

    #[test]
    fn endless_lines_are_cut() {
        let mut lines = Lines::default();
        let cut = lines.push(&vec![b'x'; LONGEST * 2 + 1]);
        assert_eq!(
            cut.iter().map(String::len).collect::<Vec<_>>(),
            [LONGEST, LONGEST]
        );
        assert_eq!(lines.finish().as_deref(), Some("x"));
    }
}
