//! Patterns for sources of `COPY` and `ADD`, with the rules of Go's `filepath.Match`: `*` and `?` stop at slashes, sets
//! are `[a-z]` and `[^a-z]`, `\` makes the next character ordinary.

use std::ffi::OsStr;

use super::glob::{self, Class, Token};

/// A pattern that cannot be made sense of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed pattern {0:?}: a [ without its ], or a \\ at the end")]
pub struct BadPattern(pub String);

/// A pattern that whole paths are matched against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let mut tokens = Vec::with_capacity(text.len());
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let token = match c {
                '*' => Some(Token::Star),
                '?' => Some(Token::Any),
                '[' => Class::parse(&mut chars).map(Token::Class),
                '\\' => chars.next().map(Token::Char),
                c => Some(Token::Char(c)),
            };
            tokens.push(token.ok_or_else(|| BadPattern(text.to_owned()))?);
        }
        Ok(Pattern { tokens })
    }

    /// Whether a path matches as a whole.
    pub fn matches(&self, path: impl AsRef<OsStr>) -> bool {
        glob::matches(&self.tokens, path.as_ref().as_encoded_bytes())
    }

    /// The directories at the front that have no wildcards in them: where matches can be looked for. Without a slash at
    /// the end; empty if the first name has a wildcard.
    pub fn directory(&self) -> String {
        let fixed = self.tokens.iter().map_while(|token| match token {
            Token::Char(c) => Some(*c),
            _ => None,
        });
        let fixed: String = fixed.collect();
        fixed
            .rfind('/')
            .and_then(|slash| fixed.get(..slash))
            .unwrap_or_default()
            .to_owned()
    }
}

/// Whether a source is a pattern: it has a `*`, `?` or `[` that no backslash stands before.
pub fn has_wildcards(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn matching() {
        for (pattern, path, want) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            (r"a\*b", "a*b", true),
            (r"a\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            (r"[\]a]", "]", true),
            (r"[\-x]", "-", true),
            ("[x\\-]", "z", false),
            ("*x", "xxx", true),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            (".[a-z]*", ".hidden", true),
            ("*", ".hidden", true),
            ("arr[[]0].txt", "arr[0].txt", true),
            ("d*/x", "d1/x", true),
            ("**", "a/b", false),
            ("é*", "été", true),
        ] {
            assert_eq!(
                Pattern::parse(pattern).expect("valid").matches(path),
                want,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn malformed() {
        for pattern in [
            "[", "[]a]", "[-]", "[x-]", "[-x]", r"[\", "[a-b-c]", "[a", "a[", r"a\", "[^", "[^]", "a[]",
        ] {
            assert_eq!(Pattern::parse(pattern), Err(BadPattern(pattern.into())));
        }
    }

    #[test]
    fn names_that_are_no_text() {
        let name = OsStr::from_bytes(b"a\xffb");
        for (pattern, want) in [
            ("a?b", true),
            ("a*", true),
            ("a[^x]b", true),
            ("a[a-\u{10ffff}]b", false),
            ("ab", false),
        ] {
            assert_eq!(
                Pattern::parse(pattern).expect("valid").matches(name),
                want,
                "{pattern}"
            );
        }
    }

    #[test]
    fn wildcards() {
        for (text, want) in [
            ("a", false),
            ("a*", true),
            ("a?", true),
            ("[a]", true),
            (r"a\*", false),
            (r"\\*", true),
        ] {
            assert_eq!(has_wildcards(text), want, "{text}");
        }
    }

    #[test]
    fn directories() {
        for (pattern, want) in [
            ("a/b/c*", "a/b"),
            ("*", ""),
            ("a*/b", ""),
            (r"a\*/b?", "a*"),
            ("a/b", "a"),
            ("/x/*", "/x"),
        ] {
            assert_eq!(
                Pattern::parse(pattern).expect("valid").directory(),
                want,
                "{pattern}"
            );
        }
    }

    #[test]
    fn hard_patterns_are_no_trouble() {
        let pattern = Pattern::parse(&"*a".repeat(200)).expect("valid");
        assert!(!pattern.matches("a".repeat(5000) + "b"));
    }
}
