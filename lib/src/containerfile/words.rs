//! Splitting the text of an instruction: at blanks, with regard to quotes, or as a JSON array.

use super::Span;

/// What separates plain words. Other white space is part of a word.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\x0b' | '\x0c')
}

/// A range without the white space around it.
pub(super) fn trim(text: &str, range: &Span) -> Span {
    let slice = text.get(range.clone()).unwrap_or_default();
    let start = range.start + (slice.len() - slice.trim_start().len());
    start..start + slice.trim().len()
}

/// The first blank-separated word, and what follows it, both without white space around.
pub(super) fn split_first(text: &str, range: &Span) -> (Span, Span) {
    let range = trim(text, range);
    let slice = text.get(range.clone()).unwrap_or_default();
    let end = range.start + slice.find(is_blank).unwrap_or(slice.len());
    (range.start..end, trim(text, &(end..range.end)))
}

/// Words separated by blanks. Quotes and escapes mean nothing here.
pub(super) fn split_blanks(text: &str, range: &Span) -> Vec<Span> {
    let slice = text.get(range.clone()).unwrap_or_default();
    let mut words = Vec::new();
    let mut position = range.start;
    for piece in slice.split(is_blank) {
        if !piece.is_empty() {
            words.push(position..position + piece.len());
        }
        position += piece.len() + 1;
    }
    words
}

/// Words separated by white space that is neither quoted nor escaped. Quotes and escapes stay in the words, but for an
/// escape character at the very end.
pub(super) fn split_quoted(text: &str, range: &Span, escape: char) -> Vec<Span> {
    let slice = text.get(range.clone()).unwrap_or_default();
    let mut words = Vec::new();
    let mut start = None;
    let mut end = 0;
    let mut quote = None;
    let mut chars = slice.char_indices();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(start.take().map(|start| start..end));
            continue;
        }
        if c == escape && quote != Some('\'') {
            let Some((at_next, next)) = chars.next() else {
                break;
            };
            start.get_or_insert(range.start + at);
            end = range.start + at_next + next.len_utf8();
            continue;
        }
        match quote {
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
        start.get_or_insert(range.start + at);
        end = range.start + at + c.len_utf8();
    }
    words.extend(start.map(|start| start..end));
    words
}

/// What a text is that may be a JSON array.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Json {
    /// An array of strings and nothing else, with where each stands, quotes included.
    Strings(Vec<(String, Span)>),
    /// An array that holds something other than strings.
    Mixed,
    /// No JSON array: the text is for a shell, or holds blank-separated words.
    No,
}

/// Reads a range as a JSON array.
pub(super) fn parse_json(text: &str, range: &Span) -> Json {
    let range = trim(text, range);
    let slice = text.get(range.clone()).unwrap_or_default();
    if !slice.starts_with('[') {
        return Json::No;
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(slice) else {
        return Json::No;
    };
    let mut places = json_strings(slice, range.start).into_iter();
    let mut strings = Vec::with_capacity(values.len());
    for value in values {
        match (value, places.next()) {
            (serde_json::Value::String(string), Some(span)) => strings.push((string, span)),
            _ => return Json::Mixed,
        }
    }
    Json::Strings(strings)
}

/// Where the strings of a valid JSON array stand.
fn json_strings(array: &str, offset: usize) -> Vec<Span> {
    let mut strings = Vec::new();
    let mut open = None;
    let mut escaped = false;
    for (at, byte) in array.bytes().enumerate() {
        match (open, byte) {
            _ if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (None, b'"') => open = Some(at),
            (Some(start), b'"') => {
                strings.push(offset + start..offset + at + 1);
                open = None;
            }
            _ => {}
        }
    }
    strings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'t>(text: &'t str, spans: &[Span]) -> Vec<&'t str> {
        spans.iter().map(|span| &text[span.clone()]).collect()
    }

    #[test]
    fn first_words() {
        for (text, first, rest) in [
            ("RUN  a b ", "RUN", "a b"),
            (" RUN", "RUN", ""),
            ("", "", ""),
            ("\tRUN\x0bx", "RUN", "x"),
        ] {
            let (word, after) = split_first(text, &(0..text.len()));
            assert_eq!((&text[word], &text[after]), (first, rest), "{text:?}");
        }
    }

    #[test]
    fn blank_words() {
        for (text, want) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("a  b\t\x0bc", &["a", "b", "c"]),
            ("\"a b\" 'c", &["\"a", "b\"", "'c"]),
            ("a\u{a0}b", &["a\u{a0}b"]),
        ] {
            assert_eq!(
                texts(text, &split_blanks(text, &(0..text.len()))),
                want,
                "{text:?}"
            );
        }
    }

    #[test]
    fn quoted_words() {
        for (text, want) in [
            ("", &[][..]),
            ("a=1 b=2", &["a=1", "b=2"]),
            ("a=\"x y\" b='p q'", &["a=\"x y\"", "b='p q'"]),
            (r"a=x\ y b=\'  c", &[r"a=x\ y", r"b=\'", "c"]),
            (r#"a="x \" y" b"#, &[r#"a="x \" y""#, "b"]),
            (r"a='x\' b", &[r"a='x\'", "b"]),
            ("a=\"open end ", &["a=\"open end "]),
            (r"a=b\", &["a=b"]),
            (r"\", &[]),
            ("\"\" x", &["\"\"", "x"]),
        ] {
            assert_eq!(
                texts(text, &split_quoted(text, &(0..text.len()), '\\')),
                want,
                "{text:?}"
            );
        }
        let text = r"a=c:\ b=x` y";
        assert_eq!(
            texts(text, &split_quoted(text, &(0..text.len()), '`')),
            [r"a=c:\", "b=x` y"]
        );
    }

    #[test]
    fn json() {
        let strings = |text: &str| match parse_json(text, &(0..text.len())) {
            Json::Strings(strings) => strings,
            other => panic!("{text:?}: {other:?}"),
        };
        assert_eq!(strings("[]"), []);
        assert_eq!(
            strings(r#" ["a", "b\"\\" , "ü\u00fc" ] "#),
            [("a".into(), 2..5), ("b\"\\".into(), 7..14), ("üü".into(), 17..27)]
        );
        for text in [
            "",
            "a",
            "['a']",
            "[\"a\"] # c",
            "[\"a\",]",
            "[\"a\"",
            "[a]",
            "[ -f x ]",
        ] {
            assert_eq!(parse_json(text, &(0..text.len())), Json::No, "{text:?}");
        }
        for text in ["[1]", "[\"a\", null]", "[[\"a\"]]", "[{\"a\":\"b\"}]"] {
            assert_eq!(parse_json(text, &(0..text.len())), Json::Mixed, "{text:?}");
        }
    }
}
