//! Names of platforms, and which image serves which.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What an image runs on: `linux/amd64`, `linux/arm/v7`.
///
/// Parsing normalizes: `x86_64` is `amd64`, `aarch64` is `arm64`, `arm64/v8` is `arm64`, `arm` is `arm/v7`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// As Go names it: `amd64`, `arm64`, `riscv64`.
    #[serde(default)]
    pub architecture: String,
    /// As Go names it: `linux`.
    #[serde(default)]
    pub os: String,
    /// Version of the operating system.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Of the processor: `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Fields that have no name here: `os.features`, `features`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a platform: expected OS/ARCHITECTURE[/VARIANT], as in linux/arm64")]
pub struct ParsePlatformError(String);

impl Platform {
    /// The platform of these parts, normalized.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let os = match os {
            "macos" => "darwin".to_owned(),
            _ => os.to_ascii_lowercase(),
        };
        let (architecture, variant) = normalize(architecture, variant.unwrap_or_default());
        Self {
            architecture,
            os,
            os_version: None,
            variant: (!variant.is_empty()).then_some(variant),
            other: Map::new(),
        }
    }

    /// Linux on this machine's processor.
    pub fn host() -> Self {
        Self::new("linux", std::env::consts::ARCH, None)
    }

    /// Whether an image for `self` runs on `wanted`, and how well: higher is better.
    ///
    /// An `arm/v6` image runs on `arm/v7`, an `amd64/v2` one on `amd64/v3`, not the other way.
    pub fn serves(&self, wanted: &Self) -> Option<u32> {
        let have = Self::new(&self.os, &self.architecture, self.variant.as_deref());
        let want = Self::new(&wanted.os, &wanted.architecture, wanted.variant.as_deref());
        if have.os != want.os || have.architecture != want.architecture {
            return None;
        }
        if have.variant == want.variant {
            return Some(u32::MAX);
        }
        let (have, want) = (have.level()?, want.level()?);
        (have <= want).then_some(have)
    }

    /// The number in the variant: 7 of `v7`. Of `arm64` and `amd64` without one it is that of the first.
    fn level(&self) -> Option<u32> {
        match (&self.variant, self.architecture.as_str()) {
            (Some(variant), _) => variant.strip_prefix('v')?.parse().ok(),
            (None, "amd64") => Some(1),
            (None, "arm64") => Some(8),
            (None, _) => None,
        }
    }
}

fn normalize(architecture: &str, variant: &str) -> (String, String) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386" | "i486" | "i586" | "i686" | "x86", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        ("powerpc64" | "powerpc64le" | "ppc64el", _) => ("ppc64le", ""),
        ("loongarch64", variant) => ("loong64", variant),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParsePlatformError(text.chars().take(100).collect());
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let parts: Vec<&str> = text.split('/').collect();
        if parts
            .iter()
            .any(|part| part.is_empty() || !part.chars().all(legal))
        {
            return Err(wrong());
        }
        match parts[..] {
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(wrong()),
        }
    }
}
