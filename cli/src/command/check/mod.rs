//! `rbuild check`: what is wrong with a Containerfile, and what is likely not meant, without building it.
//!
//! - `sarif`: the findings for code hosts and editors

mod sarif;

use anyhow::Result;
use rbuild::{
    build::{Build, Checked},
    containerfile::{Severity, position},
    store::Store,
};
use serde::Serialize;

use super::{build::context, shared::print};
use crate::{
    cli::{Check, CheckFormat},
    report::{Failure, Outcome},
};

/// Exit code when something was found.
const FOUND: u8 = 1;

/// Checks what the flags name.
pub fn run(options: &Check, store: &Store) -> Outcome {
    let build = context::with_containerfile(context::parse(&options.context)?, options.file.as_deref())?;
    show(&build, options.format, store)
}

/// Prints the findings about a build's Containerfile.
pub fn show(build: &Build, format: CheckFormat, store: &Store) -> Outcome {
    let checked = build.check(store)?;
    print(&match format {
        CheckFormat::Text => text(&checked),
        CheckFormat::Json => json(&checked)?,
        CheckFormat::Sarif => sarif::render(&checked)?,
    })?;
    match checked.findings.is_empty() {
        true => Ok(()),
        false => Err(Box::new(Failure::silent(FOUND))),
    }
}

fn text(checked: &Checked) -> String {
    let count = |severity| {
        checked
            .findings
            .iter()
            .filter(|found| found.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let mut text = String::new();
    for found in &checked.findings {
        text += found.render(&checked.file, &checked.source).trim_end();
        text += "\n\n";
    }
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => format!("{}: nothing found\n", checked.file),
        (errors, warnings) => {
            text + &format!("{}, {}\n", plural(errors, "error"), plural(warnings, "warning"))
        }
    }
}

/// A finding for programs.
#[derive(Serialize)]
struct Row<'a> {
    rule: &'a str,
    severity: String,
    message: &'a str,
    help: Option<&'a str>,
    file: &'a str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

fn json(checked: &Checked) -> Result<String> {
    let rows = checked.findings.iter().map(|found| {
        let (from, to) = (
            position(&checked.source, found.span.start),
            position(&checked.source, found.span.end),
        );
        Row {
            rule: found.name,
            severity: found.severity.to_string(),
            message: &found.message,
            help: found.help.as_deref(),
            file: &checked.file,
            line: from.line,
            column: from.column,
            end_line: to.line,
            end_column: to.column,
        }
    });
    Ok(serde_json::to_string_pretty(&rows.collect::<Vec<_>>())? + "\n")
}
