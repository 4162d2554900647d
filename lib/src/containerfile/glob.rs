//! What patterns for paths are made of, and one matcher for all of them.
//!
//! Paths are bytes: a file name need not be UTF-8. A byte that is part of no character matches wildcards only.

/// A character set: `[a-z]`, `[^a-z]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    /// Reads what follows the `[`. `None` if it is malformed.
    pub fn parse(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Self> {
        let negated = chars.next_if_eq(&'^').is_some();
        let mut ranges = Vec::new();
        loop {
            if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
                return Some(Class { negated, ranges });
            }
            let low = Self::bound(chars)?;
            let high = match chars.next_if_eq(&'-') {
                Some(_) => Self::bound(chars)?,
                None => low,
            };
            ranges.push((low, high));
        }
    }

    fn bound(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
        match chars.next()? {
            '-' | ']' => None,
            '\\' => chars.next(),
            c => Some(c),
        }
    }

    fn contains(&self, c: Option<char>) -> bool {
        let within = c.is_some_and(|c| self.ranges.iter().any(|(low, high)| *low <= c && c <= *high));
        within != self.negated
    }
}

/// One place in a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Itself.
    Char(char),
    /// `?`: one character, but no slash.
    Any,
    /// One character of a set.
    Class(Class),
    /// `*`: any characters, but no slash.
    Star,
    /// `**` at the end: anything.
    Everything,
    /// `**/`: any number of directories, none included. Always followed by `InDirectories`.
    Directories,
    /// The names of these directories, up to and with the last slash.
    InDirectories,
}

/// Whether a path matches as a whole. All ways through the pattern are followed at once, so no pattern takes more than
/// its length times that of the path.
pub(super) fn matches(tokens: &[Token], path: &[u8]) -> bool {
    if let (Some(Token::Char(first)), true) = (tokens.first(), path.first().is_some_and(u8::is_ascii)) {
        // Most paths differ from most patterns in their first character.
        if path.first().map(|byte| char::from(*byte)) != Some(*first) {
            return false;
        }
    }
    let mut ways = Ways {
        tokens,
        seen: vec![0; tokens.len() + 1],
        round: 1,
        next: Vec::new(),
    };
    ways.reach(0);
    let mut now = Vec::new();
    for c in characters(path) {
        std::mem::swap(&mut now, &mut ways.next);
        if now.is_empty() {
            return false;
        }
        ways.next.clear();
        ways.round += 1;
        for place in &now {
            ways.advance(*place, c);
        }
    }
    ways.seen.last() == Some(&ways.round)
}

/// The characters of a path; `None` for bytes that are part of none.
fn characters(path: &[u8]) -> impl Iterator<Item = Option<char>> + '_ {
    path.utf8_chunks().flat_map(|chunk| {
        chunk
            .valid()
            .chars()
            .map(Some)
            .chain(chunk.invalid().iter().map(|_| None))
    })
}

struct Ways<'t> {
    tokens: &'t [Token],
    /// In which round each place was reached last.
    seen: Vec<usize>,
    round: usize,
    next: Vec<usize>,
}

impl Ways<'_> {
    fn advance(&mut self, place: usize, c: Option<char>) {
        let slash = c == Some('/');
        match self.tokens.get(place) {
            Some(Token::Char(token)) if c == Some(*token) => self.reach(place + 1),
            Some(Token::Any) if !slash => self.reach(place + 1),
            Some(Token::Class(class)) if class.contains(c) => self.reach(place + 1),
            Some(Token::Star) if !slash => self.reach(place),
            Some(Token::Everything) => self.reach(place),
            Some(Token::InDirectories) => {
                self.reach(place);
                if slash {
                    self.reach(place + 1);
                }
            }
            _ => {}
        }
    }

    /// Notes that a place is reached, and those behind it that nothing stands before.
    fn reach(&mut self, place: usize) {
        let mut place = place;
        while let Some(seen) = self.seen.get_mut(place) {
            if *seen == self.round {
                return;
            }
            *seen = self.round;
            match self.tokens.get(place) {
                Some(Token::Star | Token::Everything) => self.next.push(place),
                // Either names follow, or there are no directories at all.
                Some(Token::Directories) => {
                    self.reach_only(place + 1);
                    place += 2;
                    continue;
                }
                _ => {
                    self.next.push(place);
                    return;
                }
            }
            place += 1;
        }
    }

    fn reach_only(&mut self, place: usize) {
        if let Some(seen) = self.seen.get_mut(place).filter(|seen| **seen != self.round) {
            *seen = self.round;
            self.next.push(place);
        }
    }
}
