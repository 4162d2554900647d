//! `--dry-run=client`: the manifests as text.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::manifest::Order;
use crate::options::Output;

/// What `-o` says the manifests are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A document for each.
    Yaml,
    /// A list.
    Json,
}

/// Takes the format from the outputs of the build, which share their flag with it.
pub fn format(outputs: &mut Vec<Output>) -> Result<Format> {
    let mut format = Format::Yaml;
    let mut places = Vec::new();
    for output in outputs.drain(..) {
        match &output {
            Output::Local(name) if name.as_os_str() == "yaml" => format = Format::Yaml,
            Output::Local(name) if name.as_os_str() == "json" => format = Format::Json,
            Output::Local(name) => bail!("-o {}: manifests are written as yaml or json", name.display()),
            _ => places.push(output),
        }
    }
    *outputs = places;
    Ok(format)
}

/// The manifests, as `kubectl create -f -` takes them.
pub fn manifests(order: &Order<'_>, format: Format) -> Result<String> {
    let mut objects: Vec<Value> = Vec::new();
    // Without its owner, which is not there yet.
    if let Some(secret) = order.secret(None) {
        objects.push(serde_json::to_value(secret)?);
    }
    objects.push(serde_json::to_value(order.job())?);
    match format {
        Format::Json => {
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
            Ok(serde_json::to_string_pretty(&list)? + "\n")
        }
        Format::Yaml => {
            let documents: Vec<String> = objects.iter().map(document).collect();
            Ok(documents.join("---\n"))
        }
    }
}

/// An object in YAML, in block style as people write manifests.
fn document(object: &Value) -> String {
    let mut text = String::new();
    put(object, 0, &mut text);
    text
}

/// What is in an object or an array, a line for each, this deep.
fn put(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = string(name);
                match value {
                    Value::Object(inner) if !inner.is_empty() => {
                        text.push_str(&format!("{indent}{name}:\n"));
                        put(value, depth + 1, text);
                    }
                    Value::Array(inner) if !inner.is_empty() => {
                        text.push_str(&format!("{indent}{name}:\n"));
                        put(value, depth, text);
                    }
                    scalar => text.push_str(&format!("{indent}{name}: {}\n", self::scalar(scalar))),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = String::new();
                match item {
                    Value::Object(_) | Value::Array(_) => put(item, depth + 1, &mut inner),
                    scalar => inner = format!("{indent}  {}\n", self::scalar(scalar)),
                }
                // The first line of an item begins with a dash in the place of its last indent.
                text.push_str(&format!(
                    "{indent}- {}",
                    inner.get(indent.len() + 2..).unwrap_or_default()
                ));
            }
        }
        scalar => text.push_str(&format!("{indent}{}\n", self::scalar(scalar))),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        // Numbers, booleans, null, and what is empty are the same in both.
        other => other.to_string(),
    }
}

/// A string as it is if it can be nothing else, and else in quotes, as JSON has it.
fn string(text: &str) -> String {
    const WORDS: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let is_word = WORDS.contains(&&*text.to_ascii_lowercase());
    match begins && text.chars().all(plain) && !is_word {
        true => text.to_owned(),
        false => Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_is_laid_out_as_people_write_it() {
        let object = json!({
            "kind": "Job",
            "spec": { "empty": {}, "none": [], "list": ["a", "yes", 1, "1", { "b": true, "c": [[null], ["x: y"]] }] },
            "a/b.c": "", "-": "-x",
        });
        let expected = "\
kind: Job
spec:
  empty: {}
  none: []
  list:
  - a
  - \"yes\"
  - 1
  - \"1\"
  - b: true
    c:
    - - null
    - - \"x: y\"
a/b.c: \"\"
\"-\": \"-x\"
";
        assert_eq!(document(&object), expected);
    }

    #[test]
    fn the_format_is_told_from_other_outputs() {
        let formats = |words: &[&str]| {
            let mut outputs = words.iter().map(|word| word.parse().unwrap()).collect();
            format(&mut outputs).map(|format| (format, outputs.len()))
        };
        assert_eq!(formats(&[]).unwrap(), (Format::Yaml, 0));
        assert_eq!(formats(&["yaml"]).unwrap(), (Format::Yaml, 0));
        assert_eq!(formats(&["type=registry", "json"]).unwrap(), (Format::Json, 1));
        assert_eq!(
            formats(&["wide"]).unwrap_err().to_string(),
            "-o wide: manifests are written as yaml or json"
        );
    }
}
