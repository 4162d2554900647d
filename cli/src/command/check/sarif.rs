//! SARIF 2.1.0, the form in which code hosts and editors take findings.

use anyhow::Result;
use rbuild::{
    build::Checked,
    containerfile::{Diagnostic, Severity, lint::RULES, position},
};
use serde_json::{Value, json};

/// The findings as a SARIF log.
pub fn render(checked: &Checked) -> Result<String> {
    let rules = RULES
        .iter()
        .map(|rule| json!({ "id": rule.name, "shortDescription": { "text": rule.description } }));
    let results = checked.findings.iter().map(|found| result(checked, found));
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "rbuild",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    });
    Ok(serde_json::to_string_pretty(&log)? + "\n")
}

fn result(checked: &Checked, found: &Diagnostic) -> Value {
    let (from, to) = (
        position(&checked.source, found.span.start),
        position(&checked.source, found.span.end),
    );
    let text = match &found.help {
        Some(help) => format!("{}; {help}", found.message),
        None => found.message.clone(),
    };
    json!({
        "ruleId": found.name,
        "level": match found.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "message": { "text": text },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": checked.file },
            "region": {
                "startLine": from.line,
                "startColumn": from.column,
                "endLine": to.line,
                "endColumn": to.column,
            },
        } }],
    })
}
