//! Which rules are in force.

use super::{
    super::{Containerfile, Diagnostic, Span, Word, suggest, values::parse_bool},
    Options, RULES,
};

/// A choice of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    All,
    Some(Vec<String>),
}

impl Names {
    fn parse(text: &str) -> Self {
        match text.trim() {
            "all" => Names::All,
            names => Names::Some(names.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }

    fn contain(&self, name: &str) -> bool {
        match self {
            Names::All => true,
            Names::Some(names) => names.iter().any(|known| known == name),
        }
    }
}

/// What a `check` directive says, and the comments of the same form above instructions.
#[derive(Clone, Debug)]
pub(super) struct Check {
    skip: Names,
    experimental: Names,
    /// Whether findings fail the build.
    pub error: bool,
    /// Where more is skipped.
    local: Vec<(Span, Names)>,
}

impl Check {
    pub fn of(file: &Containerfile, options: &Options<'_>) -> Result<Self, Diagnostic> {
        let directive = file.directives.check.as_ref();
        let mut check = match options.check {
            Some(text) => Self::parse(&Word {
                text: text.to_owned(),
                span: 0..0,
            })?,
            None => directive
                .map(Self::parse)
                .transpose()?
                .unwrap_or_else(Self::nothing),
        };
        for stage in &file.stages {
            check.add_local(&stage.from.comments, &stage.from.span)?;
            for instruction in &stage.instructions {
                check.add_local(&instruction.comments, &instruction.span)?;
            }
        }
        for arg in &file.global_args {
            check.add_local(&arg.comments, &arg.span)?;
        }
        Ok(check)
    }

    fn nothing() -> Self {
        let none = || Names::Some(Vec::new());
        Check {
            skip: none(),
            experimental: none(),
            error: false,
            local: Vec::new(),
        }
    }

    /// `skip=…;error=…;experimental=…`
    fn parse(word: &Word) -> Result<Self, Diagnostic> {
        let mut check = Self::nothing();
        for option in word.text.split(';').filter(|option| !option.trim().is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key.trim() {
                "skip" => check.skip = Names::parse(value),
                "experimental" => check.experimental = Names::parse(value),
                "error" => {
                    let value = value.trim();
                    check.error = parse_bool(value)
                        .ok_or_else(|| invalid(word, format!("error is true or false, not {value:?}")))?;
                }
                other => return Err(invalid(word, format!("there is no check option {other:?}"))),
            }
        }
        for names in [&check.skip, &check.experimental] {
            known(names, word)?;
        }
        Ok(check)
    }

    /// A comment `check=skip=…` right above an instruction is about this instruction alone.
    fn add_local(&mut self, comments: &[Word], span: &Span) -> Result<(), Diagnostic> {
        for comment in comments {
            if let Some(text) = directive(&comment.text) {
                let word = Word {
                    text: text.to_owned(),
                    span: comment.span.clone(),
                };
                self.local.push((span.clone(), Self::parse(&word)?.skip));
            }
        }
        Ok(())
    }

    /// Whether a finding is to be shown.
    pub fn wants(&self, found: &Diagnostic) -> bool {
        let experimental = RULES
            .iter()
            .any(|rule| rule.experimental && rule.name == found.name);
        let local = |(span, names): &(Span, Names)| {
            span.start <= found.span.start && found.span.start <= span.end && names.contain(found.name)
        };
        !self.skip.contain(found.name)
            && (!experimental || self.experimental.contain(found.name))
            && !self.local.iter().any(local)
    }
}

/// What a comment says after `check =`, if it does.
pub(super) fn directive(comment: &str) -> Option<&str> {
    let (key, value) = comment.split_once('=')?;
    key.trim().eq_ignore_ascii_case("check").then_some(value.trim())
}

fn invalid(word: &Word, message: String) -> Diagnostic {
    Diagnostic::error("InvalidDirective", message, word.span.clone())
        .with_help("write for instance # check=skip=JSONArgsRecommended;error=true")
}

fn known(names: &Names, word: &Word) -> Result<(), Diagnostic> {
    let Names::Some(names) = names else { return Ok(()) };
    let all = || RULES.iter().map(|rule| rule.name);
    let unknown = names
        .iter()
        .find(|name| !name.is_empty() && !all().any(|known| known == *name));
    let Some(name) = unknown else { return Ok(()) };
    let mut error = Diagnostic::warning(
        "InvalidDirective",
        format!("there is no rule {name:?}"),
        word.span.clone(),
    );
    error.help = suggest::nearest(name, all()).map(|name| format!("did you mean {name}?"));
    Err(error)
}
