//! `--compression`: `gzip`, `zstd`, `none`, with a level behind a colon.

use std::str::FromStr;

use rbuild::layer::Compression;

/// How new layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compress(pub Compression);

impl FromStr for Compress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let level = |default: u8, most: u8| match level {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(level) if (1..=most).contains(&level) => Ok(level),
                _ => Err(format!(
                    "{text:?} is no level of {name}: it is a number from 1 to {most}"
                )),
            },
        };
        match name {
            "gzip" => Ok(Self(Compression::Gzip(level(Compression::GZIP_LEVEL, 12)?))),
            "zstd" => Ok(Self(Compression::Zstd(level(Compression::ZSTD_LEVEL, 22)?))),
            "none" | "uncompressed" if !text.contains(':') => Ok(Self(Compression::None)),
            _ => Err(format!(
                "{text:?} is no compression: gzip, gzip:LEVEL, zstd, zstd:LEVEL or none"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_levels() {
        for (text, compression) in [
            ("gzip", Compression::Gzip(1)),
            ("gzip:9", Compression::Gzip(9)),
            ("zstd", Compression::Zstd(3)),
            ("zstd:19", Compression::Zstd(19)),
            ("none", Compression::None),
            ("uncompressed", Compression::None),
        ] {
            assert_eq!(text.parse(), Ok(Compress(compression)), "{text}");
        }
        for text in ["", "xz", "gzip:0", "gzip:13", "zstd:x", "none:1", "gzip:"] {
            assert!(text.parse::<Compress>().is_err(), "{text}");
        }
    }
}
