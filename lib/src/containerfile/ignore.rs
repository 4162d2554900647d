//! Ignore files, and `--exclude`: which paths are left out.
//!
//! Patterns are tried in order and the last one that matches decides; `!` in front of one takes paths back in. A pattern
//! that matches a directory holds for what is below, too. `**` stands for any number of directories.

use std::{ffi::OsStr, path::Path};

use super::{
    glob::{self, Class, Token},
    pattern::{BadPattern, Pattern},
};

/// Why an ignore file or a list of patterns cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IgnoreError {
    /// A pattern that cannot be made sense of.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// A lone `!`.
    #[error("a ! must be followed by a pattern")]
    LoneException,
}

/// A list of patterns.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    matcher: Matcher,
    /// Whether there was a `!`.
    exception: bool,
    /// What every match begins with.
    literal: String,
}

/// Most patterns need no wildcards to be followed.
#[derive(Clone, Debug)]
enum Matcher {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Glob(Vec<Token>),
}

/// What is known about a path, for the paths below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the path itself is left out.
    pub ignored: bool,
    /// Which rules have matched it or something above it.
    matched: Vec<bool>,
}

impl Ignore {
    /// Reads an ignore file. Lines that begin with `#` are comments; blanks around patterns, and a slash at the front,
    /// do not count.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
        let patterns = lines
            .filter(|line| !line.starts_with('#'))
            .map(str::trim)
            .filter(|line| !line.is_empty());
        let anchored = patterns.map(|pattern| match pattern.strip_prefix('!') {
            Some(exception) => format!("!{}", relative(exception.trim())),
            None => relative(pattern),
        });
        Self::compile(anchored)
    }

    /// Takes patterns as `--exclude` gives them: like those of a file, but a slash at the front counts.
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, IgnoreError> {
        Self::compile(patterns.into_iter().map(str::to_owned))
    }

    fn compile(patterns: impl Iterator<Item = String>) -> Result<Self, IgnoreError> {
        let trimmed = patterns
            .map(|pattern| pattern.trim().to_owned())
            .filter(|pattern| !pattern.is_empty());
        Ok(Ignore {
            rules: trimmed
                .map(|pattern| Rule::compile(&pattern))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether there are no patterns at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether any pattern has a `!`.
    pub fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.exception)
    }

    /// Judges a path, given the verdict on the directory it is in; none at the top. Paths are relative to the top.
    ///
    /// A rule that had nothing to change when the directory was judged is not tried on the directory again, so a file
    /// may be treated differently from what its path alone would suggest. The reference builder does the same.
    pub fn check(&self, path: impl AsRef<Path>, parent: Option<&Verdict>) -> Verdict {
        let path = path.as_ref().as_os_str();
        let mut ignored = false;
        let mut matched = vec![false; self.rules.len()];
        for (index, (rule, matched)) in self.rules.iter().zip(&mut matched).enumerate() {
            let above = parent
                .and_then(|parent| parent.matched.get(index))
                .copied()
                .unwrap_or_default();
            *matched = above || (rule.exception == ignored && rule.matches(path));
            if *matched {
                ignored = !rule.exception;
            }
        }
        Verdict { ignored, matched }
    }

    /// Judges a path from the top down: whether it is left out.
    pub fn matches(&self, path: impl AsRef<Path>) -> bool {
        let path = path.as_ref();
        let mut verdict = None;
        let above: Vec<_> = path
            .ancestors()
            .filter(|above| !above.as_os_str().is_empty())
            .collect();
        for path in above.into_iter().rev() {
            verdict = Some(self.check(path, verdict.as_ref()));
        }
        verdict.is_some_and(|verdict| verdict.ignored)
    }

    /// Whether anything below a directory that is left out may be taken back in. If not, there is no need to look.
    pub fn may_descend(&self, directory: impl AsRef<Path>) -> bool {
        let directory = directory.as_ref().as_os_str().as_encoded_bytes();
        self.rules
            .iter()
            .filter(|rule| rule.exception)
            .any(|rule| rule.may_match_below(directory))
    }

    /// Whether a pattern of this list leaves out everything at the top of the context.
    pub fn covers_everything(&self) -> bool {
        self.rules
            .iter()
            .any(|rule| !rule.exception && rule.matches_everything())
    }
}

/// Cleaned, without a slash at the front.
fn relative(pattern: &str) -> String {
    if pattern.is_empty() {
        return String::new();
    }
    let clean = clean(pattern);
    match clean.strip_prefix('/') {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => clean,
    }
}

impl Rule {
    fn compile(pattern: &str) -> Result<Self, IgnoreError> {
        let pattern = clean(pattern);
        let (pattern, exception) = match pattern.strip_prefix('!') {
            Some("") => return Err(IgnoreError::LoneException),
            Some(rest) => (rest, true),
            None => (pattern.as_str(), false),
        };
        Pattern::parse(pattern)?;
        let literal = pattern
            .find(['*', '?', '[', '\\'])
            .and_then(|end| pattern.get(..end))
            .unwrap_or(pattern);
        Ok(Rule {
            matcher: Matcher::compile(pattern)?,
            exception,
            literal: literal.to_owned(),
        })
    }

    fn matches(&self, path: &OsStr) -> bool {
        let path = path.as_encoded_bytes();
        match &self.matcher {
            Matcher::Exact(text) => path == text.as_bytes(),
            Matcher::Prefix(text) => path.starts_with(text.as_bytes()),
            Matcher::Suffix(text) => {
                path.ends_with(text.as_bytes())
                    || text.strip_prefix('/').is_some_and(|name| path == name.as_bytes())
            }
            Matcher::Glob(tokens) => glob::matches(tokens, path),
        }
    }

    fn may_match_below(&self, directory: &[u8]) -> bool {
        let literal = self.literal.as_bytes();
        match literal.strip_prefix(directory) {
            Some(rest) if rest.first() == Some(&b'/') => true,
            // The pattern goes on with a wildcard: the directory may be part of what it stands for.
            _ => !matches!(self.matcher, Matcher::Exact(_)) && directory.starts_with(literal),
        }
    }

    fn matches_everything(&self) -> bool {
        match &self.matcher {
            Matcher::Suffix(text) | Matcher::Prefix(text) => text.is_empty(),
            Matcher::Glob(tokens) => matches!(
                tokens.as_slice(),
                [Token::Star] | [Token::Directories, Token::InDirectories, Token::Star]
            ),
            Matcher::Exact(_) => false,
        }
    }
}

impl Matcher {
    /// Follows the reference builder in what is a plain comparison and what is not: a pattern that begins with `**` and
    /// has no other wildcard is a suffix, even of a part of a name.
    fn compile(pattern: &str) -> Result<Self, BadPattern> {
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut chars = pattern.chars().peekable();
        let (mut leading, mut trailing, mut others) = (false, false, false);
        while let Some(c) = chars.next() {
            match c {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    chars.next_if_eq(&'/');
                    let first = tokens.is_empty();
                    if chars.peek().is_some() {
                        tokens.extend([Token::Directories, Token::InDirectories]);
                        others |= !first;
                    } else {
                        tokens.push(Token::Everything);
                        trailing = true;
                    }
                    leading |= first;
                }
                c => {
                    let token = match c {
                        '*' => Some(Token::Star),
                        '?' => Some(Token::Any),
                        '[' => Class::parse(&mut chars).map(Token::Class),
                        '\\' => chars.next().map(Token::Char),
                        c => Some(Token::Char(c)),
                    };
                    others |= c == '\\' || c == ']' || !matches!(token, Some(Token::Char(_)));
                    tokens.push(token.ok_or_else(|| BadPattern(pattern.to_owned()))?);
                }
            }
        }
        let cut = |range: std::ops::Range<usize>| pattern.get(range).unwrap_or_default().to_owned();
        let length = pattern.len();
        Ok(match (leading, trailing, others) {
            (_, _, true) => Matcher::Glob(tokens),
            (false, false, false) => Matcher::Exact(pattern.to_owned()),
            (false, true, false) => Matcher::Prefix(cut(0..length.saturating_sub(2))),
            (true, true, false) if tokens.len() > 1 => Matcher::Glob(tokens),
            (true, _, false) => Matcher::Suffix(cut(2..length)),
        })
    }
}

/// Shortens a path without looking at the disk: no empty names, no `.`, and `..` only where it leads out at the top.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => {
                names.pop();
            }
            ".." if rooted => {}
            name => names.push(name),
        }
    }
    let joined = names.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignores(patterns: &[&str], path: &str) -> bool {
        Ignore::new(patterns.iter().copied())
            .expect("valid patterns")
            .matches(path)
    }

    #[test]
    fn single_patterns() {
        for (pattern, path, want) in [
            ("a", "a", true),
            ("a", "a/b/c", true),
            ("a", "b/a", false),
            ("a", "ab", false),
            ("a/", "a", true),
            ("./a//b/../c", "a/c", true),
            ("*", "a", true),
            ("*", "a/b", true),
            ("*.log", "x.log", true),
            ("*.log", "d/x.log", false),
            ("*/x", "d/x", true),
            ("*/x", "x", false),
            ("?", "a", true),
            ("?", "ab", false),
            ("d?", "d1/below", true),
            ("**", "a", true),
            ("**", "a/b", true),
            ("**/", "a/b", true),
            ("**/x", "x", true),
            ("**/x", "a/x", true),
            ("**/x", "a/b/x/c", true),
            ("**/x", "a/bx", false),
            ("**x", "a/bx", true),
            ("**/*.txt", "a.txt", true),
            ("**/*.txt", "a/b/c.txt", true),
            ("**/*.txt", "a/b/c.md", false),
            ("a/**", "a/b", true),
            ("a/**", "a", false),
            ("a/**", "ab", false),
            ("a**", "ab/c", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("**/a/**", "x/a/y", true),
            ("**/a/**", "a/y", true),
            ("**/a/**", "x/a", false),
            ("**/**", "a", true),
            ("a/*/b", "a/x/b", true),
            ("a/*/b", "a/x/y/b", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            ("a.b", "axb", false),
            ("a+b(c)|$", "a+b(c)|$", true),
            ("..", "a", false),
            (".", "a", false),
            ("a", "a/../a", true),
        ] {
            assert_eq!(ignores(&[pattern], path), want, "{pattern} {path}");
        }
    }

    #[test]
    fn the_last_match_wins() {
        for (patterns, path, want) in [
            (&["*", "!a"][..], "a", false),
            (&["!a", "*"], "a", true),
            (&["*", "!a", "a"], "a", true),
            (&["*.log", "!keep.log", "**/*.log"], "keep.log", true),
            (&["d", "!d/keep"], "d/keep", false),
            (&["d", "!d/keep"], "d/other", true),
            (&["d/*", "!d/keep"], "d/keep", false),
            (&["*", "!s/t/f"], "s/t/f", false),
            (&["*", "!s/t/f"], "s/g", true),
            (&["node_modules", "!node_modules/x"], "node_modules/x/y", false),
            (&["node_modules", "!node_modules/x"], "node_modules/z", true),
            (&["a", "!a/b", "a/b/c"], "a/b/d", false),
            (&["a", "!a/b", "a/b/c"], "a/b/c/e", true),
            // The exception had nothing to do when d was judged.
            (&["d/k", "!d"], "d/k", true),
        ] {
            assert_eq!(ignores(patterns, path), want, "{patterns:?} {path}");
        }
    }

    #[test]
    fn files() {
        let ignore = Ignore::parse(
            "\u{feff}# c\n*.log\n !keep.log\n /a/b/m \n\r\nnode_modules/\r\n  README*  \n #no comment\n! x.log\n",
        )
        .expect("valid");
        for (path, want) in [
            ("x.log", false),
            ("y.log", true),
            ("keep.log", false),
            ("a/b/m", true),
            ("a/b", false),
            ("node_modules/x", true),
            ("README.md", true),
            ("#no comment", true),
        ] {
            assert_eq!(ignore.matches(path), want, "{path}");
        }
        assert!(Ignore::parse("# nothing\n\n").expect("valid").is_empty());
        assert!(!Ignore::parse("/").expect("valid").matches("a"));
    }

    #[test]
    fn invalid_files() {
        assert!(matches!(Ignore::parse("a\n!\n"), Err(IgnoreError::LoneException)));
        assert!(matches!(Ignore::parse("! \n"), Err(IgnoreError::LoneException)));
        for pattern in ["[", "a[b", "a\\", "[]"] {
            assert!(
                matches!(Ignore::parse(pattern), Err(IgnoreError::Pattern(_))),
                "{pattern}"
            );
        }
    }

    #[test]
    fn where_to_look() {
        for (exception, directory, want) in [
            ("s/t/f", "s", true),
            ("s/t/f", "s/t", true),
            ("s/t/f", "s/u", false),
            ("s/t/f", "h", false),
            ("s/t/f", "s/t/f", false),
            ("s", "st", false),
            ("*", "h", true),
            ("**/x", "h/i", true),
            ("s/*", "s", true),
            ("s/*", "h", false),
            ("s/t*/f", "s", true),
            ("s/t*/f", "s/ty", true),
            ("s/**", "s/t", true),
            ("[s]/f", "s", true),
        ] {
            let ignore = Ignore::new(["*", &format!("!{exception}")]).expect("valid");
            assert_eq!(ignore.may_descend(directory), want, "{exception} {directory}");
        }
        assert!(!Ignore::new(["*"]).expect("valid").may_descend("a"));
    }

    #[test]
    fn what_covers_everything() {
        for (pattern, want) in [
            ("*", true),
            ("**", true),
            ("**/*", true),
            ("*.*", false),
            ("a", false),
            ("!*", false),
        ] {
            assert_eq!(
                Ignore::new([pattern]).expect("valid").covers_everything(),
                want,
                "{pattern}"
            );
        }
    }

    #[test]
    fn cleaning() {
        for (path, want) in [
            ("", "."),
            (".", "."),
            ("/", "/"),
            ("a//b/./c/", "a/b/c"),
            ("a/../b", "b"),
            ("../a/..", ".."),
            ("../../a", "../../a"),
            ("/../a", "/a"),
            ("/a/..", "/"),
        ] {
            assert_eq!(clean(path), want, "{path}");
        }
    }
}
