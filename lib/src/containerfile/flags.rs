//! Flags of instructions: the leading words that begin with `--`.

use super::{Diagnostic, Flag, Span, Word, lines::Logical, suggest};

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, `=true` or `=false`.
    Bool,
    /// One value.
    Value,
    /// A value each time it is given.
    List,
}

/// The flags that an instruction knows.
pub(super) type Known = [(&'static str, Takes)];

/// Takes the flags off the front of a range; the rest is the arguments. `--` ends the flags and belongs to neither.
pub(super) fn split_flags(line: &Logical<'_>, range: &Span) -> (Vec<Flag>, Span) {
    let mut flags = Vec::new();
    let mut rest = super::words::trim(&line.text, range);
    while line.slice(&rest).starts_with("--") {
        let raw = RawFlag::read(line.slice(&rest));
        let span = rest.start..rest.start + raw.length;
        rest = super::words::trim(&line.text, &(span.end..rest.end));
        if raw.text == "--" {
            break;
        }
        flags.push(raw.into_flag(line, span));
    }
    (flags, rest)
}

/// A flag word, quotes and backslashes removed.
struct RawFlag {
    text: String,
    /// How long it is as written.
    length: usize,
    /// Where the first `=` stands: in `text`, and as written.
    equals: Option<(usize, usize)>,
}

impl RawFlag {
    /// Reads up to white space that is neither quoted nor escaped. The escape here is always a backslash.
    fn read(input: &str) -> Self {
        let mut flag = RawFlag {
            text: String::new(),
            length: input.len(),
            equals: None,
        };
        let mut quote = None;
        let mut chars = input.char_indices();
        while let Some((at, c)) = chars.next() {
            match quote {
                None if c.is_whitespace() => {
                    flag.length = at;
                    break;
                }
                None if c == '\'' || c == '"' => quote = Some(c),
                Some(open) if c == open => quote = None,
                _ if c == '\\' => flag.text.extend(chars.next().map(|(_, c)| c)),
                _ => {
                    if c == '=' && flag.equals.is_none() {
                        flag.equals = Some((flag.text.len(), at));
                    }
                    flag.text.push(c);
                }
            }
        }
        flag
    }

    fn into_flag(self, line: &Logical<'_>, span: Span) -> Flag {
        let (name, value) = match self.equals {
            Some((at, written)) => {
                let value = span.start + written + 1..span.end;
                let text = self.text.get(at + 1..).unwrap_or_default().to_owned();
                (
                    self.text.get(..at),
                    Some(Word {
                        text,
                        span: line.span(&value),
                    }),
                )
            }
            None => (Some(self.text.as_str()), None),
        };
        let name = name.and_then(|name| name.get(2..)).unwrap_or_default().to_owned();
        Flag {
            name,
            value,
            span: line.span(&span),
        }
    }
}

/// Flags that were checked against what the instruction knows.
pub(super) struct Flags<'f>(&'f [Flag]);

impl<'f> Flags<'f> {
    /// Fails on unknown flags, on flags given twice, and on missing or wrong values.
    pub fn check(flags: &'f [Flag], known: &Known, instruction: &str) -> Result<Self, Diagnostic> {
        for (index, flag) in flags.iter().enumerate() {
            let Some((_, takes)) = known.iter().find(|(name, _)| *name == flag.name) else {
                return Err(unknown(flag, known, instruction));
            };
            // Lists first: a line may hold thousands of them.
            if *takes != Takes::List && flags.iter().take(index).any(|earlier| earlier.name == flag.name) {
                let message = format!("flag --{} is given twice", flag.name);
                return Err(Diagnostic::error("DuplicateFlag", message, flag.span.clone()));
            }
            check_value(flag, *takes)?;
        }
        Ok(Flags(flags))
    }

    /// The value of a flag, if it was given.
    pub fn value(&self, name: &str) -> Option<Word> {
        self.list(name).pop()
    }

    /// All values of a flag.
    pub fn list(&self, name: &str) -> Vec<Word> {
        self.0
            .iter()
            .filter(|flag| flag.name == name)
            .filter_map(|flag| flag.value.clone())
            .collect()
    }

    /// A flag that is on or off, if it was given.
    pub fn bool(&self, name: &str) -> Option<bool> {
        let flag = self.0.iter().find(|flag| flag.name == name)?;
        Some(
            flag.value
                .as_ref()
                .is_none_or(|value| value.text.eq_ignore_ascii_case("true")),
        )
    }
}

fn check_value(flag: &Flag, takes: Takes) -> Result<(), Diagnostic> {
    let name = &flag.name;
    let message = match (takes, &flag.value) {
        (Takes::Value | Takes::List, None) => format!("flag --{name} needs a value"),
        (Takes::Bool, Some(value)) if value.text.is_empty() => format!("flag --{name} needs a value after ="),
        (Takes::Bool, Some(value)) if !is_bool(&value.text) => {
            format!("flag --{name} is either true or false, not {:?}", value.text)
        }
        _ => return Ok(()),
    };
    Err(Diagnostic::error("InvalidFlag", message, flag.span.clone()))
}

fn is_bool(text: &str) -> bool {
    text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")
}

fn unknown(flag: &Flag, known: &Known, instruction: &str) -> Diagnostic {
    let message = format!("{instruction} has no flag --{}", flag.name);
    let error = Diagnostic::error("UnknownFlag", message, flag.span.clone());
    match suggest::nearest(&flag.name, known.iter().map(|(name, _)| *name)) {
        Some(name) => error.with_help(format!("did you mean --{name}?")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::{Line, Lines};
    use super::*;

    const KNOWN: &Known = &[
        ("from", Takes::Value),
        ("link", Takes::Bool),
        ("exclude", Takes::List),
    ];

    fn split(source: &str) -> (Vec<Flag>, String) {
        let line = Line {
            text: source,
            start: 0,
            number: 1,
        };
        let logical = Logical::read(line, &mut Lines::new(""), '\\');
        let (flags, rest) = split_flags(&logical, &logical.range());
        (flags, logical.slice(&rest).to_owned())
    }

    #[test]
    fn splitting() {
        for (source, names, rest) in [
            ("a b", &[][..], "a b"),
            ("--from=x a", &["from=x"], "a"),
            ("--link  --from=\"a b\" c d", &["link", "from=a b"], "c d"),
            (r"--from=a\ b\'c x", &["from=a b'c"], "x"),
            (r#"--from='a\'b' x"#, &["from=a'b"], "x"),
            ("-- --from=x", &[], "--from=x"),
            ("--link -- x", &["link"], "x"),
            ("--link", &["link"], ""),
            ("--", &[], ""),
            ("--\"from\"=x=y z", &["from=x=y"], "z"),
            ("- --x", &[], "- --x"),
            ("a --from=x", &[], "a --from=x"),
        ] {
            let (flags, after) = split(source);
            let flags: Vec<String> = flags
                .into_iter()
                .map(|flag| {
                    flag.name
                        + &flag
                            .value
                            .map(|value| format!("={}", value.text))
                            .unwrap_or_default()
                })
                .collect();
            assert_eq!(
                (flags, after.as_str()),
                (names.iter().map(|name| name.to_string()).collect(), rest),
                "{source}"
            );
        }
    }

    #[test]
    fn spans() {
        let source = "--from=\"a b\" c";
        let (flags, _) = split(source);
        assert_eq!(flags[0].span, 0..12);
        assert_eq!(
            flags[0].value.as_ref().map(|value| &source[value.span.clone()]),
            Some("\"a b\"")
        );
    }

    #[test]
    fn checks() {
        for (source, want) in [
            ("--from=a --link --exclude=x --exclude=y", None),
            ("--from=", None),
            ("--link=FALSE", None),
            ("--frm=a", Some("UnknownFlag")),
            ("--From=a", Some("UnknownFlag")),
            ("--from=a --from=b", Some("DuplicateFlag")),
            ("--link --link=true", Some("DuplicateFlag")),
            ("--from", Some("InvalidFlag")),
            ("--exclude", Some("InvalidFlag")),
            ("--link=", Some("InvalidFlag")),
            ("--link=yes", Some("InvalidFlag")),
        ] {
            let (flags, _) = split(source);
            let error = Flags::check(&flags, KNOWN, "COPY").err();
            assert_eq!(error.map(|error| error.name), want, "{source}");
        }
    }

    #[test]
    fn values() {
        let (flags, _) = split("--exclude=a --link=false --exclude=b");
        let flags = Flags::check(&flags, KNOWN, "COPY").expect("valid");
        assert_eq!(
            flags
                .list("exclude")
                .into_iter()
                .map(|word| word.text)
                .collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!((flags.bool("link"), flags.bool("other")), (Some(false), None));
        assert!(flags.value("from").is_none());
    }

    #[test]
    fn suggestions() {
        let (flags, _) = split("--form=a");
        let error = Flags::check(&flags, KNOWN, "COPY").err().expect("unknown");
        assert_eq!(error.help.as_deref(), Some("did you mean --from?"));
    }
}
