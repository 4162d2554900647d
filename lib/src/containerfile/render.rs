//! Findings as text: the place, the line with a gutter, carets, the help.

use std::fmt::Write;

use super::Diagnostic;

/// Longest part of a line that is shown. Containerfiles may hold lines of megabytes.
const WIDTH: usize = 160;

/// A position for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// The line and column of a byte offset. An offset past the end is taken as the end.
pub fn position(source: &str, offset: usize) -> Position {
    let before = source.get(..floor(source, offset)).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Position {
        line: memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1,
        column: before
            .get(line_start..)
            .unwrap_or_default()
            .trim_start_matches('\u{feff}')
            .chars()
            .count()
            + 1,
    }
}

/// The nearest character boundary at or before an offset.
fn floor(source: &str, offset: usize) -> usize {
    let mut offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

pub(super) fn render(diagnostic: &Diagnostic, file: &str, source: &str) -> String {
    let start = floor(source, diagnostic.span.start);
    let end = floor(source, diagnostic.span.end.max(start));
    let at = position(source, start);
    let gutter = " ".repeat(at.line.to_string().len());
    let mut out = String::new();
    let severity = diagnostic.severity;
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{severity}[{}]: {}", diagnostic.name, diagnostic.message);
    let _ = writeln!(out, "{gutter}--> {file}:{}:{}", at.line, at.column);
    let (line, carets) = snippet(source, start, end);
    let _ = writeln!(out, "{gutter} |");
    let _ = writeln!(out, "{} | {line}", at.line);
    let _ = writeln!(out, "{gutter} | {carets}");
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "{gutter} = help: {help}");
    }
    out
}

/// The line that holds the start of a span, and carets below the part of the span on that line.
fn snippet(source: &str, start: usize, end: usize) -> (String, String) {
    let line_start = source
        .get(..start)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |at| at + 1);
    let rest = source.get(line_start..).unwrap_or_default();
    let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
    let (from, to) = (start - line_start, (end - line_start).min(line.len()));
    let before: Vec<char> = line
        .get(..from)
        .unwrap_or_default()
        .chars()
        .filter(|c| *c != '\u{feff}')
        .collect();
    let marked: Vec<char> = line.get(from..to).unwrap_or_default().chars().collect();
    let after = line.get(to.max(from)..).unwrap_or_default().chars();

    // Of a long line, show the neighbourhood of the span.
    let cut = before.len().saturating_sub(WIDTH / 2);
    let lead = if cut > 0 { "…" } else { "" };
    let shown = before.iter().skip(cut).chain(&marked).copied().chain(after);
    let mut text: String = lead.chars().chain(shown.take(WIDTH + 1)).map(printable).collect();
    if text.chars().count() > WIDTH {
        text = text.chars().take(WIDTH).chain(['…']).collect();
    }
    // Tabs stay tabs, so that the carets stand below what they mean.
    let indent = lead.chars().map(|_| ' ').chain(
        before
            .iter()
            .skip(cut)
            .map(|c| if *c == '\t' { '\t' } else { ' ' }),
    );
    let carets = "^".repeat(marked.len().clamp(1, WIDTH));
    (text, indent.collect::<String>() + &carets)
}

/// Control characters would garble a terminal.
fn printable(c: char) -> char {
    if c.is_control() && c != '\t' {
        '\u{fffd}'
    } else {
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        let source = "\u{feff}ab\nü\tc\n";
        for (offset, line, column) in [
            (0, 1, 1),
            (3, 1, 1),
            (4, 1, 2),
            (6, 2, 1),
            (7, 2, 1),
            (8, 2, 2),
            (10, 2, 4),
            (99, 3, 1),
        ] {
            assert_eq!(position(source, offset), Position { line, column }, "{offset}");
        }
    }

    #[test]
    fn snippets() {
        let source = "FROM a\n\tCOPPY x \\\n  y\n";
        let found = Diagnostic::error("UnknownInstruction", "unknown instruction COPPY", 8..13)
            .with_help("did you mean COPY?");
        let want = "\
error[UnknownInstruction]: unknown instruction COPPY
 --> Containerfile:2:2
  |
2 | \tCOPPY x \\
  | \t^^^^^
  = help: did you mean COPY?
";
        assert_eq!(found.render("Containerfile", source), want);
    }

    #[test]
    fn a_span_over_several_lines_is_marked_on_its_first() {
        let found = Diagnostic::warning("Name", "what", 2..9);
        let want = "warning[Name]: what\n --> f:1:3\n  |\n1 | ab cd\n  |   ^^^\n";
        assert_eq!(found.render("f", "ab cd\nefgh\n"), want);
    }

    #[test]
    fn long_lines_are_cut() {
        let source = format!("{}here{}", "a".repeat(100_000), "b".repeat(100_000));
        let rendered = Diagnostic::error("Name", "what", 100_000..100_004).render("f", &source);
        assert!(rendered.len() < 1000, "{}", rendered.len());
        assert!(rendered.contains("aahereb") && rendered.contains(" ^^^^\n"));
    }

    #[test]
    fn any_span_renders() {
        let source = "ü\u{feff}\r\n\u{7}x";
        for start in 0..10 {
            for end in 0..12 {
                let span = std::ops::Range { start, end };
                assert!(
                    !Diagnostic::error("N", "m", span)
                        .render("f", source)
                        .contains('\u{7}')
                );
            }
        }
    }
}
