//! Inline documents: where they are announced and what they hold.

use super::{
    Diagnostic, Heredoc, Span, expand,
    lines::{Lines, Logical},
};

/// What announces an inline document: `<<EOF`, `3<<-"EOF"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// The delimiter, quotes removed.
    pub name: String,
    expand: bool,
    strip_tabs: bool,
    fd: Option<u32>,
}

impl Marker {
    /// Reads a word as a marker. An error means that the delimiter cannot be made sense of.
    pub fn parse(word: &str) -> Result<Option<Self>, expand::ExpandError> {
        let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
        let (fd, rest) = word.split_at(digits);
        let Some(rest) = rest.strip_prefix("<<") else {
            return Ok(None);
        };
        let (strip_tabs, delimiter) = match rest.strip_prefix('-') {
            Some(delimiter) => (true, delimiter),
            None => (false, rest),
        };
        if delimiter.is_empty() || delimiter.contains('<') {
            return Ok(None);
        }
        let Some((name, quoted)) = expand::unquote(delimiter)? else {
            return Ok(None);
        };
        Ok(Some(Marker {
            name,
            expand: !quoted,
            strip_tabs,
            fd: fd.parse().ok(),
        }))
    }

    /// Reads the document up to its delimiter. Line ends are kept as they are.
    fn read(self, lines: &mut Lines<'_>, span: Span) -> Result<Heredoc, Diagnostic> {
        let mut raw = String::new();
        for line in lines.by_ref() {
            let content = line.content();
            let candidate = if self.strip_tabs {
                content.trim_start_matches('\t')
            } else {
                content
            };
            if candidate == self.name {
                let content = if self.strip_tabs {
                    strip_tabs(&raw)
                } else {
                    raw.clone()
                };
                let Marker {
                    name,
                    expand,
                    strip_tabs,
                    fd,
                } = self;
                let end = line.start + line.content().len();
                return Ok(Heredoc {
                    name,
                    content,
                    raw,
                    expand,
                    strip_tabs,
                    fd,
                    span: span.start..end,
                });
            }
            raw.push_str(line.text);
        }
        let message = format!("the heredoc {} is not closed", self.name);
        let help = format!("end it with a line that holds {} and nothing else", self.name);
        Err(Diagnostic::error("UnterminatedHeredoc", message, span).with_help(help))
    }
}

/// Takes the leading tabs off every line.
fn strip_tabs(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| line.trim_start_matches('\t'))
        .collect()
}

/// Reads the documents that part of a line announces, in order. Markers inside quotes announce nothing, and neither does
/// a part with a quote left open: the shell will complain about that one.
pub(super) fn read(
    line: &Logical<'_>,
    range: &Span,
    lines: &mut Lines<'_>,
) -> Result<Vec<Heredoc>, Diagnostic> {
    let mut heredocs = Vec::new();
    for word in expand::scan_words(line.slice(range)).unwrap_or_default() {
        let word = range.start + word.start..range.start + word.end;
        let text = line.slice(&word);
        let span = line.span(&word);
        let marker = Marker::parse(text)
            .map_err(|error| Diagnostic::error("InvalidHeredoc", format!("{text}: {error}"), span.clone()))?;
        if let Some(marker) = marker {
            heredocs.push(marker.read(lines, span)?);
        }
    }
    Ok(heredocs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(source: &str) -> Result<Vec<Heredoc>, Diagnostic> {
        let mut lines = Lines::new(source);
        let first = lines.next().expect("a line");
        let logical = Logical::read(first, &mut lines, '\\');
        read(&logical, &logical.range(), &mut lines)
    }

    #[test]
    fn markers() {
        let marker = |name: &str, expand, strip_tabs, fd| {
            Some(Marker {
                name: name.into(),
                expand,
                strip_tabs,
                fd,
            })
        };
        for (word, want) in [
            ("<<EOF", marker("EOF", true, false, None)),
            ("<<-EOF", marker("EOF", true, true, None)),
            ("3<<EOF", marker("EOF", true, false, Some(3))),
            ("<<'EOF'", marker("EOF", false, false, None)),
            ("<<-\"E F\"", marker("E F", false, true, None)),
            ("<<E'O'F", marker("EOF", false, false, None)),
            ("<<EOF;", marker("EOF;", true, false, None)),
            ("<<a.txt", marker("a.txt", true, false, None)),
            ("<<", None),
            ("<<-", None),
            ("<<<EOF", None),
            ("x<<EOF", None),
            ("<EOF", None),
            ("<<A<<B", None),
            ("", None),
        ] {
            assert_eq!(Marker::parse(word).expect("valid"), want, "{word}");
        }
        assert!(Marker::parse("<<${}").is_err());
    }

    #[test]
    fn bodies() {
        let source = "RUN cat <<A <<-B 3<<'C'\r\na $x\r\nA\r\n\t\tb\n\t\n\tB\n\tc\nC\nRUN next";
        let docs = parse(source).expect("valid");
        let got: Vec<_> = docs
            .iter()
            .map(|doc| (doc.name.as_str(), doc.content.as_str(), doc.raw.as_str()))
            .collect();
        assert_eq!(
            got,
            [
                ("A", "a $x\r\n", "a $x\r\n"),
                ("B", "b\n\n", "\t\tb\n\t\n"),
                ("C", "\tc\n", "\tc\n")
            ]
        );
        assert_eq!(&source[docs[1].span.clone()][..4], "<<-B");
        assert!(source[docs[1].span.clone()].ends_with("\n\tB"));
    }

    #[test]
    fn what_is_no_heredoc() {
        for line in [
            "echo \"<<EOF\"",
            "echo 'a <<EOF b'",
            "echo $((1<<2))",
            "cat <<<word",
            "it's <<EOF",
            "a<<b",
        ] {
            assert_eq!(parse(line), Ok(vec![]), "{line}");
        }
    }

    #[test]
    fn an_open_end_is_an_error() {
        let error = parse("cat <<EOF\nEOF2\n EOF\n").expect_err("not closed");
        assert_eq!((error.name, error.span), ("UnterminatedHeredoc", 4..9));
    }
}
