//! Shell patterns: `*` is any text, `?` any character, `\` makes `*`, `?` and itself ordinary. No brackets, and neither
//! `*` nor `?` matches a line end.

use std::ops::Range;

use super::ExpandError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    Any,
    Star,
}

fn compile(pattern: &str) -> Result<Vec<Token>, ExpandError> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            // These need an escape because of the braces around them, not because of the pattern.
            '\\' if matches!(chars.peek(), Some('}' | '/')) => continue,
            '\\' => match chars.next() {
                Some(c @ ('*' | '?' | '\\')) => Token::Char(c),
                _ => return Err(ExpandError::InvalidPattern(pattern.to_owned())),
            },
            c => Token::Char(c),
        });
    }
    // Several stars in a row match what one does.
    tokens.dedup_by(|a, b| *a == Token::Star && *b == Token::Star);
    Ok(tokens)
}

/// `${value#word}` and `${value%word}`. A second `#` or `%` at the front of the word asks for the longest match.
pub(super) fn strip<'v>(
    value: &'v str,
    modifier: char,
    word: &str,
    work: &mut usize,
) -> Result<&'v str, ExpandError> {
    let longest = word.strip_prefix(modifier);
    let mut tokens = compile(longest.unwrap_or(word))?;
    let backwards = modifier == '%';
    if backwards {
        tokens.reverse();
    }
    let mut text: Vec<(usize, char)> = value.char_indices().collect();
    if backwards {
        text.reverse();
    }
    let chars: Vec<char> = text.iter().map(|(_, c)| *c).collect();
    let end = if longest.is_some() {
        End::Longest
    } else {
        End::Shortest
    };
    let Some(found) = Matcher::new(&tokens).find(&chars, 0, true, end, work)? else {
        return Ok(value);
    };
    // The last character that the match takes decides where what is left begins or ends.
    let last = found.end.checked_sub(1).and_then(|last| text.get(last));
    Ok(match last {
        None => value,
        Some((at, _)) if backwards => value.get(..*at).unwrap_or_default(),
        Some((at, c)) => value.get(at + c.len_utf8()..).unwrap_or_default(),
    })
}

/// `${value/pattern/replacement}`, and with two slashes.
pub(super) fn replace(
    value: &str,
    pattern: &str,
    replacement: &str,
    all: bool,
    work: &mut usize,
) -> Result<String, ExpandError> {
    let tokens = compile(pattern)?;
    let chars: Vec<char> = value.chars().collect();
    let mut matcher = Matcher::new(&tokens);
    let mut out = String::new();
    let (mut copied, mut search) = (0, 0);
    while search <= chars.len() {
        let Some(found) = matcher.find(&chars, search, false, End::Longest, work)? else {
            break;
        };
        out.extend(chars.get(copied..found.start).unwrap_or_default());
        // No empty match directly behind another match.
        if found.end > copied || found.start == 0 {
            *work = work.checked_sub(replacement.len()).ok_or(ExpandError::TooLarge)?;
            out.push_str(replacement);
        }
        copied = found.end;
        search = found.end.max(search + 1);
        if !all {
            break;
        }
    }
    out.extend(chars.get(copied..).unwrap_or_default());
    Ok(out)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Shortest,
    Longest,
}

/// Runs all ways through a pattern at once, so that no pattern takes more than its length times that of the text.
struct Matcher<'p> {
    tokens: &'p [Token],
    /// For each place in the pattern: in which round it was reached last, and from which start.
    reached: Vec<(usize, usize)>,
    round: usize,
    now: Vec<usize>,
    next: Vec<usize>,
}

impl<'p> Matcher<'p> {
    fn new(tokens: &'p [Token]) -> Self {
        Matcher {
            tokens,
            reached: vec![(0, 0); tokens.len() + 1],
            round: 0,
            now: Vec::new(),
            next: Vec::new(),
        }
    }

    /// The leftmost match at or behind `from`; at `from` alone if `anchored`.
    fn find(
        &mut self,
        text: &[char],
        from: usize,
        anchored: bool,
        end: End,
        work: &mut usize,
    ) -> Result<Option<Range<usize>>, ExpandError> {
        let mut best: Option<Range<usize>> = None;
        self.round += 1;
        self.next.clear();
        for at in from..=text.len() {
            std::mem::swap(&mut self.now, &mut self.next);
            self.next.clear();
            if best.is_none() && (at == from || !anchored) {
                self.reach_now(0, at);
            }
            *work = work
                .checked_sub(self.now.len() + 1)
                .ok_or(ExpandError::TooLarge)?;
            if let Some(start) = self.start_at_end() {
                best = Some(start..at);
                if end == End::Shortest {
                    break;
                }
            }
            let Some(c) = text.get(at) else { break };
            self.advance(*c, best.as_ref().map(|best| best.start));
            if self.next.is_empty() && (anchored || best.is_some()) {
                break;
            }
        }
        self.next.clear();
        self.now.clear();
        Ok(best)
    }

    fn start_at_end(&self) -> Option<usize> {
        self.reached
            .last()
            .filter(|(round, _)| *round == self.round)
            .map(|(_, start)| *start)
    }

    /// Moves every way over one character. Ways that begin behind a match that was found are given up.
    fn advance(&mut self, c: char, best: Option<usize>) {
        let now = std::mem::take(&mut self.now);
        let ways: Vec<(usize, usize)> = now
            .iter()
            .filter_map(|place| Some((*place, self.reached.get(*place)?.1)))
            .filter(|(_, start)| best.is_none_or(|best| *start <= best))
            .collect();
        self.round += 1;
        for (place, start) in ways {
            match self.tokens.get(place) {
                Some(Token::Char(token)) if *token == c => self.reach(place + 1, start),
                Some(Token::Any) if c != '\n' => self.reach(place + 1, start),
                Some(Token::Star) if c != '\n' => self.reach(place, start),
                _ => {}
            }
        }
        self.now = now;
    }

    /// Notes that a place is reached after this character.
    fn reach(&mut self, place: usize, start: usize) {
        let mut place = place;
        while let Some(reached) = self.reached.get_mut(place) {
            if reached.0 != self.round {
                *reached = (self.round, start);
                self.next.push(place);
            } else if start < reached.1 {
                reached.1 = start;
            } else {
                return;
            }
            // A star may match nothing.
            if self.tokens.get(place) != Some(&Token::Star) {
                return;
            }
            place += 1;
        }
    }

    fn reach_now(&mut self, place: usize, start: usize) {
        std::mem::swap(&mut self.now, &mut self.next);
        self.reach(place, start);
        std::mem::swap(&mut self.now, &mut self.next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(value: &str, modifier: char, word: &str) -> String {
        strip(value, modifier, word, &mut 100_000)
            .expect("a valid pattern")
            .to_owned()
    }

    #[test]
    fn prefixes_and_suffixes() {
        for (value, modifier, word, want) in [
            ("foobarbaz", '#', "f*b", "arbaz"),
            ("foobarbaz", '#', "#f*b", "az"),
            ("foobarbaz", '%', "b*", "foobar"),
            ("foobarbaz", '%', "%b*", "foo"),
            ("foobar", '#', "bar", "foobar"),
            ("foobar", '%', "bar", "foo"),
            ("foobar", '#', "*", "foobar"),
            ("foobar", '#', "#*", ""),
            ("foobar", '%', "%*", ""),
            ("foobar", '#', "?o", "obar"),
            ("foobar", '#', "", "foobar"),
            ("", '#', "#*", ""),
            ("a*b", '#', r"a\*", "b"),
            ("axb", '#', r"a\*", "axb"),
            (r"a\b", '#', r"a\\", "b"),
            ("a}b/c", '%', r"\}b\/c", "a"),
            ("äöü", '#', "?", "öü"),
            ("äöü", '%', "?", "äö"),
            ("ab\ncd", '#', "#*", "\ncd"),
            ("v1.2.3", '%', ".*", "v1.2"),
            ("v1.2.3", '%', "%.*", "v1"),
            ("path/to/file", '#', "#*/", "file"),
        ] {
            assert_eq!(stripped(value, modifier, word), want, "{value}{modifier}{word}");
        }
    }

    #[test]
    fn replacements() {
        for (value, pattern, replacement, all, want) in [
            ("foobarbaz", "ba", "fo", false, "fooforbaz"),
            ("foobarbaz", "ba", "fo", true, "fooforfoz"),
            ("foobarbaz", "b?r", "[x]", false, "foo[x]baz"),
            ("a.b/c", r"\/", "_", true, "a.b_c"),
            ("a.b/c", ".", "-", false, "a-b/c"),
            ("aaa", "a*", "x", false, "x"),
            ("aaa", "a*", "x", true, "x"),
            ("abc", "", "-", true, "-a-b-c-"),
            ("abc", "", "-", false, "-abc"),
            ("", "*", "x", true, "x"),
            ("xaby", "b", "", false, "xay"),
            ("abcabd", "ab?", "_", true, "__"),
            ("aab", "ab", "x", false, "ax"),
            ("none", "x", "y", true, "none"),
        ] {
            let got = replace(value, pattern, replacement, all, &mut 100_000).expect("a valid pattern");
            assert_eq!(got, want, "{value}/{pattern}/{replacement}");
        }
    }

    #[test]
    fn invalid_patterns() {
        for pattern in [r"\a", r"a\", r"\["] {
            assert_eq!(compile(pattern), Err(ExpandError::InvalidPattern(pattern.into())));
        }
    }

    #[test]
    fn work_is_limited() {
        let value = "a".repeat(10_000);
        let pattern = "*a".repeat(5_000) + "b";
        assert_eq!(
            strip(&value, '#', &pattern, &mut 1_000_000),
            Err(ExpandError::TooLarge)
        );
    }
}
