//! One pass over a word, with an explicit stack of what is open.

mod variables;

use std::{collections::BTreeSet, ops::Range};

use super::{ExpandError, Expanded, Lookup};

/// No result may grow longer than this: 16 MiB.
const LONGEST: usize = 16 << 20;

/// How many bytes may be put into results, thrown away ones included, or compared with patterns.
const MOST_WORK: usize = 1 << 28;

/// What happens to quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    /// They do their work and vanish.
    Remove,
    /// They do their work and stay.
    Keep,
    /// They are characters like any other.
    Ordinary,
}

pub(super) struct Options<'a, 'v> {
    pub escape: char,
    pub quotes: Quotes,
    /// Whether the escape character stays in front of what it escapes.
    pub keep_escapes: bool,
    /// Without it, variables stay as written.
    pub variables: Option<&'a Lookup<'v>>,
}

impl<'a, 'v> Options<'a, 'v> {
    pub fn word(lookup: &'a Lookup<'v>) -> Self {
        Options {
            escape: '\\',
            quotes: Quotes::Remove,
            keep_escapes: false,
            variables: Some(lookup),
        }
    }
}

/// What the pass is inside of.
enum Frame<'a> {
    /// `"…"`
    Quote { start: usize },
    /// `${name-word}` and its kin, inside the word.
    Word {
        name: &'a str,
        modifier: char,
        or_empty: bool,
        start: usize,
        keep_escapes: bool,
    },
    /// `${name/pattern/replacement}`, inside the pattern.
    Pattern {
        name: &'a str,
        all: bool,
        start: usize,
        keep_escapes: bool,
    },
    /// The same, inside the replacement.
    Replacement {
        name: &'a str,
        all: bool,
        start: usize,
        middle: usize,
        keep_escapes: bool,
    },
}

/// Words of the result, as ranges of it.
#[derive(Default)]
struct Words {
    done: Vec<Range<usize>>,
    current: Range<usize>,
}

impl Words {
    /// A character that separates words if it is white space.
    fn add_char(&mut self, c: char, at: usize) {
        if c.is_whitespace() {
            self.finish()
        } else {
            self.add_raw(at..at + c.len_utf8())
        }
    }

    /// Part of a word, whatever it holds.
    fn add_raw(&mut self, range: Range<usize>) {
        match (self.current.is_empty(), range.is_empty()) {
            (_, true) => {}
            (true, false) => self.current = range,
            (false, false) => self.current.end = range.end,
        }
    }

    fn finish(&mut self) {
        if !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
    }
}

/// What a pass yields.
pub(super) struct Done<'a> {
    pub text: String,
    pub words: Vec<Range<usize>>,
    /// Whether there was a quote.
    pub quoted: bool,
    used: BTreeSet<&'a str>,
    undefined: BTreeSet<&'a str>,
}

impl Done<'_> {
    pub fn into_expanded(self) -> Expanded {
        let owned = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect();
        let words = self
            .words
            .into_iter()
            .filter_map(|word| self.text.get(word))
            .map(str::to_owned)
            .collect();
        Expanded {
            words,
            used: owned(self.used),
            undefined: owned(self.undefined),
            text: self.text,
        }
    }
}

pub(super) struct Machine<'a, 'v> {
    input: &'a str,
    position: usize,
    options: Options<'a, 'v>,
    /// All frames share it; each knows where its part begins. So nothing is copied when a frame closes.
    out: String,
    frames: Vec<Frame<'a>>,
    words: Words,
    quoted: bool,
    used: BTreeSet<&'a str>,
    undefined: BTreeSet<&'a str>,
    work: usize,
}

impl<'a, 'v> Machine<'a, 'v> {
    pub fn run(input: &'a str, options: Options<'a, 'v>) -> Result<Done<'a>, ExpandError> {
        let mut machine = Machine {
            input,
            position: 0,
            options,
            out: String::new(),
            frames: Vec::new(),
            words: Words::default(),
            quoted: false,
            used: BTreeSet::new(),
            undefined: BTreeSet::new(),
            work: MOST_WORK,
        };
        while let Some(c) = machine.peek() {
            machine.step(c)?;
        }
        machine.finish()
    }

    fn finish(mut self) -> Result<Done<'a>, ExpandError> {
        match self.frames.last() {
            None => {}
            Some(Frame::Quote { .. }) => return Err(ExpandError::UnclosedQuote('"')),
            Some(Frame::Pattern { .. }) => return Err(ExpandError::UnclosedBrace('/')),
            Some(_) => return Err(ExpandError::UnclosedBrace('}')),
        }
        self.words.finish();
        let Machine {
            out,
            words,
            quoted,
            used,
            undefined,
            ..
        } = self;
        Ok(Done {
            text: out,
            words: words.done,
            quoted,
            used,
            undefined,
        })
    }

    fn peek(&self) -> Option<char> {
        self.input.get(self.position..)?.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    fn step(&mut self, c: char) -> Result<(), ExpandError> {
        match (self.frames.last(), c) {
            (_, '$') => self.dollar(),
            (Some(Frame::Quote { .. }), '"') => self.close_quote(),
            (Some(Frame::Quote { .. }), _) => self.quoted_char(c),
            (Some(Frame::Pattern { .. }), '/') => self.close_pattern(),
            (Some(Frame::Word { .. }), '}') => self.close_word(),
            (Some(Frame::Replacement { .. }), '}') => self.close_replacement(),
            (_, '\'') if self.options.quotes != Quotes::Ordinary => self.single_quote(),
            (_, '"') if self.options.quotes != Quotes::Ordinary => self.open_quote(),
            _ => self.plain_char(c),
        }
    }

    fn plain_char(&mut self, c: char) -> Result<(), ExpandError> {
        let at = self.out.len();
        self.bump();
        if c != self.options.escape {
            self.out.push(c);
            if self.frames.is_empty() {
                self.words.add_char(c, at);
            }
            return Ok(());
        }
        if self.options.keep_escapes {
            self.out.push(c);
        }
        // An escape character at the very end vanishes.
        let next = self.bump();
        self.out.extend(next);
        if self.frames.is_empty() {
            self.words.add_raw(at..self.out.len());
        }
        Ok(())
    }

    /// Between double quotes, the escape character escapes the quote, `$` and itself, and is an ordinary character else.
    fn quoted_char(&mut self, c: char) -> Result<(), ExpandError> {
        self.bump();
        if c != self.options.escape {
            self.out.push(c);
            return Ok(());
        }
        let next = self.peek();
        let escapes = next.is_some_and(|next| matches!(next, '"' | '$') || next == c);
        // In a pattern it has to stay an ordinary character when the pattern is read, so it is doubled there.
        let in_pattern = self.options.keep_escapes && self.options.variables.is_some();
        if self.options.keep_escapes && (escapes || in_pattern) {
            self.out.push(c);
        }
        match next {
            Some(next) if escapes => {
                self.bump();
                self.out.push(next);
            }
            Some(_) => self.out.push(c),
            None => {}
        }
        Ok(())
    }

    fn open_quote(&mut self) -> Result<(), ExpandError> {
        self.quoted = true;
        self.frames.push(Frame::Quote {
            start: self.out.len(),
        });
        self.keep_quote();
        Ok(())
    }

    fn close_quote(&mut self) -> Result<(), ExpandError> {
        self.keep_quote();
        if let Some(Frame::Quote { start }) = self.frames.pop() {
            self.finish_piece(start, false);
        }
        Ok(())
    }

    /// Passes a quote, which stays where quotes stay.
    fn keep_quote(&mut self) {
        let quote = self.bump();
        if self.options.quotes == Quotes::Keep {
            self.out.extend(quote);
        }
    }

    fn single_quote(&mut self) -> Result<(), ExpandError> {
        self.quoted = true;
        let start = self.out.len();
        self.keep_quote();
        let rest = self.input.get(self.position..).unwrap_or_default();
        let length = rest.find('\'').ok_or(ExpandError::UnclosedQuote('\''))?;
        self.out.push_str(rest.get(..length).unwrap_or_default());
        self.position += length;
        self.keep_quote();
        self.finish_piece(start, false);
        Ok(())
    }

    /// What was quoted is part of a word; what a variable held is split.
    fn finish_piece(&mut self, start: usize, split: bool) {
        if !self.frames.is_empty() {
            return;
        }
        let piece = self.out.get(start..).unwrap_or_default();
        if split {
            piece
                .char_indices()
                .for_each(|(at, c)| self.words.add_char(c, start + at));
        } else {
            self.words.add_raw(start..self.out.len());
        }
    }
}
