//! `-o`: where the image, or its files, go.

use std::{path::PathBuf, str::FromStr};

use anyhow::{Result, bail, ensure};

use super::fields::fields;

/// One `-o`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Push under this name, or under the `-t` names.
    Registry(Option<String>),
    /// An OCI layout in a directory.
    OciLayout(PathBuf),
    /// An OCI layout in a tar.
    OciArchive(Place),
    /// What `docker load` takes.
    DockerArchive(Place),
    /// The image's files in a directory.
    Local(PathBuf),
    /// The image's files in a tar.
    Tar(Place),
}

/// Where a single file goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `dest=-`
    Stdout,
    /// `dest=FILE`
    File(PathBuf),
}

impl FromStr for Output {
    type Err = anyhow::Error;

    /// `DIR`, `-`, or `type=TYPE[,dest=DEST][,name=NAME][,tar=false]`.
    fn from_str(text: &str) -> Result<Self> {
        ensure!(!text.is_empty(), "the destination is empty");
        if text == "-" {
            return Ok(Self::Tar(Place::Stdout));
        }
        if !text.contains('=') {
            return Ok(Self::Local(text.into()));
        }
        Spec::parse(text)?.output()
    }
}

impl Output {
    /// Whether it occupies standard output.
    pub fn takes_stdout(&self) -> bool {
        matches!(
            self,
            Self::OciArchive(Place::Stdout) | Self::DockerArchive(Place::Stdout) | Self::Tar(Place::Stdout)
        )
    }
}

/// The fields of a `type=…` spec.
#[derive(Default)]
struct Spec {
    kind: String,
    dest: Option<String>,
    name: Option<String>,
    tar: Option<bool>,
}

impl Spec {
    fn parse(text: &str) -> Result<Self> {
        let mut spec = Self::default();
        for (key, value) in fields(text)? {
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                bail!("{key:?} needs a value, as in {key}=VALUE");
            };
            match key.as_str() {
                "type" => spec.kind = value,
                "dest" => spec.dest = Some(value),
                "name" => spec.name = Some(value),
                "tar" => spec.tar = Some(boolean(&value)?),
                _ => bail!("unknown key {key:?}; known are type, dest, name, tar"),
            }
        }
        ensure!(
            !spec.kind.is_empty(),
            "the type is missing, as in type=oci,dest=image.tar"
        );
        Ok(spec)
    }

    fn output(self) -> Result<Output> {
        let kind = self.kind.clone();
        ensure!(
            self.name.is_none() || kind == "registry",
            "type={kind} takes no name; give it with -t"
        );
        ensure!(self.tar.is_none() || kind == "oci", "type={kind} takes no tar");
        match kind.as_str() {
            "registry" => {
                ensure!(
                    self.dest.is_none(),
                    "type=registry takes no dest; give the name with -t or name="
                );
                Ok(Output::Registry(self.name))
            }
            "oci" if self.tar == Some(false) => Ok(Output::OciLayout(self.directory()?)),
            "oci" | "oci-archive" => Ok(Output::OciArchive(self.place()?)),
            "docker" => Ok(Output::DockerArchive(self.place()?)),
            "local" => Ok(Output::Local(self.directory()?)),
            "tar" => Ok(Output::Tar(self.place()?)),
            _ => bail!("unknown type {kind:?}; known are registry, oci, docker, oci-archive, local, tar"),
        }
    }

    fn place(self) -> Result<Place> {
        match self.dest.as_deref() {
            Some("-") => Ok(Place::Stdout),
            Some(file) => Ok(Place::File(file.into())),
            None => bail!(
                "type={} needs dest=FILE, or dest=- for standard output",
                self.kind
            ),
        }
    }

    fn directory(self) -> Result<PathBuf> {
        match self.dest {
            Some(directory) if directory != "-" => Ok(directory.into()),
            _ => bail!("type={} needs dest=DIRECTORY", self.kind),
        }
    }
}

fn boolean(text: &str) -> Result<bool> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => bail!("{text:?} is neither true nor false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Place {
        Place::File(name.into())
    }

    #[test]
    fn every_form() {
        let cases = [
            ("out", Output::Local("out".into())),
            ("-", Output::Tar(Place::Stdout)),
            ("type=registry", Output::Registry(None)),
            (
                "type=registry,name=r.example/app",
                Output::Registry(Some("r.example/app".into())),
            ),
            ("type=oci,dest=x.tar", Output::OciArchive(file("x.tar"))),
            ("dest=x.tar,TYPE=oci", Output::OciArchive(file("x.tar"))),
            ("type=oci,dest=-", Output::OciArchive(Place::Stdout)),
            (
                "type=oci,dest=layout,tar=false",
                Output::OciLayout("layout".into()),
            ),
            ("type=oci-archive,dest=x.tar", Output::OciArchive(file("x.tar"))),
            ("type=docker,dest=x.tar", Output::DockerArchive(file("x.tar"))),
            ("type=local,dest=out", Output::Local("out".into())),
            ("type=tar,dest=x.tar", Output::Tar(file("x.tar"))),
            (r#"type=tar,"dest=a,b.tar""#, Output::Tar(file("a,b.tar"))),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Output>().unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            ("", "the destination is empty"),
            ("type=", "\"type\" needs a value, as in type=VALUE"),
            ("dest=x", "the type is missing, as in type=oci,dest=image.tar"),
            (
                "type=oci",
                "type=oci needs dest=FILE, or dest=- for standard output",
            ),
            ("type=local,dest=-", "type=local needs dest=DIRECTORY"),
            ("type=oci,tar=maybe,dest=x", "\"maybe\" is neither true nor false"),
            ("type=tar,tar=false,dest=x", "type=tar takes no tar"),
            (
                "type=docker,name=x,dest=x",
                "type=docker takes no name; give it with -t",
            ),
            (
                "type=registry,dest=x",
                "type=registry takes no dest; give the name with -t or name=",
            ),
            (
                "type=oci,dst=x",
                "unknown key \"dst\"; known are type, dest, name, tar",
            ),
            (
                "type=zip",
                "unknown type \"zip\"; known are registry, oci, docker, oci-archive, local, tar",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(
                text.parse::<Output>().unwrap_err().to_string(),
                expected,
                "{text}"
            );
        }
    }
}
