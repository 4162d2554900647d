//! One pass over a word, with an explicit stack of what is open.

use std::{borrow::Cow, collections::BTreeSet, ops::Range};

use super::{ExpandError, Expanded, Lookup, pattern};

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

    /// `$name`, `${name}` or the beginning of `${name…`.
    fn dollar(&mut self) -> Result<(), ExpandError> {
        let (from, start) = (self.position, self.out.len());
        self.bump();
        if self.peek() != Some('{') {
            match self.name() {
                "" => self.out.push('$'),
                name => self.put_variable(name, from)?,
            }
            self.finish_piece(start, true);
            return Ok(());
        }
        self.bump();
        match self.peek() {
            None => return Err(ExpandError::UnclosedBrace('}')),
            Some('{' | '}' | ':') => return Err(ExpandError::MissingName),
            Some(_) => {}
        }
        let name = self.name();
        match self.bump() {
            None => Err(ExpandError::UnclosedBrace('}')),
            Some('}') => {
                self.put_variable(name, from)?;
                self.finish_piece(start, true);
                Ok(())
            }
            Some(modifier) => self.open_brace(name, modifier, from),
        }
    }

    fn open_brace(&mut self, name: &'a str, mut modifier: char, from: usize) -> Result<(), ExpandError> {
        let (start, keep_escapes) = (self.out.len(), self.options.keep_escapes);
        let or_empty = modifier == ':';
        if or_empty {
            modifier = self.bump().ok_or(ExpandError::UnclosedBrace('}'))?;
        }
        let known = matches!(modifier, '-' | '+' | '?' | '#' | '%') || (modifier == '/' && !or_empty);
        // Where variables stay as written, so do modifiers that are unknown after a colon.
        let kept = or_empty && self.options.variables.is_none();
        if !(known || kept) {
            let colon = if or_empty { ":" } else { "" };
            return Err(ExpandError::UnsupportedModifier(
                format!("{colon}{modifier}"),
                name.to_owned(),
            ));
        }
        if modifier == '/' && !or_empty {
            let all = self.peek() == Some('/');
            if all {
                self.bump();
            }
            self.options.keep_escapes = true;
            self.frames.push(Frame::Pattern {
                name,
                all,
                start,
                keep_escapes,
            });
        } else {
            self.options.keep_escapes = matches!(modifier, '#' | '%');
            self.frames.push(Frame::Word {
                name,
                modifier,
                or_empty,
                start,
                keep_escapes,
            });
        }
        if self.options.variables.is_none() {
            // What stays as written keeps its escapes if its surroundings do.
            self.options.keep_escapes = keep_escapes;
            self.out
                .push_str(self.input.get(from..self.position).unwrap_or_default());
        }
        Ok(())
    }

    /// Reads a name: letters, digits and underscores, or only digits, or one of the shell's special parameters.
    fn name(&mut self) -> &'a str {
        let rest = self.input.get(self.position..).unwrap_or_default();
        let length = match rest.chars().next() {
            Some(c) if c.is_numeric() => rest.find(|c: char| !c.is_numeric()).unwrap_or(rest.len()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len()),
        };
        self.position += length;
        rest.get(..length).unwrap_or_default()
    }

    /// Puts in the value of a variable, or its mention where variables stay as written.
    fn put_variable(&mut self, name: &'a str, from: usize) -> Result<(), ExpandError> {
        if self.options.variables.is_none() {
            self.out
                .push_str(self.input.get(from..self.position).unwrap_or_default());
            return Ok(());
        }
        match self.value(name, true) {
            Some(value) => self.put(&value),
            None => Ok(()),
        }
    }

    fn value(&mut self, name: &'a str, must_be_set: bool) -> Option<Cow<'v, str>> {
        let value = self.options.variables.and_then(|lookup| lookup(name));
        if value.is_some() {
            self.used.insert(name);
        } else if must_be_set {
            self.undefined.insert(name);
        }
        value
    }

    fn put(&mut self, value: &str) -> Result<(), ExpandError> {
        self.work = self.work.checked_sub(value.len()).ok_or(ExpandError::TooLarge)?;
        if self.out.len() + value.len() > LONGEST {
            return Err(ExpandError::TooLarge);
        }
        self.out.push_str(value);
        Ok(())
    }

    /// Replaces what the frame that closes has put out.
    fn replace(&mut self, start: usize, value: &str) -> Result<(), ExpandError> {
        self.out.truncate(start);
        self.put(value)
    }

    fn close_word(&mut self) -> Result<(), ExpandError> {
        let Some(Frame::Word {
            name,
            modifier,
            or_empty,
            start,
            keep_escapes,
        }) = self.frames.pop()
        else {
            return Ok(());
        };
        self.options.keep_escapes = keep_escapes;
        self.bump();
        if self.options.variables.is_none() {
            self.out.push('}');
        } else if matches!(modifier, '#' | '%') {
            let value = self.value(name, true).unwrap_or_default();
            let word = self.out.split_off(start);
            let stripped = pattern::strip(&value, modifier, &word, &mut self.work)?;
            self.put(stripped)?;
        } else {
            let value = self.value(name, false);
            let missing = value.as_ref().is_none_or(|value| or_empty && value.is_empty());
            match (modifier, missing) {
                ('-', true) | ('+', false) => {}
                ('+', true) => self.out.truncate(start),
                ('?', true) => return Err(self.required(name, start, value.is_some())),
                _ => self.replace(start, &value.unwrap_or_default())?,
            }
        }
        self.finish_piece(start, true);
        Ok(())
    }

    fn required(&self, name: &str, start: usize, is_set: bool) -> ExpandError {
        let message = match self.out.get(start..) {
            Some(word) if !word.is_empty() => word,
            _ if is_set => "must not be empty",
            _ => "must be set",
        };
        ExpandError::Required {
            name: name.to_owned(),
            message: message.to_owned(),
        }
    }

    fn close_pattern(&mut self) -> Result<(), ExpandError> {
        let Some(Frame::Pattern {
            name,
            all,
            start,
            keep_escapes,
        }) = self.frames.pop()
        else {
            return Ok(());
        };
        self.bump();
        let middle = self.out.len();
        self.frames.push(Frame::Replacement {
            name,
            all,
            start,
            middle,
            keep_escapes,
        });
        if self.options.variables.is_none() {
            self.out.push('/');
        }
        Ok(())
    }

    fn close_replacement(&mut self) -> Result<(), ExpandError> {
        let Some(Frame::Replacement {
            name,
            all,
            start,
            middle,
            keep_escapes,
        }) = self.frames.pop()
        else {
            return Ok(());
        };
        self.options.keep_escapes = keep_escapes;
        self.bump();
        if self.options.variables.is_none() {
            self.out.push('}');
        } else {
            let value = self.value(name, true).unwrap_or_default();
            let replacement = self.out.split_off(middle);
            let pattern = self.out.split_off(start);
            let replaced = pattern::replace(&value, &pattern, &replacement, all, &mut self.work)?;
            self.put(&replaced)?;
        }
        self.finish_piece(start, true);
        Ok(())
    }
}
