//! A terminal in memory, for tests: what a person would see after the display has written to it.

use std::io::{self, Write};

/// Lines of a screen without end, and a cursor. Knows what `screen` uses, and refuses everything else.
pub struct Terminal {
    pub lines: Vec<String>,
    pub cursor_shown: bool,
    columns: usize,
    row: usize,
}

impl Terminal {
    pub fn new(columns: usize) -> Self {
        Self {
            lines: vec![String::new()],
            cursor_shown: true,
            columns,
            row: 0,
        }
    }

    /// What is on it, without the empty rest.
    pub fn seen(&self) -> String {
        self.lines.join("\n").trim_end().to_owned() + "\n"
    }

    fn put(&mut self, c: char) {
        match c {
            '\n' => self.row += 1,
            '\r' => self.lines[self.row].clear(),
            c => self.lines[self.row].push(c),
        }
        while self.lines.len() <= self.row {
            self.lines.push(String::new());
        }
        let width = self.lines[self.row].chars().count();
        assert!(
            width <= self.columns,
            "wider than the terminal: {:?}",
            self.lines[self.row]
        );
    }

    fn control(&mut self, sequence: &str) {
        match sequence {
            "?25l" => self.cursor_shown = false,
            "?25h" => self.cursor_shown = true,
            "J" => self.lines.truncate(self.row + 1),
            "2m" | "0m" | "1;31m" | "1;33m" => {}
            up => {
                let rows = up.strip_suffix('A').and_then(|rows| rows.parse::<usize>().ok());
                self.row -= rows.unwrap_or_else(|| panic!("unknown control sequence {sequence:?}"));
            }
        }
    }
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        while let Some(c) = rest.chars().next() {
            match rest.strip_prefix("\x1b[") {
                Some(after) => {
                    let end = after
                        .find(|c: char| c.is_ascii_alphabetic())
                        .map_or(after.len(), |at| at + 1);
                    self.control(&after[..end]);
                    rest = &after[end..];
                }
                None => {
                    self.put(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
