//! A few lines at the bottom of a terminal that are redrawn in place, under text that stays.

use std::io::{self, Write};

/// Columns and rows.
pub type Size = (usize, usize);

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const ERASE_BELOW: &str = "\x1b[J";

/// What the terminal on standard error measures; 80 by 24 if it does not say.
pub fn size_of_stderr() -> Size {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

/// Knows how many lines it drew last.
#[derive(Default)]
pub struct Screen {
    drawn: usize,
    hidden: bool,
}

impl Screen {
    /// Erases what was drawn last, writes `above` to stay and `below` to be redrawn, all in one go.
    pub fn draw(&mut self, above: &[String], below: &[String], out: &mut dyn Write) -> io::Result<()> {
        let mut text = String::new();
        if !self.hidden {
            text.push_str(HIDE_CURSOR);
            self.hidden = true;
        }
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        text.push('\r');
        text.push_str(ERASE_BELOW);
        for line in above.iter().chain(below) {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn = below.len();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Gives the cursor back.
    pub fn release(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if std::mem::take(&mut self.hidden) {
            out.write_all(SHOW_CURSOR.as_bytes())?;
        }
        out.flush()
    }
}

/// As much of the text as surely fits into so many columns. What is not ASCII may be two columns wide.
pub fn clip(text: &str, columns: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += if c.is_ascii() { 1 } else { 2 };
        used <= columns
    };
    text.chars().take_while(fits).collect()
}
