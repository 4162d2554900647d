//! One line of comma-separated values (RFC 4180), split into keys and values.

use anyhow::{Result, bail};

/// `key=value` fields in order; a field without `=` has no value. Keys are lower-cased.
pub fn fields(text: &str) -> Result<Vec<(String, Option<String>)>> {
    let key_and_value = |field: String| match field.split_once('=') {
        Some((key, value)) => (key.trim().to_ascii_lowercase(), Some(value.to_owned())),
        None => (field.trim().to_ascii_lowercase(), None),
    };
    Ok(split(text)?.into_iter().map(key_and_value).collect())
}

/// Splits at commas; a field in double quotes may hold commas, and a quote as two of them.
fn split(text: &str) -> Result<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => bail!("{text:?}: a closing quote must be followed by a comma"),
        }
    }
}

/// What stands before the closing quote, and what follows it.
fn quoted_field(text: &str) -> Result<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('"') {
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Ok((field, after)),
        }
    }
    bail!("{text:?}: the closing quote is missing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_commas_outside_quotes() {
        let cases: [(&str, &[&str]); 6] = [
            ("a", &["a"]),
            ("a=1,b=2", &["a=1", "b=2"]),
            ("a=1,", &["a=1", ""]),
            (r#""dest=a,b",type=oci"#, &["dest=a,b", "type=oci"]),
            (r#""say ""hi""""#, &[r#"say "hi""#]),
            ("", &[""]),
        ];
        for (text, expected) in cases {
            assert_eq!(split(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_broken_quotes() {
        for text in ["\"a", "\"a\"b", "\""] {
            assert!(split(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_are_of_any_case_and_values_keep_theirs() {
        let expected = [
            ("type".to_owned(), Some("A=b".to_owned())),
            ("rw".to_owned(), None),
        ];
        assert_eq!(fields("TYPE=A=b,RW").unwrap(), expected);
    }
}
