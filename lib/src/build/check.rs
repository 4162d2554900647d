//! What a Containerfile would be told without building it.

use std::sync::Arc;

use super::{
    Build, Context, Source,
    error::{BuildError, Problem},
    input::Input,
};
use crate::{
    containerfile::{Diagnostic, Diagnostics, lint},
    registry::without_password,
    store::Store,
};

/// The findings about a Containerfile.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The file's name, as the user gave it.
    pub file: String,
    /// Its text, which the spans of the findings point into.
    pub source: Arc<str>,
    /// In the order of the text; mistakes have the severity of an error.
    pub findings: Vec<Diagnostic>,
}

impl Build {
    /// Reads the Containerfile and says what is wrong with it, and what is likely not meant. Nothing is built.
    ///
    /// # Errors
    /// When the Containerfile cannot be read; nothing is fetched for it. Mistakes in it are findings.
    pub fn check(&self, store: &Store) -> Result<Checked, BuildError> {
        if let (Context::Remote(address), Source::Default | Source::InContext(_)) =
            (&self.context, &self.containerfile)
        {
            let address = without_password(address);
            let message =
                format!("{address} is not fetched for a check: name a Containerfile of this machine");
            return Err(Problem::Unsupported(message).into());
        }
        match Input::read(self, store, None) {
            Ok((input, sources)) => Ok(Checked {
                file: input.text.file.clone(),
                source: input.text.source.clone(),
                findings: findings(&input, sources.ignore()),
            }),
            Err(error) => match (error.problem(), error.at()) {
                (Problem::Syntax(mistakes), Some(at)) => Ok(Checked {
                    file: at.file.clone(),
                    source: mistakes.source.clone(),
                    findings: mistakes.list.clone(),
                }),
                _ => Err(error),
            },
        }
    }
}

fn findings(input: &Input, ignore: &crate::containerfile::ignore::Ignore) -> Vec<Diagnostic> {
    let options = lint::Options {
        ignore: Some(ignore),
        ..lint::Options::default()
    };
    input.parsed.lint(&options)
}

/// What a build says about its Containerfile before it begins: warnings for the caller, or an error if the file asks
/// for that with `# check=error=true`.
pub(super) fn before_build(
    input: &Input,
    ignore: &crate::containerfile::ignore::Ignore,
) -> Result<Vec<Diagnostic>, BuildError> {
    let findings = findings(input, ignore);
    if findings
        .iter()
        .any(|found| found.severity == crate::containerfile::Severity::Error)
    {
        let source = input.text.source.clone();
        let error = Problem::Syntax(Diagnostics {
            source,
            list: findings,
        });
        return Err(BuildError::from(error).at_place(|| input.at(0..0)));
    }
    Ok(findings)
}
