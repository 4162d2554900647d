//! Expansion of words: variables with their modifiers, quotes, escapes.
//!
//! The rules are the reference builder's, which are close to a POSIX shell's but not the same: an escape character
//! before any character quotes it outside quotes, and the word of a modifier is always evaluated, needed or not.
//!
//! - `machine`: the one pass over a word
//! - `pattern`: shell patterns for `${x#p}` and its kin
//!
//! Nesting takes no stack, and time is linear in the length of the word plus that of the values that are put in. A
//! result that outgrows a fixed limit is an error, since lines that double one another's values need few bytes.

mod machine;
mod pattern;

use std::{borrow::Cow, collections::BTreeSet};

use machine::{Machine, Options, Quotes};

/// Gives the value of a variable; `None` if it is unset, which is not the same as empty.
pub type Lookup<'v> = dyn Fn(&str) -> Option<Cow<'v, str>> + 'v;

/// Why a word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandError {
    /// A quote that is opened and not closed.
    #[error("{0} is opened and not closed")]
    UnclosedQuote(char),
    /// A `${` without its `}`, or a `${x/` without its second `/`.
    #[error("${{ is opened, but {0} is missing")]
    UnclosedBrace(char),
    /// `${}`, `${:…` or `${{`.
    #[error("${{ must be followed by a name")]
    MissingName,
    /// A modifier that there is not, such as `${x=y}`.
    #[error("unsupported modifier {0} in ${{{1}{0}…}}")]
    UnsupportedModifier(String, String),
    /// `${x:?message}` of a variable that is unset or empty.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// What the file says about it.
        message: String,
    },
    /// A backslash in a pattern before a character that needs none.
    #[error("invalid pattern {0:?}: a backslash may stand before * ? \\ / and }} only")]
    InvalidPattern(String),
    /// The result, or the work to get it, has outgrown all reason.
    #[error("the expansion is too large")]
    TooLarge,
}

/// The result of an expansion, with what it looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    /// As one word.
    pub text: String,
    /// As several: the text split at white space that was neither quoted nor escaped.
    pub words: Vec<String>,
    /// Variables that were used and have a value.
    pub used: BTreeSet<String>,
    /// Variables that were used without a value and without saying what to do then (`-`, `+` and `?` do).
    pub undefined: BTreeSet<String>,
}

/// Expands a word: variables are replaced, quotes and escapes removed.
pub fn expand(word: &str, escape: char, lookup: &Lookup<'_>) -> Result<String, ExpandError> {
    if !word.contains(['$', '\'', '"', escape]) {
        return Ok(word.to_owned());
    }
    Ok(Machine::run(
        word,
        Options {
            escape,
            ..Options::word(lookup)
        },
    )?
    .text)
}

/// Expands a word where the result may be several: splits at white space that comes from the word or from variables,
/// but not at quoted or escaped one.
pub fn expand_words(word: &str, escape: char, lookup: &Lookup<'_>) -> Result<Vec<String>, ExpandError> {
    Ok(expand_report(word, escape, lookup)?.words)
}

/// Expands a word and tells which variables took part.
pub fn expand_report(word: &str, escape: char, lookup: &Lookup<'_>) -> Result<Expanded, ExpandError> {
    Ok(Machine::run(
        word,
        Options {
            escape,
            ..Options::word(lookup)
        },
    )?
    .into_expanded())
}

/// Expands the body of a heredoc: quotes are ordinary characters, and the escape character is always a backslash.
pub fn expand_heredoc(body: &str, lookup: &Lookup<'_>) -> Result<String, ExpandError> {
    Ok(Machine::run(
        body,
        Options {
            quotes: Quotes::Ordinary,
            ..Options::word(lookup)
        },
    )?
    .text)
}

/// Expands the body of a heredoc and tells which variables took part.
pub fn expand_heredoc_report(body: &str, lookup: &Lookup<'_>) -> Result<Expanded, ExpandError> {
    let options = Options {
        quotes: Quotes::Ordinary,
        ..Options::word(lookup)
    };
    Ok(Machine::run(body, options)?.into_expanded())
}

/// Finds the words of a whole line the way that heredoc markers are looked for: nothing is replaced or removed. Gives
/// their places; `None` if a quote or a `${` is left open.
pub(super) fn scan_words(line: &str) -> Option<Vec<super::Span>> {
    let options = Options {
        quotes: Quotes::Keep,
        keep_escapes: true,
        variables: None,
        escape: '\\',
    };
    Machine::run(line, options).ok().map(|done| done.words)
}

/// Removes the quotes and escapes of a heredoc delimiter; variables stay as they are. The flag tells whether anything
/// was quoted. `None` if it is not exactly one word.
pub(super) fn unquote(word: &str) -> Result<Option<(String, bool)>, ExpandError> {
    let options = Options {
        quotes: Quotes::Remove,
        keep_escapes: false,
        variables: None,
        escape: '\\',
    };
    let done = Machine::run(word, options)?;
    Ok(match done.words.as_slice() {
        [only] => done
            .text
            .get(only.clone())
            .map(|name| (name.to_owned(), done.quoted)),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
