//! `HEALTHCHECK`.

use super::{
    super::{
        Command, Diagnostic, Healthcheck, Span,
        flags::{Flags, Known, Takes},
        values, words,
    },
    Parser, invalid_value,
};

const HEALTHCHECK_FLAGS: &Known = &[
    ("interval", Takes::Value),
    ("timeout", Takes::Value),
    ("start-period", Takes::Value),
    ("start-interval", Takes::Value),
    ("retries", Takes::Value),
];

impl Parser<'_, '_> {
    pub(super) fn healthcheck(&self) -> Result<Healthcheck, Diagnostic> {
        let arguments = self.healthcheck_arguments();
        let (kind, rest) = &arguments;
        let (kind_text, rest_text) = (self.line.slice(kind), self.line.slice(rest));
        if kind_text.eq_ignore_ascii_case("NONE") {
            return match rest_text.is_empty() {
                true => Ok(Healthcheck::None),
                false => Err(self.error("HEALTHCHECK NONE takes no arguments")),
            };
        }
        let flags = Flags::check(&self.head.flags, HEALTHCHECK_FLAGS, "HEALTHCHECK")?;
        if !kind_text.eq_ignore_ascii_case("CMD") {
            return Err(self.error("HEALTHCHECK must be followed by CMD or NONE"));
        }
        let command = match self.command(rest)? {
            Command::Exec(words) if words.is_empty() => None,
            Command::Shell(text) if text.is_empty() => None,
            command => Some(command),
        };
        Ok(Healthcheck::Cmd {
            command: command.ok_or_else(|| self.error("HEALTHCHECK CMD needs a command"))?,
            interval: duration(&flags, "interval")?,
            timeout: duration(&flags, "timeout")?,
            start_period: duration(&flags, "start-period")?,
            start_interval: duration(&flags, "start-interval")?,
            retries: retries(&flags)?,
        })
    }

    /// `CMD` or `NONE`, and what follows.
    pub(super) fn healthcheck_arguments(&self) -> (Span, Span) {
        let arguments = &self.head.arguments;
        let text = self.line.slice(arguments);
        let end = arguments.start + text.find(char::is_whitespace).unwrap_or(text.len());
        (
            arguments.start..end,
            words::trim(&self.line.text, &(end..arguments.end)),
        )
    }
}

/// A duration in nanoseconds; none if zero, which stands for the default.
fn duration(flags: &Flags<'_>, name: &str) -> Result<Option<i64>, Diagnostic> {
    let Some(word) = flags.value(name).filter(|word| !word.text.is_empty()) else {
        return Ok(None);
    };
    let wrong =
        |message: String| Diagnostic::error("InvalidFlag", format!("--{name}: {message}"), word.span.clone());
    let duration = values::parse_duration(&word.text).map_err(|error| wrong(error.to_string()))?;
    match duration {
        0 => Ok(None),
        1_000_000.. => Ok(Some(duration)),
        _ => Err(wrong("a duration must be at least 1ms".to_owned())),
    }
}

fn retries(flags: &Flags<'_>) -> Result<Option<i64>, Diagnostic> {
    let Some(word) = flags.value("retries").filter(|word| !word.text.is_empty()) else {
        return Ok(None);
    };
    match word.text.parse::<i32>() {
        Ok(0) => Ok(None),
        Ok(retries) if retries > 0 => Ok(Some(i64::from(retries))),
        _ => Err(invalid_value("retries", &word, "a number that is not negative")),
    }
}
