//! Physical lines to logical ones: comments, continuations, and the way back from a joined text to the source.

use std::borrow::Cow;

use super::{Span, Word};

/// A physical line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'s> {
    /// With its line end.
    pub text: &'s str,
    /// Where it begins in the source.
    pub start: usize,
    /// From 1.
    pub number: usize,
}

impl<'s> Line<'s> {
    /// Without its line end; CRLF and stray carriage returns go, too.
    pub fn content(&self) -> &'s str {
        self.text.trim_end_matches(['\r', '\n'])
    }
}

/// Walks the physical lines of a source.
#[derive(Clone, Debug)]
pub(super) struct Lines<'s> {
    source: &'s str,
    position: usize,
    number: usize,
}

impl<'s> Lines<'s> {
    /// A byte order mark is passed over.
    pub fn new(source: &'s str) -> Self {
        let position = if source.starts_with('\u{feff}') {
            '\u{feff}'.len_utf8()
        } else {
            0
        };
        Lines {
            source,
            position,
            number: 0,
        }
    }

    pub fn peek(&self) -> Option<Line<'s>> {
        self.clone().next()
    }
}

impl<'s> Iterator for Lines<'s> {
    type Item = Line<'s>;

    fn next(&mut self) -> Option<Line<'s>> {
        let rest = self.source.get(self.position..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |at| at + 1);
        let start = self.position;
        self.position += length;
        self.number += 1;
        Some(Line {
            text: rest.get(..length)?,
            start,
            number: self.number,
        })
    }
}

/// The text of an instruction, continuation lines joined, and where its bytes come from.
#[derive(Clone, Debug)]
pub(super) struct Logical<'s> {
    pub text: Cow<'s, str>,
    /// Where the text begins in the source.
    first: usize,
    /// For what was joined on: offset in the text, offset in the source. Ascending.
    joined: Vec<(usize, usize)>,
    /// Number of the first line, from 1.
    pub line: usize,
    /// Blank lines that vanished.
    pub empty: Vec<Span>,
}

impl<'s> Logical<'s> {
    /// Reads on while `line` and what follows it continue. Comment lines and blank lines in between vanish.
    pub fn read(line: Line<'s>, lines: &mut Lines<'s>, escape: char) -> Self {
        let content = line.content();
        let trimmed = content.trim_start();
        let first = line.start + (content.len() - trimmed.len());
        let (text, mut continues) = strip_continuation(trimmed, escape);
        let mut logical = Logical {
            text: Cow::Borrowed(text),
            first,
            joined: Vec::new(),
            line: line.number,
            empty: Vec::new(),
        };
        while continues {
            let Some(next) = lines.next() else { break };
            let content = next.content();
            if is_comment(content) {
                continue;
            }
            if content.trim_start().is_empty() {
                logical.empty.push(next.start..next.start + content.len());
                continue;
            }
            let (text, more) = strip_continuation(content, escape);
            logical.joined.push((logical.text.len(), next.start));
            logical.text.to_mut().push_str(text);
            continues = more;
        }
        logical
    }

    /// Where a byte of the text stands in the source.
    fn source_offset(&self, offset: usize) -> usize {
        let after = self.joined.partition_point(|(start, _)| *start <= offset);
        match after.checked_sub(1).and_then(|piece| self.joined.get(piece)) {
            Some((start, source)) => source + (offset - start),
            None => self.first + offset,
        }
    }

    /// Where a range of the text stands in the source.
    pub fn span(&self, range: &Span) -> Span {
        let start = self.source_offset(range.start);
        if range.is_empty() {
            return start..start;
        }
        start..self.source_offset(range.end - 1) + 1
    }

    /// The text of a range.
    pub fn slice(&self, range: &Span) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// A range as a word.
    pub fn word(&self, range: &Span) -> Word {
        Word {
            text: self.slice(range).to_owned(),
            span: self.span(range),
        }
    }

    /// All of it.
    pub fn range(&self) -> Span {
        0..self.text.len()
    }
}

/// Whether a line is a comment; blanks may come before the `#`.
pub(super) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Takes a continuation character off the end of a line and tells whether there was one. Blanks may follow it; two of
/// them do not continue the line.
pub(super) fn strip_continuation(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, true),
        _ => (line, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Logical<'_> {
        let mut lines = Lines::new(source);
        let line = lines.next().expect("a line");
        Logical::read(line, &mut lines, '\\')
    }

    #[test]
    fn continuations() {
        for (source, want) in [
            ("a", "a"),
            ("  a \\\n b", "a  b"),
            ("a \\  \t\n b\nc", "a  b"),
            ("a \\\r\n b\r\n", "a  b"),
            ("a \\\n# no\n  # no\n\n  \nb\nc", "a b"),
            ("a \\\\\nb", "a \\\\"),
            ("a \\\\\\\nb", "a \\\\\\"),
            ("\\\na", "a"),
            ("a\\\n\\\nb", "ab"),
            ("a\\", "a"),
            ("a \\b", "a \\b"),
        ] {
            assert_eq!(read(source).text, want, "{source:?}");
        }
    }

    #[test]
    fn empty_lines_are_reported() {
        let source = "a\\\n\n  \nb";
        let logical = read(source);
        assert_eq!(logical.text, "ab");
        assert_eq!(logical.empty, [3..3, 4..6]);
    }

    #[test]
    fn spans_point_into_the_source() {
        let source = "\u{feff}  one tw\\\n# c\no three \\\n four";
        let logical = read(source);
        assert_eq!(logical.text, "one two three  four");
        for (word, want) in [
            ("one", "one"),
            ("two", "tw\\\n# c\no"),
            ("three", "three"),
            ("four", "four"),
        ] {
            let start = logical.text.find(word).expect("in the text");
            assert_eq!(&source[logical.span(&(start..start + word.len()))], want);
        }
        assert_eq!(logical.span(&(3..3)), 8..8);
    }

    #[test]
    fn comments() {
        assert!(is_comment("# a") && is_comment(" \t#") && !is_comment("a # b") && !is_comment(""));
    }
}
