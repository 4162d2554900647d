//! `ENV`, `LABEL` and `ARG`.

use super::{
    super::{Diagnostic, Span, Word, words},
    Parser,
};

impl Parser<'_, '_> {
    /// `KEY=value …`, or the old form `KEY rest of the line`.
    pub(super) fn pairs(&self) -> Result<Vec<(Word, Word)>, Diagnostic> {
        let (line, name) = (self.line, &self.head.name);
        let spans = words::split_quoted(&line.text, &self.head.arguments, self.escape);
        let Some(first) = spans.first() else {
            return Err(self.error(format!("{name} needs at least one argument")));
        };
        if !line.slice(first).contains('=') {
            let (key, value) = words::split_first(&line.text, &self.head.arguments);
            if value.is_empty() {
                let help = format!("write {name} {}=value", line.slice(&key));
                return Err(self
                    .error(format!("{name} needs a name and a value"))
                    .with_help(help));
            }
            return Ok(vec![(line.word(&key), line.word(&value))]);
        }
        spans.iter().map(|span| self.pair(span)).collect()
    }

    fn pair(&self, span: &Span) -> Result<(Word, Word), Diagnostic> {
        let text = self.line.slice(span);
        match text.find('=') {
            None => {
                let message = format!("{text:?} has no =, {} wants name=value", self.head.name);
                Err(
                    Diagnostic::error("InvalidInstruction", message, self.line.span(span))
                        .with_help("put quotes around values that hold blanks"),
                )
            }
            Some(0) => Err(self.blank_name(span)),
            Some(at) => {
                let at = span.start + at;
                Ok((
                    self.line.word(&(span.start..at)),
                    self.line.word(&(at + 1..span.end)),
                ))
            }
        }
    }

    fn blank_name(&self, span: &Span) -> Diagnostic {
        let message = format!("{} names must not be empty", self.head.name);
        Diagnostic::error("InvalidInstruction", message, self.line.span(span))
    }

    pub(super) fn arg(&self) -> Result<Vec<(Word, Option<Word>)>, Diagnostic> {
        let spans = words::split_quoted(&self.line.text, &self.head.arguments, self.escape);
        if spans.is_empty() {
            return Err(self.error("ARG needs at least one argument"));
        }
        let arg = |span: &Span| match self.line.slice(span).find('=') {
            None => Ok((self.line.word(span), None)),
            Some(_) => self.pair(span).map(|(name, value)| (name, Some(value))),
        };
        spans.iter().map(arg).collect()
    }
}
