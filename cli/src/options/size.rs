//! Sizes in bytes, for people.

use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// A number of bytes: `1000`, `10kB`, `10MB`, `1.5GB` (powers of 1000), `1KiB`, `1MiB`, `1GiB` (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1_000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "t" | "tb" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1_u64 << 40,
            _ => bail!("unknown unit {unit:?}; known are kB, MB, GB, TB, KiB, MiB, GiB, TiB"),
        };
        let number = number.trim();
        if let Ok(whole) = number.parse::<u64>() {
            return whole
                .checked_mul(factor)
                .map(Self)
                .context("more bytes than there are");
        }
        match number.parse::<f64>() {
            Ok(value) if value.is_finite() && value >= 0.0 => Ok(Self((value * factor as f64) as u64)),
            _ => bail!("{number:?} is not a number of bytes"),
        }
    }
}

/// Three digits or so, and a unit of powers of 1000: `0 B`, `999 B`, `1.5 kB`, `24 MB`.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        let cases = [
            ("0", 0),
            ("1000", 1000),
            ("10kB", 10_000),
            ("1.5 GB", 1_500_000_000),
            ("2GiB", 2 << 30),
            ("3m", 3_000_000),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Size>().unwrap(), Size(expected), "{text}");
        }
        for text in ["", "GB", "-1", "1e", "ten", "inf", "99999999999TB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn writes_sizes() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1549, "1.5 kB"),
            (9949, "9.9 kB"),
            (9951, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (24_000_000, "24 MB"),
            (u64::MAX, "18 EB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(human(bytes), expected, "{bytes}");
        }
    }
}
