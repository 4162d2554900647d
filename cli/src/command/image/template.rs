//! `--format`: text with fields of a JSON value in it, as in Go's templates, with the little of their language that
//! programs use on images.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// Fills in `{{.field}}`, `{{json .field}}`, `{{index .field 0 "key"}}` and `{{if .field}}…{{else}}…{{end}}`; `json` alone
/// stands for all of it. Names of fields are found whatever their case.
pub fn fill(template: &str, value: &Value) -> Result<String> {
    if template == "json" {
        return Ok(value.to_string());
    }
    ensure!(
        !template.starts_with("table "),
        "tables are not made by templates: leave out \"table\""
    );
    let template = template.replace("\\n", "\n").replace("\\t", "\t");
    let mut template = Template {
        rest: &template,
        value,
    };
    let (text, mark) = template.block(true)?;
    match mark {
        Mark::None => Ok(text),
        Mark::Else | Mark::End => bail!("the template has an end of nothing"),
    }
}

/// What is still to be filled in.
struct Template<'a> {
    rest: &'a str,
    value: &'a Value,
}

/// What a block ends with.
#[derive(PartialEq, Eq)]
enum Mark {
    None,
    Else,
    End,
}

impl Template<'_> {
    /// Text up to the end of a block; nothing of it is looked up unless it is wanted.
    fn block(&mut self, wanted: bool) -> Result<(String, Mark)> {
        let mut text = String::new();
        while let Some((before, after)) = self.rest.split_once("{{") {
            let (action, behind) = after.split_once("}}").context("a {{ in the template has no }}")?;
            self.rest = behind;
            text += before;
            match action.trim() {
                "end" => return Ok((text, Mark::End)),
                "else" => return Ok((text, Mark::Else)),
                action => match action.strip_prefix("if ") {
                    Some(condition) => text += &self.choice(condition, wanted)?,
                    None if wanted => text += &perform(action, self.value)?,
                    None => {}
                },
            }
        }
        text += std::mem::take(&mut self.rest);
        Ok((text, Mark::None))
    }

    /// From behind an `if` to behind its `end`.
    fn choice(&mut self, condition: &str, wanted: bool) -> Result<String> {
        let is_so = wanted && is_true(&operand(condition, self.value)?);
        let (text, mut mark) = self.block(is_so)?;
        let mut otherwise = String::new();
        if mark == Mark::Else {
            (otherwise, mark) = self.block(wanted && !is_so)?;
        }
        ensure!(mark == Mark::End, "an if in the template has no end");
        Ok(if is_so { text } else { otherwise })
    }
}

fn perform(action: &str, value: &Value) -> Result<String> {
    if let Some(path) = action.strip_prefix("json ") {
        return Ok(operand(path, value)?.to_string());
    }
    Ok(match operand(action, value)? {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    })
}

/// `.field.field`, or `index .field KEY…`.
fn operand(text: &str, value: &Value) -> Result<Value> {
    let mut words = text.split_whitespace();
    let mut path = words.next().unwrap_or_default();
    let is_index = path == "index";
    if is_index {
        path = words.next().unwrap_or_default();
    }
    let keys: Vec<&str> = words.collect();
    if !path.starts_with('.') || keys.is_empty() == is_index {
        bail!(
            "{{{{{text}}}}} is not understood: {{{{.field}}}}, {{{{json .field}}}}, {{{{index .field KEY}}}} and \
             {{{{if .field}}}}…{{{{else}}}}…{{{{end}}}} are"
        );
    }
    let mut found = value;
    let names = path.split('.').filter(|name| !name.is_empty());
    for name in names.chain(keys.into_iter().map(|key| key.trim_matches('"'))) {
        found =
            field(found, name).with_context(|| format!("there is no field {name:?} for {{{{{text}}}}}"))?;
    }
    Ok(found.clone())
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

/// As Go's templates have it: what is empty is false.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_filled_in() {
        let value = json!({ "digest": "sha256:1", "config": { "User": "7", "Env": ["A=1"], "Labels": { "a.b": "c" } },
            "none": null, "empty": [] });
        let table = [
            ("{{.Digest}}", "sha256:1"),
            ("a {{ .config.user }}b{{.none}}", "a 7b"),
            ("{{json .config.Env}}\\n{{.config.Env.0}}", "[\"A=1\"]\nA=1"),
            ("{{json .digest}}", "\"sha256:1\""),
            ("plain", "plain"),
            (
                "{{index .config.Env 0}} {{index .config.Labels \"a.b\"}}",
                "A=1 c",
            ),
            (
                "{{if .config.Env}}{{index .config.Env 0}}{{else}}{{.Id}}{{end}}",
                "A=1",
            ),
            (
                "{{if .empty}}{{index .empty 0}}{{else}}{{.digest}}{{end}}.",
                "sha256:1.",
            ),
            ("{{if .none}}a{{if .nothing}}b{{else}}c{{end}}d{{end}}e", "e"),
            (
                "{{if .digest}}a{{if .empty}}b{{end}}{{if .empty}}c{{else}}d{{end}}{{else}}e{{end}}",
                "ad",
            ),
        ];
        for (template, expected) in table {
            assert_eq!(fill(template, &value).unwrap(), expected, "{template}");
        }
        assert_eq!(fill("json", &json!({ "a": 1 })).unwrap(), "{\"a\":1}");
        for wrong in [
            "{{.nothing}}",
            "{{range .}}",
            "{{.digest",
            "{{end}}",
            "{{if .digest}}a",
            "{{index .empty}}",
            "{{index .empty 0}}",
            "{{.digest | json}}",
            "table {{.digest}}",
        ] {
            assert!(fill(wrong, &value).is_err(), "{wrong}");
        }
    }
}
