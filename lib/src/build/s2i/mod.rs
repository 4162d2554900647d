//! Source-to-image: an application's image made of its source and of a builder image that knows what to do with it, by the
//! conventions of OpenShift's `s2i`.
//!
//! A builder image has scripts: `assemble` makes the application of the source, `run` runs it, `save-artifacts` puts into
//! a tar what would help to assemble it again, `usage` says how to use the image; and `assemble-runtime` finishes the image
//! of another base that gets only what was assembled. Where they are is said by the image's labels.
//!
//! - `source`: what the source itself says: its environment, its own scripts, what is not to be copied
//! - `scripts`: which scripts there are, and where
//! - `text`: the Containerfile that does it all
//!
//! The image is then built like any other, with all that this comes with: caches, isolation, destinations.

mod scripts;
mod source;
mod text;

use std::{collections::BTreeMap, path::PathBuf};

use self::{
    scripts::Scripts,
    source::Said,
    text::{Previous, Runtime, Text},
};
use super::{
    Build, Built, Context, NamedContext,
    error::{BuildError, Problem},
};
use crate::{
    event::Event,
    image::ContainerConfig,
    registry::Registry,
    store::{Store, TmpDir},
};

/// Where sources and scripts go in a builder image that does not say.
const DESTINATION: &str = "/tmp";

/// An image to be made of a source and a builder image.
#[derive(Clone)]
pub struct SourceToImage {
    build: Build,
    builder: String,
    name: String,
    location: String,
    environment: Vec<(String, String)>,
    scripts: Option<String>,
    destination: Option<String>,
    previous: Option<String>,
    user: Option<String>,
    runtime: Option<String>,
    artifacts: Vec<(String, String)>,
    runtime_user: Option<String>,
}

/// An image that the build begins with: its config, and what its labels say.
struct Base {
    name: String,
    config: ContainerConfig,
}

impl Base {
    /// A label, by its name or by that of older images.
    fn label(&self, name: &str) -> Option<&str> {
        let found = |namespace: &str| self.config.labels.get(&format!("{namespace}{name}"));
        let label = found("io.openshift.s2i.").or_else(|| found("io.s2i."))?;
        Some(label.as_str()).filter(|label| !label.is_empty())
    }

    /// Who runs scripts; the image's own user unless a flag or a label says otherwise.
    fn user(&self, given: Option<&String>, label: &str) -> String {
        let said = given.map(String::as_str).or_else(|| self.label(label));
        said.unwrap_or(&self.config.user).to_owned()
    }

    fn workdir(&self) -> &str {
        match self.config.working_dir.as_str() {
            "" => "/",
            path => path,
        }
    }
}

impl SourceToImage {
    /// Of a build, its context is the source, and its settings are for all that is built on the way; its labels and names
    /// are for the image. A Containerfile and a target it has none.
    pub fn new(build: Build, builder: impl Into<String>) -> Self {
        let location = match &build.context {
            Context::Directory(path) | Context::Tar(path) => path.display().to_string(),
            Context::Remote(address) => crate::registry::without_password(address),
            Context::Empty => String::new(),
        };
        Self {
            name: build.tags.first().map(ToString::to_string).unwrap_or_default(),
            build,
            builder: builder.into(),
            location,
            environment: Vec::new(),
            scripts: None,
            destination: None,
            previous: None,
            user: None,
            runtime: None,
            artifacts: Vec::new(),
            runtime_user: None,
        }
    }

    /// Sets an environment variable, after those of the source's `.s2i/environment`; of the image, too.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Takes scripts from there before all others: `image:///DIR`, `file:///DIR`, or a URL of http or https.
    pub fn scripts_url(mut self, url: impl Into<String>) -> Self {
        self.scripts = Some(url.into());
        self
    }

    /// Puts sources and scripts into this directory of the builder image.
    pub fn destination(mut self, directory: impl Into<String>) -> Self {
        self.destination = Some(directory.into());
        self
    }

    /// Begins with what `save-artifacts` gives of this earlier image, if there is such an image.
    pub fn incremental_from(mut self, image: impl Into<String>) -> Self {
        self.previous = Some(image.into());
        self
    }

    /// Runs `assemble` and `save-artifacts` as this user.
    pub fn assemble_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Puts what was assembled onto this image, and nothing else that the builder has.
    pub fn runtime_image(mut self, image: impl Into<String>) -> Self {
        self.runtime = Some(image.into());
        self
    }

    /// What of the builder the runtime image gets: an absolute path, and a directory below the runtime image's working
    /// directory. May be called several times; if it is not, the runtime image's label says it.
    pub fn runtime_artifact(mut self, path: impl Into<String>, directory: impl Into<String>) -> Self {
        self.artifacts.push((path.into(), directory.into()));
        self
    }

    /// Runs `assemble-runtime` as this user.
    pub fn assemble_runtime_user(mut self, user: impl Into<String>) -> Self {
        self.runtime_user = Some(user.into());
        self
    }

    /// Builds the image into the store.
    ///
    /// # Errors
    /// If the builder image has no scripts, or a path is not one that it could be; and see [`Build::run`].
    pub async fn run(self, store: &Store, registry: &Registry) -> Result<Built, BuildError> {
        if self.runtime.is_some() && self.previous.is_some() {
            let problem =
                "an image on a runtime image has nothing that save-artifacts could save: not incremental";
            return Err(Problem::Value(problem.to_owned()).into());
        }
        let (source, _fetched) = self.source(store, registry).await?;
        let said = Said::read(&source)?;
        let builder = self.base(&self.builder, store, registry).await?;
        let scripts = self.find_scripts(&source, &builder, store, registry).await?;
        let runtime = self.runtime(&scripts, store, registry).await?;
        let previous = self.previous(store, registry).await?;
        let text = Text {
            builder: &builder.name,
            workdir: builder.workdir(),
            user: builder.user(self.user.as_ref(), "assemble-user"),
            image_user: builder.config.user.clone(),
            destination: self.destination_in(&builder),
            labels: self.labels(&said),
            environment: said.environment.iter().chain(&self.environment).collect(),
            ignored: &said.ignored,
            scripts: &scripts,
            previous,
            runtime,
        };
        let mut build = self.build.aside(text.containerfile()?);
        build.context = Context::Empty;
        build.below = None;
        build
            .contexts
            .push((text::SOURCE.to_owned(), NamedContext::Directory(source)));
        build.contexts.push((
            text::SCRIPTS.to_owned(),
            NamedContext::Directory(scripts.outside.clone()),
        ));
        let Build {
            tags,
            labels,
            cache_to,
            early,
            sink,
            ..
        } = self.build;
        (build.tags, build.labels, build.cache_to, build.early) = (tags, labels, cache_to, early);
        build.sink = sink;
        // As a container's changes are committed: what assemble has moved away is in no layer.
        build.one_layer = true;
        build.solved(store, registry).await
    }

    /// What the builder image's `usage` prints, in the events of a build of which nothing stays.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn usage(self, store: &Store, registry: &Registry) -> Result<(), BuildError> {
        let builder = self.base(&self.builder, store, registry).await?;
        let directory = match (&self.scripts, builder.label("scripts-url")) {
            (Some(url), _) => scripts::in_image(url),
            (None, Some(url)) => scripts::in_image(url),
            (None, None) => None,
        };
        let directory = directory.ok_or_else(|| Problem::Value(scripts::nowhere(&builder.name, "usage")))?;
        let mut text = format!("FROM {}\n", builder.name);
        for (name, value) in &self.environment {
            text += &text::pair("ENV", name, value)?;
        }
        text += &format!("RUN [{}]\n", text::json(&format!("{directory}/usage")));
        let mut build = self.build.aside(text).no_cache();
        build.context = Context::Empty;
        build.sink = self.build.sink.clone();
        build.solved(store, registry).await.map(drop)
    }

    /// The source in a directory of this machine.
    async fn source(
        &self,
        store: &Store,
        registry: &Registry,
    ) -> Result<(PathBuf, Option<TmpDir>), BuildError> {
        match &self.build.context {
            Context::Directory(path) if self.build.from_images.is_empty() => Ok((path.clone(), None)),
            _ => {
                let gathered = self.build.gather("", store, registry).await?;
                Ok((gathered.path().to_owned(), Some(gathered)))
            }
        }
    }

    /// What an image says of itself: found as every base is, by a build that does nothing with it.
    async fn base(&self, name: &str, store: &Store, registry: &Registry) -> Result<Base, BuildError> {
        let mut build = self.build.aside(format!("FROM {name}\n"));
        build.context = Context::Empty;
        let built = build.solved(store, registry).await?;
        Ok(Base {
            name: name.to_owned(),
            config: built.image().config().config.clone(),
        })
    }

    async fn find_scripts(
        &self,
        source: &std::path::Path,
        builder: &Base,
        store: &Store,
        registry: &Registry,
    ) -> Result<Scripts, BuildError> {
        let mut scripts = Scripts::new(store.tmp_dir()?);
        if let Some(url) = builder.label("scripts-url") {
            self.add_scripts(&mut scripts, url, store, registry).await?;
        }
        scripts.add_directory(&source.join(".s2i/bin"))?;
        if let Some(url) = &self.scripts {
            self.add_scripts(&mut scripts, url, store, registry).await?;
        }
        for needed in ["assemble", "run"] {
            if !scripts.may_have(needed) {
                return Err(Problem::Value(scripts::nowhere(&builder.name, needed)).into());
            }
        }
        Ok(scripts)
    }

    /// Those of a URL count before those that were found until now.
    async fn add_scripts(
        &self,
        scripts: &mut Scripts,
        url: &str,
        store: &Store,
        registry: &Registry,
    ) -> Result<(), BuildError> {
        if let Some(directory) = scripts::in_image(url) {
            scripts.all_inside(directory);
            return Ok(());
        }
        if let Some(directory) = url.strip_prefix("file://") {
            return scripts.add_directory(directory.as_ref());
        }
        let mut found = 0;
        let mut failed = None;
        for name in scripts::NAMES {
            let address = format!("{}/{name}", url.trim_end_matches('/'));
            let mut build = self.build.aside(format!(
                "FROM scratch\nADD [{}, \"/{name}\"]\n",
                super::chain::word(&address)
            ));
            build.context = Context::Empty;
            match build.solved(store, registry).await {
                Ok(built) => {
                    built.write_directory(&scripts.outside).await?;
                    scripts.here(name)?;
                    found += 1;
                }
                // A script that is not there may be elsewhere.
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if found == 0 => Err(error),
            _ => Ok(()),
        }
    }

    async fn runtime(
        &self,
        scripts: &Scripts,
        store: &Store,
        registry: &Registry,
    ) -> Result<Option<Runtime>, BuildError> {
        let Some(name) = &self.runtime else {
            return Ok(None);
        };
        let image = self.base(name, store, registry).await?;
        let mut artifacts = self.artifacts.clone();
        if artifacts.is_empty() {
            let said = image.label("assemble-input-files").unwrap_or_default();
            artifacts = said
                .split(';')
                .filter(|text| !text.is_empty())
                .map(text::artifact)
                .collect();
        }
        if artifacts.is_empty() {
            let problem = format!("nothing says what of the builder belongs onto the runtime image {name}");
            return Err(Problem::Value(problem).into());
        }
        let inside = image.label("scripts-url").and_then(scripts::in_image);
        let script = |name: &str| {
            let outside = scripts
                .is_outside(name)
                .then(|| format!("{}/scripts/{name}", image.workdir().trim_end_matches('/')));
            outside.or_else(|| inside.as_ref().map(|directory| format!("{directory}/{name}")))
        };
        Ok(Some(Runtime {
            artifacts,
            workdir: image.workdir().to_owned(),
            user: image.user(self.runtime_user.as_ref(), "assemble-runtime-user"),
            image_user: image.config.user.clone(),
            assemble: script("assemble-runtime"),
            run: script("run"),
            image: image.name,
        }))
    }

    /// The image of an earlier build, if there is one.
    async fn previous(&self, store: &Store, registry: &Registry) -> Result<Option<Previous>, BuildError> {
        let Some(name) = &self.previous else {
            return Ok(None);
        };
        // It may have moved since it was last asked for.
        let asked = Self {
            build: self.build.clone().pull(),
            ..self.clone()
        };
        match asked.base(name, store, registry).await {
            Ok(image) => Ok(Some(Previous {
                user: image.user(self.user.as_ref(), "assemble-user"),
                workdir: image.workdir().to_owned(),
                image: image.name,
            })),
            Err(error) if matches!(error.problem(), Problem::Cancelled) => Err(error),
            Err(error) => {
                let message = format!("nothing is taken over from an earlier build: {error}");
                (self.build.sink)(Event::Warning { message, line: None });
                Ok(None)
            }
        }
    }

    fn destination_in(&self, builder: &Base) -> String {
        let said = self
            .destination
            .as_deref()
            .or_else(|| builder.label("destination"));
        said.unwrap_or(DESTINATION).trim_end_matches('/').to_owned()
    }

    /// What the image says of where it is from.
    fn labels(&self, said: &Said) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        let mut put = |name: &str, value: &str| {
            if !value.is_empty() {
                labels.insert(name.to_owned(), value.to_owned());
            }
        };
        put("io.k8s.display-name", &self.name);
        put("io.openshift.s2i.build.image", &self.builder);
        put("io.openshift.s2i.build.source-location", &self.location);
        put(
            "io.openshift.s2i.scripts-url",
            self.scripts.as_deref().unwrap_or_default(),
        );
        put(
            "io.openshift.s2i.destination",
            self.destination.as_deref().unwrap_or_default(),
        );
        for (name, value) in said.commit.iter().chain(&said.labels) {
            put(name, value);
        }
        labels
    }
}
