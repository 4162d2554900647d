//! One line of comma-separated values, as in `--mount`.

/// Why a line is no list of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// Nothing at all.
    #[error("the value is empty")]
    Empty,
    /// A quote that does not begin a field, or is not followed by a comma.
    #[error("a \" must stand at the beginning of a field or at its end")]
    StrayQuote,
    /// A quote that is not closed.
    #[error("a \" is opened and not closed")]
    OpenQuote,
}

/// Splits at commas. A field in double quotes may hold commas, and quotes doubled.
pub(super) fn split(line: &str) -> Result<Vec<String>, CsvError> {
    if line.is_empty() {
        return Err(CsvError::Empty);
    }
    let mut fields = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let (field, after) = match text.strip_prefix('"') {
            Some(quoted) => take_quoted(quoted)?,
            None => take_plain(text)?,
        };
        fields.push(field);
        rest = after;
    }
    Ok(fields)
}

fn take_plain(text: &str) -> Result<(String, Option<&str>), CsvError> {
    let (field, rest) = match text.split_once(',') {
        Some((field, rest)) => (field, Some(rest)),
        None => (text, None),
    };
    match field.contains('"') {
        true => Err(CsvError::StrayQuote),
        false => Ok((field.to_owned(), rest)),
    }
}

/// Takes a field whose opening quote is gone already.
fn take_quoted(text: &str) -> Result<(String, Option<&str>), CsvError> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"').ok_or(CsvError::OpenQuote)?;
        field.push_str(before);
        match after.chars().next() {
            None => return Ok((field, None)),
            Some(',') => return Ok((field, after.get(1..))),
            Some('"') => field.push('"'),
            Some(_) => return Err(CsvError::StrayQuote),
        }
        rest = after.get(1..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting() {
        for (line, want) in [
            ("a", &["a"][..]),
            ("a=b,c=d", &["a=b", "c=d"]),
            ("a,", &["a", ""]),
            (",", &["", ""]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("\"a\"\"b\"", &["a\"b"]),
            ("\"\"", &[""]),
            (" a, b", &[" a", " b"]),
        ] {
            assert_eq!(split(line).expect("valid"), want, "{line}");
        }
    }

    #[test]
    fn errors() {
        for (line, want) in [
            ("", CsvError::Empty),
            ("a\"b", CsvError::StrayQuote),
            ("a,\"b", CsvError::OpenQuote),
            ("\"a\"b", CsvError::StrayQuote),
        ] {
            assert_eq!(split(line), Err(want), "{line}");
        }
    }
}
