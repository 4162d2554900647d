//! `--format`: text with fields of a JSON value in it, as in Go's templates, without their control structures.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Fills in `{{.field}}` and `{{json .field}}`. Names of fields are found whatever their case.
pub fn fill(template: &str, value: &Value) -> Result<String> {
    let template = template.replace("\\n", "\n").replace("\\t", "\t");
    let mut text = String::new();
    let mut rest = template.as_str();
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, behind) = after.split_once("}}").context("a {{ in the template has no }}")?;
        text += before;
        text += &perform(action.trim(), value)?;
        rest = behind;
    }
    Ok(text + rest)
}

fn perform(action: &str, value: &Value) -> Result<String> {
    let (json, path) = match action.strip_prefix("json ") {
        Some(path) => (true, path.trim()),
        None => (false, action),
    };
    let Some(path) = path.strip_prefix('.') else {
        bail!("{{{{{action}}}}} is not understood: {{{{.field}}}} and {{{{json .field}}}} are");
    };
    let mut found = value;
    for name in path.split('.').filter(|name| !name.is_empty()) {
        found =
            field(found, name).with_context(|| format!("there is no field {name:?} for {{{{{action}}}}}"))?;
    }
    Ok(match found {
        Value::String(text) if !json => text.clone(),
        Value::Null if !json => String::new(),
        other => other.to_string(),
    })
}

fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        Value::Object(map) => map
            .get(name)
            .or_else(|| Some(map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?.1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_filled_in() {
        let value = json!({ "digest": "sha256:1", "config": { "User": "7", "Env": ["A=1"] }, "none": null });
        let table = [
            ("{{.Digest}}", "sha256:1"),
            ("a {{ .config.user }}b{{.none}}", "a 7b"),
            ("{{json .config.Env}}\\n{{.config.Env.0}}", "[\"A=1\"]\nA=1"),
            ("{{json .digest}}", "\"sha256:1\""),
            ("plain", "plain"),
        ];
        for (template, expected) in table {
            assert_eq!(fill(template, &value).unwrap(), expected, "{template}");
        }
        for wrong in ["{{.nothing}}", "{{range .}}", "{{.digest"] {
            assert!(fill(wrong, &value).is_err(), "{wrong}");
        }
    }
}
