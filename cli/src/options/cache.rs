//! `--cache-from` and `--cache-to`: caches that machines share.

use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use rbuild::build::{CacheMode, CachePlace};

use super::fields::fields;

/// One `--cache-from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheFrom(pub CachePlace);

/// One `--cache-to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheTo(pub CachePlace, pub CacheMode);

impl FromStr for CacheFrom {
    type Err = anyhow::Error;

    /// `REF`, `type=registry,ref=REF` or `type=local,src=DIR`.
    fn from_str(text: &str) -> Result<Self> {
        Ok(Self(Spec::parse(text, "src")?.place()?))
    }
}

impl FromStr for CacheTo {
    type Err = anyhow::Error;

    /// `REF`, `type=registry,ref=REF[,mode=min]` or `type=local,dest=DIR[,mode=min]`.
    fn from_str(text: &str) -> Result<Self> {
        let mut spec = Spec::parse(text, "dest")?;
        let mode = match spec.mode.take().as_deref() {
            None | Some("max") => CacheMode::Max,
            Some("min") => CacheMode::Min,
            Some(other) => bail!("unknown mode {other:?}; known are min and max"),
        };
        Ok(Self(spec.place()?, mode))
    }
}

/// The fields of a `type=…` spec.
struct Spec {
    kind: String,
    reference: Option<String>,
    /// What a directory is called: `src` or `dest`.
    key: &'static str,
    directory: Option<String>,
    mode: Option<String>,
}

impl Spec {
    fn parse(text: &str, key: &'static str) -> Result<Self> {
        let mut spec = Self {
            kind: String::new(),
            reference: None,
            key,
            directory: None,
            mode: None,
        };
        if !text.contains('=') {
            spec.kind = "registry".to_owned();
            spec.reference = Some(text.to_owned()).filter(|text| !text.is_empty());
            return Ok(spec);
        }
        for (name, value) in fields(text)? {
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                bail!("{name:?} needs a value, as in {name}=VALUE");
            };
            match name.as_str() {
                "type" => spec.kind = value,
                "ref" => spec.reference = Some(value),
                "mode" if key == "dest" => spec.mode = Some(value),
                name if name == key => spec.directory = Some(value),
                // What these ask for is so in any case: a cache never ends a build, and what it holds are OCI manifests.
                "ignore-error" | "image-manifest" | "oci-mediatypes" if value == "true" => {}
                name if key == "dest" => bail!("unknown key {name:?}; known are type, ref, dest, mode"),
                name => bail!("unknown key {name:?}; known are type, ref, src"),
            }
        }
        ensure!(
            !spec.kind.is_empty(),
            "the type is missing, as in type=registry,ref=REF"
        );
        Ok(spec)
    }

    fn place(self) -> Result<CachePlace> {
        match (self.kind.as_str(), self.reference, self.directory) {
            ("registry", Some(reference), None) => {
                let reference: rbuild::Reference = reference.parse()?;
                ensure!(reference.digest().is_none(), "{reference}: a cache has no digest");
                Ok(CachePlace::Registry(reference))
            }
            ("registry", _, _) => bail!("type=registry needs ref=REF, and no {}", self.key),
            ("local", None, Some(directory)) => Ok(CachePlace::Local(directory.into())),
            ("local", _, _) => bail!("type=local needs {}=DIRECTORY, and no ref", self.key),
            (kind, _, _) => bail!("unknown type {kind:?}; known are registry and local"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(name: &str) -> CachePlace {
        CachePlace::Registry(name.parse().unwrap())
    }

    #[test]
    fn every_form() {
        let local = || CachePlace::Local("dir".into());
        let from = [
            ("r.example/a:c", registry("r.example/a:c")),
            ("type=registry,ref=r.example/a", registry("r.example/a")),
            ("ref=a,type=registry", registry("a")),
            ("type=local,src=dir", local()),
        ];
        for (text, expected) in from {
            assert_eq!(text.parse::<CacheFrom>().unwrap(), CacheFrom(expected), "{text}");
        }
        let to = [
            ("r.example/a", registry("r.example/a"), CacheMode::Max),
            ("type=registry,ref=a,mode=max", registry("a"), CacheMode::Max),
            (
                "type=registry,ref=a,mode=min,ignore-error=true",
                registry("a"),
                CacheMode::Min,
            ),
            ("type=local,dest=dir", local(), CacheMode::Max),
        ];
        for (text, place, mode) in to {
            assert_eq!(text.parse::<CacheTo>().unwrap(), CacheTo(place, mode), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        let to = [
            ("", "type=registry needs ref=REF, and no dest"),
            ("ref=a", "the type is missing, as in type=registry,ref=REF"),
            (
                "type=inline",
                "unknown type \"inline\"; known are registry and local",
            ),
            ("type=registry", "type=registry needs ref=REF, and no dest"),
            ("type=local,ref=a", "type=local needs dest=DIRECTORY, and no ref"),
            (
                "type=local,src=a",
                "unknown key \"src\"; known are type, ref, dest, mode",
            ),
            (
                "type=local,dest=a,mode=all",
                "unknown mode \"all\"; known are min and max",
            ),
            ("type=local,dest", "\"dest\" needs a value, as in dest=VALUE"),
            (
                &digest,
                &format!("docker.io/library/{digest}: a cache has no digest"),
            ),
        ];
        for (text, expected) in to {
            assert_eq!(
                text.parse::<CacheTo>().unwrap_err().to_string(),
                expected,
                "{text}"
            );
        }
        let error = "type=local,src=a,mode=max".parse::<CacheFrom>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown key \"mode\"; known are type, ref, src"
        );
    }
}
