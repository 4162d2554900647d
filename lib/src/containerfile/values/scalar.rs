//! Yes or no, and sizes.

/// Reads what Go takes for a boolean: `1`, `t`, `true`, `0`, `f`, `false`, also `T`, `True`, `TRUE` and so on.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Reads a size in bytes: `64m`, `1.5GiB`, `100 kb`. All units are powers of 1024.
pub fn parse_size(text: &str) -> Option<u64> {
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')? + 1;
    let (number, unit) = text.split_at(end);
    let number = number.strip_suffix(' ').unwrap_or(number);
    // What Rust reads as a number besides digits is none here.
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    let unit = unit.to_ascii_lowercase();
    let shift = match unit
        .strip_suffix("ib")
        .or(unit.strip_suffix('b'))
        .unwrap_or(&unit)
    {
        "" if unit != "ib" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    let size = number * (1_u64 << shift) as f64;
    // Beyond 2^63 there is no file system, and no exact number either.
    (size < 9.2e18).then_some(size as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bools() {
        for (text, want) in [
            ("1", Some(true)),
            ("TRUE", Some(true)),
            ("f", Some(false)),
            ("yes", None),
            ("", None),
            ("tRue", None),
        ] {
            assert_eq!(parse_bool(text), want, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, want) in [
            ("0", Some(0)),
            ("100", Some(100)),
            ("32b", Some(32)),
            ("1k", Some(1024)),
            ("1kb", Some(1024)),
            ("1KiB", Some(1024)),
            ("1.5m", Some(1_572_864)),
            ("64 MB", Some(64 << 20)),
            ("2g", Some(2 << 30)),
            ("3t", Some(3 << 40)),
            ("1p", Some(1 << 50)),
            ("", None),
            ("m", None),
            ("-1", None),
            ("1x", None),
            ("1ib", None),
            ("1e3", None),
            ("1 2m", None),
            ("1..2", None),
            ("99999999999p", None),
        ] {
            assert_eq!(parse_size(text), want, "{text}");
        }
    }
}
