//! Why a build fails: a problem, and the place in the Containerfile that it is about.

use std::{fmt, io, path::PathBuf, sync::Arc};

use crate::{
    archive,
    containerfile::{Diagnostics, Span},
    exec, image, layer,
    plan::graph::GraphError,
    registry, store, tree,
};

/// Why a build failed, and where. Cheap to clone: several stages may wait for the one that failed.
#[derive(Clone, Debug)]
pub struct BuildError {
    problem: Arc<Problem>,
    at: Option<Arc<At>>,
}

/// A place in a Containerfile.
#[derive(Clone, Debug)]
pub struct At {
    /// The file's name, as the user gave it.
    pub file: String,
    /// Its whole text.
    pub source: Arc<str>,
    /// Byte offsets in it.
    pub span: Span,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// There is no Containerfile.
    #[error("there is no {} in {place}", names.join(" and no "))]
    NoContainerfile {
        /// What was looked for.
        names: Vec<String>,
        /// Where.
        place: String,
    },
    /// A file of this machine cannot be read or written.
    #[error("cannot {action} {}: {why}", path.display())]
    Io {
        /// Read, write, open …
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// A file is not text.
    #[error("{place} is not UTF-8 text: the byte at offset {offset} is wrong")]
    NotText {
        /// Which file.
        place: String,
        /// Of the first wrong byte.
        offset: usize,
    },
    /// The Containerfile has mistakes.
    #[error("the Containerfile has mistakes")]
    Syntax(Diagnostics),
    /// A pattern of an ignore file is wrong.
    #[error("{file}: {message}")]
    IgnoreFile {
        /// Which one.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// The stages do not fit together.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A word cannot be expanded, or its value is not what the instruction takes.
    #[error("{0}")]
    Value(String),
    /// What a COPY or ADD names is not there.
    #[error("{source_name:?} is not in {place}")]
    NoSuchSource {
        /// As written, expanded.
        source_name: String,
        /// The context or stage.
        place: String,
        /// It is on disk, but an ignore file hides it.
        ignored_by: Option<String>,
        /// A name much like it that is there.
        similar: Option<String>,
    },
    /// A COPY or ADD would replace a directory by a file or the other way round.
    #[error("cannot copy {what} to {path:?}: {why}")]
    Conflict {
        /// A directory, a file.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What is there.
        why: &'static str,
    },
    /// The image has no such user.
    #[error("the image has no user {name:?}; its /etc/passwd has: {}", list(known))]
    NoSuchUser {
        /// As written.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// The image has no such group.
    #[error("the image has no group {name:?}; its /etc/group has: {}", list(known))]
    NoSuchGroup {
        /// As written.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// A RUN ended with another code than 0.
    #[error("the command ended with {}", outcome(*code))]
    Run {
        /// What a shell would say: 128 and more for a signal.
        code: i32,
        /// The last lines that it wrote, whole.
        tail: Vec<u8>,
    },
    /// A mount names a secret that nobody gave.
    #[error("the mount needs the secret {0:?}, and none of that name was given")]
    NoSecret(String),
    /// A mount names an agent that nobody gave.
    #[error("the mount needs the ssh agent {0:?}, and none of that name was given")]
    NoSsh(String),
    /// Something was downloaded, and is not what was asked for.
    #[error("{url}: expected {expected}, got {actual}")]
    Checksum {
        /// From where.
        url: String,
        /// What `--checksum` says.
        expected: String,
        /// What came.
        actual: String,
    },
    /// A download failed.
    #[error("cannot download {url}: {why}")]
    Download {
        /// From where.
        url: String,
        /// What happened.
        why: String,
    },
    /// A git repository cannot be had, or has not what is wanted.
    #[error("cannot use the git repository {remote}: {why}")]
    Git {
        /// Its address.
        remote: String,
        /// What happened.
        why: String,
    },
    /// A feature of the language that is not there yet, or cannot be here.
    #[error("{0}")]
    Unsupported(String),
    /// A base image cannot be had.
    #[error("cannot use the image {name}: {why}")]
    Base {
        /// As the user wrote it.
        name: String,
        /// Why.
        why: Arc<Problem>,
    },
    /// A registry.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A layer.
    #[error(transparent)]
    Layer(#[from] layer::Error),
    /// An image.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// A layout or archive.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// A tree.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// Reading a context.
    #[error(transparent)]
    Scan(#[from] tree::ScanError),
    /// Running a process.
    #[error(transparent)]
    Exec(#[from] exec::Error),
    /// Somebody stopped the build.
    #[error("the build was cancelled")]
    Cancelled,
    /// A thread of the build died.
    #[error("a thread of the build died: {0}")]
    Thread(String),
}

impl BuildError {
    /// What went wrong.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Which place in the Containerfile it is about.
    pub fn at(&self) -> Option<&At> {
        self.at.as_deref()
    }

    /// Says which base image it is about.
    pub(super) fn about_base(self, name: &str) -> Self {
        Problem::Base {
            name: name.to_owned(),
            why: self.problem,
        }
        .into()
    }

    /// Says where, unless that is known already.
    pub(super) fn at_place(mut self, place: impl FnOnce() -> At) -> Self {
        if self.at.is_none() {
            self.at = Some(Arc::new(place()));
        }
        self
    }
}

impl Problem {
    /// For `map_err` on input and output of a path.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |why| Self::Io { action, path, why }
    }
}

impl<T: Into<Problem>> From<T> for BuildError {
    fn from(problem: T) -> Self {
        Self {
            problem: Arc::new(problem.into()),
            at: None,
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for BuildError {
    /// What the text does not tell yet: that of a base image's problem is told with it.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let mut problem = &*self.problem;
        while let Problem::Base { why, .. } = problem {
            problem = why;
        }
        problem.source()
    }
}

fn list(names: &[String]) -> String {
    const MOST: usize = 12;
    match names {
        [] => "none, or there is no such file".to_owned(),
        names if names.len() > MOST => format!("{} …", names[..MOST].join(", ")),
        names => names.join(", "),
    }
}

fn outcome(code: i32) -> String {
    match code {
        129..=192 => format!("signal {}", code - 128),
        code => format!("exit code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(error: &BuildError) -> Vec<String> {
        let first: &(dyn std::error::Error + 'static) = error;
        std::iter::successors(Some(first), |error| error.source())
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn each_cause_is_told_once() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let own = BuildError::from(Problem::io("read", "/x")(denied()));
        assert_eq!(
            chain(&own.clone().about_base("a").about_base("b")),
            ["cannot use the image b: cannot use the image a: cannot read /x: permission denied"]
        );
        let store = || store::Error::Io {
            action: "open",
            path: "/s".into(),
            source: denied(),
        };
        for (error, first) in [
            (BuildError::from(store()), "cannot open /s"),
            (
                BuildError::from(store()).about_base("a"),
                "cannot use the image a: cannot open /s",
            ),
        ] {
            assert_eq!(chain(&error), [first, "permission denied"]);
        }
    }
}
