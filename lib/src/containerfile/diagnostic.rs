//! What is wrong with a Containerfile, where, and how to mend it.

use std::{fmt, sync::Arc};

use super::Span;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file builds, but is likely not what was meant.
    Warning,
    /// The file cannot be built.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which rule, for `# check=skip=…` and for machines.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// For people: one sentence without a full stop.
    pub message: String,
    /// Where in the source.
    pub span: Span,
    /// How to mend it, if that is known.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(name: &'static str, message: impl Into<String>, span: Span) -> Self {
        Diagnostic {
            name,
            severity: Severity::Error,
            message: message.into(),
            span,
            help: None,
        }
    }

    /// A warning.
    pub fn warning(name: &'static str, message: impl Into<String>, span: Span) -> Self {
        Diagnostic {
            severity: Severity::Warning,
            ..Self::error(name, message, span)
        }
    }

    /// Adds how to mend it.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Shows the finding with the lines it is about: `file:line:column`, the line, carets below the span, the help.
    pub fn render(&self, file: &str, source: &str) -> String {
        super::render::render(self, file, source)
    }
}

/// The findings about one source. The error of a parse.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    /// The text that the spans point into.
    pub source: Arc<str>,
    /// In the order of the source.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Shows all findings, a blank line between them.
    pub fn render(&self, file: &str) -> String {
        let rendered: Vec<_> = self
            .list
            .iter()
            .map(|found| found.render(file, &self.source))
            .collect();
        rendered.join("\n")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render("Containerfile").trim_end())
    }
}

impl std::error::Error for Diagnostics {}
