//! Builds that begin with what other builds made: contexts put together from files of images, as OpenShift's chained builds
//! have them, and builds beside a build.
//!
//! There is no second way to copy files: a context is put together by a build of `COPY`s, and its image written to a
//! directory.

use std::{path::Path, sync::Arc};

use super::{
    Build, Built, Context, NamedContext, Source,
    error::{BuildError, Problem},
};
use crate::{
    event::Event,
    registry::Registry,
    store::{Store, TmpDir},
};

/// The name that a context has in builds beside it. A context by that name is no concern of theirs.
const FILES: &str = "rbuild-files";

/// A file or a directory of an image that belongs to the context.
#[derive(Clone, Debug)]
pub(super) struct FromImage {
    image: String,
    source: String,
    directory: String,
}

impl FromImage {
    pub fn new(image: String, source: String, directory: String) -> Self {
        Self {
            image,
            source,
            directory,
        }
    }

    /// The instruction that copies it. A directory is copied itself, as OpenShift has it, and its contents only if the path
    /// ends in `/.`.
    fn instruction(&self) -> Result<String, Problem> {
        let (source, directory) = (&self.source, &self.directory);
        if !source.starts_with('/') || source.contains("..") {
            return Err(Problem::Value(format!(
                "{source:?} is no absolute path in the image {}",
                self.image
            )));
        }
        if directory.starts_with('/')
            || Path::new(directory)
                .components()
                .any(|part| part.as_os_str() == "..")
        {
            return Err(Problem::Value(format!(
                "{directory:?} is no directory in the context: it is to be relative, and to stay there"
            )));
        }
        let destination = within(directory, source);
        let paths = [source.as_str(), &destination].map(word).join(", ");
        Ok(format!("COPY --from={} [{paths}]\n", self.image))
    }
}

/// Where a copied file or directory is, in a directory below the root.
pub(super) fn within(directory: &str, source: &str) -> String {
    let directory = directory.trim_start_matches("./").trim_matches('/');
    let name = match source.trim_end_matches('/').rsplit('/').next() {
        // Contents, or several by a pattern: they go into the directory.
        None | Some("" | ".") => "",
        Some(name) if name.contains(['*', '?', '[']) => "",
        Some(name) => name,
    };
    let parts = ["", directory, name];
    let parts = parts
        .iter()
        .enumerate()
        .filter(|(at, part)| *at != 1 || !matches!(**part, "" | "."));
    parts.map(|(_, part)| *part).collect::<Vec<_>>().join("/")
}

/// A word in JSON form that means itself: nothing in it is expanded.
pub(super) fn word(text: &str) -> String {
    let plain = text.replace('\\', "\\\\").replace('$', "\\$");
    serde_json::Value::from(plain).to_string()
}

impl Build {
    /// Another build in the same surroundings. Its image has no name and goes nowhere, and of its steps nothing is told.
    pub(super) fn aside(&self, containerfile: String) -> Self {
        let outer = self.sink.clone();
        let sink = move |event: Event| {
            use Event::{TransferFinished, TransferProgress, TransferStarted, Warning};
            let of_interest = matches!(
                event,
                Warning { .. } | TransferStarted { .. } | TransferProgress { .. } | TransferFinished { .. }
            );
            if of_interest {
                outer(event);
            }
        };
        Self {
            sink: Arc::new(sink),
            containerfile: Source::Text(containerfile),
            target: None,
            labels: Vec::new(),
            tags: Vec::new(),
            cache_to: Vec::new(),
            early: Vec::new(),
            from_images: Vec::new(),
            one_layer: false,
            ..self.clone()
        }
    }

    /// Puts together the context that was asked for, in a directory that lives as long as what is given back with it.
    pub(super) async fn chained(
        mut self,
        store: &Store,
        registry: &Registry,
    ) -> Result<(Self, Option<TmpDir>), BuildError> {
        if self.from_images.is_empty() {
            return Ok((self, None));
        }
        let mut copies = String::new();
        for file in &self.from_images {
            copies += &file.instruction()?;
        }
        let gathered = self.gather(&copies, store, registry).await?;
        let directory = gathered.path().to_owned();
        self.context = Context::Directory(directory.clone());
        (self.below, self.from_images) = (None, Vec::new());
        // A path of this machine may lead into the context that it was.
        if let Source::InContext(path) = &self.containerfile {
            self.containerfile = Source::Path(directory.join(path));
        }
        Ok((self, Some(gathered)))
    }

    /// The files of the context, and what these instructions add, in a directory.
    pub(super) async fn gather(
        &self,
        copies: &str,
        store: &Store,
        registry: &Registry,
    ) -> Result<TmpDir, BuildError> {
        let mut build = self.aside(String::new());
        // Ignore files are for the build that the context is for, and never apply to `--from`.
        let all = match &self.context {
            Context::Directory(path) => {
                build
                    .contexts
                    .push((FILES.to_owned(), NamedContext::Directory(path.clone())));
                build.context = Context::Empty;
                format!("COPY --from={FILES} . /\n")
            }
            Context::Empty => String::new(),
            Context::Tar(_) | Context::Remote(_) => "COPY . /\n".to_owned(),
        };
        build.containerfile = Source::Text(format!("FROM scratch\n{all}{copies}"));
        let directory = store.tmp_dir()?;
        let built = build.solved(store, registry).await?;
        built.write_directory(directory.path()).await?;
        Ok(directory)
    }

    /// Builds, without a look at what the context is to be made of.
    pub(super) async fn solved(self, store: &Store, registry: &Registry) -> Result<Built, BuildError> {
        super::solver::solve(self, store, registry).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_into_directories() {
        for (source, directory, expected) in [
            ("/a/ROOT.war", ".", "/ROOT.war"),
            ("/a/ROOT.war", "x/y", "/x/y/ROOT.war"),
            ("/a/ROOT.war", "./x/", "/x/ROOT.war"),
            ("/a", "x", "/x/a"),
            ("/a/", "x", "/x/a"),
            ("/a/.", "x", "/x/"),
            ("/a/.", ".", "/"),
            ("/a/*.jar", "x", "/x/"),
        ] {
            assert_eq!(within(directory, source), expected, "{source} {directory}");
        }
    }

    #[test]
    fn words_mean_themselves() {
        for (text, expected) in [
            ("/a b", r#""/a b""#),
            ("/$a", r#""/\\$a""#),
            (r"/a\b", r#""/a\\\\b""#),
        ] {
            assert_eq!(word(text), expected);
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let of = |source: &str, directory: &str| {
            FromImage::new("i".into(), source.into(), directory.into()).instruction()
        };
        assert_eq!(of("/a", ".").unwrap(), "COPY --from=i [\"/a\", \"/a\"]\n");
        for (source, directory) in [("a", "."), ("/../a", "."), ("/a", "/x"), ("/a", "x/../..")] {
            assert!(of(source, directory).is_err(), "{source} {directory}");
        }
    }
}
