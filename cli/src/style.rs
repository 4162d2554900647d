//! Colour, where somebody will see it.

use std::io::IsTerminal;

/// Whether and how text is marked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// No mark-up.
    pub const PLAIN: Self = Self { colour: false };
    /// With mark-up.
    #[cfg(test)]
    pub const COLOUR: Self = Self { colour: true };

    /// What standard error can show. `NO_COLOR` is honoured (https://no-color.org).
    pub fn of_stderr() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            colour: wanted && std::io::stderr().is_terminal() && !dumb(),
        }
    }

    /// For what matters less.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// For what went wrong.
    pub fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// For what may be wrong.
    pub fn yellow(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    /// For what helps.
    pub fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Whether the terminal knows no escape sequences.
pub fn dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}
