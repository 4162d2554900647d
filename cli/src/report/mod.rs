//! An error as text, hint and exit code. The only place that words failures for people.
//!
//! - `build`: a failed build
//! - `hint`: what to do about an error

mod build;
mod hint;

use std::{fmt, process::ExitCode};

use serde::Serialize;

pub use hint::find as hint;

use crate::{interrupt::Signal, style::Style};

/// Exit code of rbuild's own errors. What a RUN exits with is passed on, so no smaller number is safe to use.
const OWN_ERROR: u8 = 125;

/// Why a command failed.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "error")]
pub struct Failure {
    message: String,
    causes: Vec<String>,
    snippet: Option<String>,
    output: Vec<String>,
    hint: Option<String>,
    code: u8,
    #[serde(skip)]
    json: bool,
}

impl Failure {
    /// A failure of rbuild's own.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            causes: Vec::new(),
            snippet: None,
            output: Vec::new(),
            hint: None,
            code: OWN_ERROR,
            json: false,
        }
    }

    /// An exit code for what was said already.
    pub fn silent(code: u8) -> Self {
        let mut failure = Self::new("");
        failure.code = code;
        failure
    }

    /// A signal ended the command.
    pub fn interrupted(signal: Signal) -> Self {
        let mut failure = Self::new(format!("interrupted by {signal}"));
        failure.code = signal.exit_code();
        failure
    }

    /// To be printed as a line of JSON, like the events before it.
    pub fn into_json(mut self) -> Self {
        self.json = true;
        self
    }

    /// The text for standard error.
    fn render(&self, style: Style) -> String {
        let mut text = format!("{} {}\n", style.red("error:"), self.message);
        for cause in &self.causes {
            text.push_str(&format!("  caused by: {cause}\n"));
        }
        if let Some(snippet) = &self.snippet {
            text.push_str(&format!("{}\n", snippet.trim_end()));
        }
        if !self.output.is_empty() {
            text.push_str("last output:\n");
            for line in &self.output {
                text.push_str(&format!("  {line}\n"));
            }
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("{} {hint}\n", style.cyan("hint:")));
        }
        text
    }
}

/// What a command comes to.
pub type Outcome = Result<(), Box<Failure>>;

impl From<anyhow::Error> for Box<Failure> {
    fn from(error: anyhow::Error) -> Self {
        Self::new(error.into())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let mut failure = Self::new(error.to_string());
        failure.causes = causes(&failure.message, error.chain().skip(1));
        failure.hint = error.chain().find_map(hint::find);
        failure
    }
}

/// The causes in words, without those that the text above them has already told.
fn causes<'a>(
    message: &str,
    chain: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>,
) -> Vec<String> {
    let mut told = message.to_owned();
    let mut causes = Vec::new();
    for cause in chain.map(ToString::to_string) {
        if !told.contains(&cause) {
            causes.push(cause.clone());
        }
        told = cause;
    }
    causes
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::PLAIN))
    }
}

/// Prints why the command failed; the exit code says so too.
pub fn failure(failure: &Failure) -> ExitCode {
    if failure.message.is_empty() {
        return ExitCode::from(failure.code);
    }
    let text = match serde_json::to_string(failure) {
        Ok(line) if failure.json => line + "\n",
        _ => failure.render(Style::of_stderr()),
    };
    eprint!("{text}");
    ExitCode::from(failure.code)
}

/// Prints what is wrong with the command line, or the help that it asked for.
pub fn usage(usage: &clap::Error) -> ExitCode {
    let _ = usage.print();
    if usage.use_stderr() {
        ExitCode::from(OWN_ERROR)
    } else {
        ExitCode::SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn everything_that_is_known_is_told_in_order() {
        let failure = Failure {
            message: "RUN make failed with exit code 2".into(),
            causes: vec!["out of luck".into()],
            snippet: Some("Containerfile:3\n  3 | RUN make\n    | ^^^^^^^^\n".into()),
            output: vec!["make: *** No rule".into()],
            hint: Some("look again".into()),
            code: 2,
            json: false,
        };
        let expected = "\
error: RUN make failed with exit code 2
  caused by: out of luck
Containerfile:3
  3 | RUN make
    | ^^^^^^^^
last output:
  make: *** No rule
hint: look again
";
        assert_eq!(failure.to_string(), expected);
        assert!(
            failure
                .render(Style::COLOUR)
                .starts_with("\x1b[1;31merror:\x1b[0m RUN")
        );
    }

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        let error = anyhow::anyhow!("disk full")
            .context("x.tar: disk full")
            .context("cannot write");
        assert_eq!(Failure::from(error).causes, ["x.tar: disk full"]);
        let error = Err::<(), _>(std::io::Error::other("odd"))
            .context("cannot read")
            .unwrap_err();
        assert_eq!(
            Failure::from(error).to_string(),
            "error: cannot read\n  caused by: odd\n"
        );
    }
}
