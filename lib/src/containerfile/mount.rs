//! What `RUN --mount=…` asks for.

use super::{
    csv::{self, CsvError},
    expand::ExpandError,
    ignore::clean,
    suggest,
    values::{parse_bool, parse_size},
};

/// A mount of a `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where in the container, as given; see [`Mount::resolve_target`]. Empty if it was not.
    pub target: String,
    /// What.
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// Part of a stage, an image or a context.
    Bind {
        /// Stage, named context or image; none for the build context. Never expanded.
        from: Option<String>,
        /// The part: an absolute path, `/` for all.
        source: String,
        /// If not, writes are thrown away after the `RUN`.
        read_only: bool,
    },
    /// A directory that builds share.
    Cache {
        /// Mounts of one id share their contents.
        id: String,
        /// What happens while another build uses it.
        sharing: Sharing,
        /// What it holds at first: a stage, named context or image; none for nothing.
        from: Option<String>,
        /// The part of `from`: an absolute path, `/` for all.
        source: String,
        /// Whether it can be written to.
        read_only: bool,
        /// Permissions of the directory when it is made.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// A file system in memory.
    Tmpfs {
        /// Its size in bytes, if it is limited.
        size: Option<u64>,
    },
    /// A secret, as a file, a variable or both.
    Secret {
        /// Its name.
        id: String,
        /// The path of the file; none if it is a variable only.
        path: Option<String>,
        /// The name of the variable.
        env: Option<String>,
        /// Whether the build fails without it.
        required: bool,
        /// Permissions of the file.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// The socket of an SSH agent.
    Ssh {
        /// Its name.
        id: String,
        /// Whether the build fails without it.
        required: bool,
        /// Permissions of the socket.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

/// What happens to a cache that several builds want at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// They use it together.
    #[default]
    Shared,
    /// Each gets one of its own.
    Private,
    /// One waits for the other.
    Locked,
}

/// Why a mount cannot be made sense of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The list of options is malformed.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// A value cannot be expanded.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// An option that there is not.
    #[error("there is no option {key}{}", suggestion.map(|name| format!(", did you mean {name}?")).unwrap_or_default())]
    UnknownOption {
        /// As given, in lower case.
        key: String,
        /// What may have been meant.
        suggestion: Option<&'static str>,
    },
    /// An option without its value.
    #[error("option {0} needs a value, {0}=…")]
    MissingValue(String),
    /// A value that is none for this option.
    #[error("{value:?} is no {key}: it is {expected}")]
    InvalidValue {
        /// The option.
        key: String,
        /// As given.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// An option that this type of mount does not have.
    #[error("{kind} mounts have no option {key}")]
    NotForType {
        /// The type.
        kind: &'static str,
        /// The option.
        key: &'static str,
    },
    /// A variable in `from`, where none is replaced.
    #[error("from does not take variables; give the image a stage of its own")]
    VariableInFrom,
    /// Both `id` and `source` of a secret.
    #[error("id and source of a secret are the same thing: give one of them")]
    IdAndSource,
    /// A secret without a name.
    #[error("a secret needs an id or a target")]
    MissingId,
    /// The target is the root directory.
    #[error("nothing can be mounted on {0:?}: it is the root directory")]
    InvalidTarget(String),
}

/// What is wrong before anything is expanded. The rest shows when the `RUN` is reached.
pub(super) fn check(text: &str) -> Result<(), MountError> {
    for field in csv::split(text)? {
        let (key, value) = field.split_once('=').unwrap_or((&field, ""));
        if key.eq_ignore_ascii_case("from") && value.find('$').is_some_and(|at| at + 1 < value.len()) {
            return Err(MountError::VariableInFrom);
        }
    }
    Ok(())
}

impl Mount {
    /// Reads the value of a `--mount`. Options are split first, then each value is expanded.
    pub fn parse(
        text: &str,
        mut expand: impl FnMut(&str) -> Result<String, ExpandError>,
    ) -> Result<Self, MountError> {
        check(text)?;
        let mut options = Options::default();
        for field in csv::split(text)? {
            match field.split_once('=') {
                Some((key, value)) => options.set(&key.to_lowercase(), &expand(value)?)?,
                None => options.set_alone(&field.to_lowercase(), &field)?,
            }
        }
        options.finish()
    }

    /// The absolute path in the container: a relative target is below the working directory.
    pub fn resolve_target(&self, workdir: &str) -> Result<String, MountError> {
        let path = match self.target.starts_with('/') {
            true => clean(&self.target),
            false => clean(&format!("/{workdir}/{}", self.target)),
        };
        match path.as_str() {
            "/" => Err(MountError::InvalidTarget(self.target.clone())),
            _ => Ok(path),
        }
    }
}

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "required",
    "size",
    "id",
    "sharing",
    "mode",
    "uid",
    "gid",
    "env",
];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Type {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Type::Bind => "bind",
            Type::Cache => "cache",
            Type::Tmpfs => "tmpfs",
            Type::Secret => "secret",
            Type::Ssh => "ssh",
        }
    }
}

/// All options that there are.
#[derive(Default)]
struct Options {
    kind: Type,
    from: Option<String>,
    source: Option<String>,
    target: String,
    read_only: Option<bool>,
    required: bool,
    size: Option<u64>,
    id: Option<String>,
    sharing: Option<Sharing>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    env: Option<String>,
}

impl Options {
    /// An option without a value.
    fn set_alone(&mut self, key: &str, field: &str) -> Result<(), MountError> {
        match key {
            "readonly" | "ro" => self.read_only = Some(true),
            "readwrite" | "rw" => self.read_only = Some(false),
            "required" => {
                self.only_for(&[Type::Secret, Type::Ssh], "required")?;
                self.required = true;
            }
            key if KEYS.contains(&key) => return Err(MountError::MissingValue(field.to_owned())),
            key => return Err(unknown(key)),
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), MountError> {
        let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
        let invalid = |expected| MountError::InvalidValue {
            key: key.to_owned(),
            value: value.to_owned(),
            expected,
        };
        let number = |radix| {
            u32::from_str_radix(value, radix)
                .ok()
                .filter(|_| !value.starts_with('+'))
        };
        let bool = || parse_bool(value).ok_or_else(|| invalid("true or false"));
        match key {
            "type" => {
                self.kind = parse_type(value).ok_or_else(|| invalid("bind, cache, tmpfs, secret or ssh"))?
            }
            "from" => self.from = text(),
            "source" | "src" => self.source = text(),
            "target" | "dst" | "destination" => self.target = value.to_owned(),
            "readonly" | "ro" => self.read_only = Some(bool()?),
            "readwrite" | "rw" => self.read_only = Some(!bool()?),
            "required" => {
                self.only_for(&[Type::Secret, Type::Ssh], "required")?;
                self.required = bool()?;
            }
            "size" => {
                self.only_for(&[Type::Tmpfs], "size")?;
                self.size = Some(parse_size(value).ok_or_else(|| invalid("a size such as 64m or 1g"))?);
            }
            "id" => self.id = text(),
            "sharing" => {
                self.sharing =
                    Some(parse_sharing(value).ok_or_else(|| invalid("shared, private or locked"))?);
            }
            "mode" => self.mode = Some(number(8).ok_or_else(|| invalid("an octal number"))?),
            "uid" => self.uid = Some(number(10).ok_or_else(|| invalid("a number"))?),
            "gid" => self.gid = Some(number(10).ok_or_else(|| invalid("a number"))?),
            "env" => self.env = text(),
            key => return Err(unknown(key)),
        }
        Ok(())
    }

    fn only_for(&self, kinds: &[Type], key: &'static str) -> Result<(), MountError> {
        match kinds.contains(&self.kind) {
            true => Ok(()),
            false => Err(MountError::NotForType {
                kind: self.kind.name(),
                key,
            }),
        }
    }

    /// Checks what depends on the type, which may be given last.
    fn validate(&self) -> Result<(), MountError> {
        let files = [Type::Cache, Type::Secret, Type::Ssh];
        let given = [
            (self.mode.is_some(), "mode", &files[..]),
            (self.uid.is_some(), "uid", &files),
            (self.gid.is_some(), "gid", &files),
            (self.sharing.is_some(), "sharing", &[Type::Cache]),
            (self.env.is_some(), "env", &[Type::Secret]),
            (
                self.from.is_some(),
                "from",
                &[Type::Bind, Type::Cache, Type::Tmpfs, Type::Ssh],
            ),
            (
                self.source.is_some(),
                "source",
                &[Type::Bind, Type::Cache, Type::Tmpfs, Type::Secret],
            ),
        ];
        given
            .iter()
            .filter(|(given, ..)| *given)
            .try_for_each(|(_, key, kinds)| self.only_for(kinds, key))
    }

    fn finish(self) -> Result<Mount, MountError> {
        self.validate()?;
        let source = clean(&format!("/{}", self.source.as_deref().unwrap_or_default()));
        let (uid, gid) = (self.uid.unwrap_or_default(), self.gid.unwrap_or_default());
        let required = self.required;
        let target = self.target.clone();
        let kind = match self.kind {
            Type::Bind => MountKind::Bind {
                from: self.from,
                source,
                read_only: self.read_only.unwrap_or(true),
            },
            Type::Cache => MountKind::Cache {
                id: self.id.unwrap_or_else(|| clean(&target)),
                sharing: self.sharing.unwrap_or_default(),
                from: self.from,
                source,
                read_only: self.read_only.unwrap_or_default(),
                mode: self.mode.unwrap_or(0o755),
                uid,
                gid,
            },
            Type::Tmpfs => MountKind::Tmpfs { size: self.size },
            Type::Secret => self.secret()?,
            Type::Ssh => {
                let id = self.id.unwrap_or_else(|| "default".to_owned());
                MountKind::Ssh {
                    id,
                    required,
                    mode: self.mode.unwrap_or(0o600),
                    uid,
                    gid,
                }
            }
        };
        Ok(Mount { target, kind })
    }

    fn secret(self) -> Result<MountKind, MountError> {
        if self.source.is_some() && self.id.is_some() {
            return Err(MountError::IdAndSource);
        }
        let given = self.source.or(self.id);
        let target = Some(self.target).filter(|target| !target.is_empty());
        let id = given
            .or_else(|| target.as_deref().map(base_name))
            .ok_or(MountError::MissingId)?;
        let path = match (&self.env, target) {
            (Some(_), target) => target,
            (None, Some(target)) => Some(target),
            (None, None) => Some(format!("/run/secrets/{}", base_name(&id))),
        };
        Ok(MountKind::Secret {
            id,
            path,
            env: self.env,
            required: self.required,
            mode: self.mode.unwrap_or(0o400),
            uid: self.uid.unwrap_or_default(),
            gid: self.gid.unwrap_or_default(),
        })
    }
}

fn base_name(path: &str) -> String {
    path.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn unknown(key: &str) -> MountError {
    MountError::UnknownOption {
        key: key.to_owned(),
        suggestion: suggest::nearest(key, KEYS),
    }
}

fn parse_type(text: &str) -> Option<Type> {
    let all = [Type::Bind, Type::Cache, Type::Tmpfs, Type::Secret, Type::Ssh];
    all.into_iter()
        .find(|kind| text.eq_ignore_ascii_case(kind.name()))
}

fn parse_sharing(text: &str) -> Option<Sharing> {
    match text.to_lowercase().as_str() {
        "shared" => Some(Sharing::Shared),
        "private" => Some(Sharing::Private),
        "locked" => Some(Sharing::Locked),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
