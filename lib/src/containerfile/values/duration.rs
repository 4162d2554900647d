//! Durations in Go's notation: `1m30s`, `1.5h`, `300ms`.

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no duration such as 30s, 1m30s or 500ms")]
pub struct InvalidDuration(String);

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3600 * 1_000_000_000),
];

/// Reads a duration; the result is in nanoseconds.
pub fn parse_duration(text: &str) -> Result<i64, InvalidDuration> {
    parse(text).ok_or_else(|| InvalidDuration(text.to_owned()))
}

fn parse(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let (part, after) = take_part(rest)?;
        total = total.checked_add(part)?;
        rest = after;
    }
    Some(sign * total)
}

/// One number with its unit.
fn take_part(text: &str) -> Option<(i64, &str)> {
    let (whole, rest) = take_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => take_digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanoseconds = whole.checked_mul(*scale)?;
    let mut step = *scale as f64;
    for digit in fraction.bytes() {
        step /= 10.0;
        // Rounded down for each digit's share; the last digits of a long fraction do not count.
        nanoseconds = nanoseconds.checked_add((f64::from(digit - b'0') * step) as u64)?;
    }
    Some((i64::try_from(nanoseconds).ok()?, rest))
}

fn take_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, want) in [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("300ms", 300_000_000),
            ("2us", 2_000),
            ("2µs", 2_000),
            ("1h0m1ns", 3_600_000_000_001),
            ("-1s", -1_000_000_000),
            ("+1s", 1_000_000_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "1",
            "s",
            ".s",
            "1d",
            "1s ",
            "1 s",
            "--1s",
            "9999999999h",
            "1s2",
            "99999999999999999999s",
        ] {
            assert_eq!(parse_duration(text), Err(InvalidDuration(text.into())), "{text}");
        }
    }
}
