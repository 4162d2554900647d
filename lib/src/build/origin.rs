//! Where COPY, ADD and mounts take from: a stage, an image, a named context, the build context.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    NamedContext, base,
    copy::{From, Job},
    error::{BuildError, Problem},
    fetch::Fetched,
    input::Files,
    select::{self, Pick},
    solver::Shared,
    stage::Stage,
};
use crate::{
    Digest,
    containerfile::{self, Copy, ignore::Ignore},
    image::Layer,
    tree::{Kind, Node, Tree},
};

/// Where paths are looked up.
pub(super) struct Place {
    pub tree: Tree,
    describe: String,
    /// It is a stage or an image, so that owners are kept.
    pub keeps_owners: bool,
    /// Links into the context for error messages.
    context: bool,
}

/// The layers that a COPY takes from, if it takes from layers.
pub(super) async fn layers(stage: &Stage, copy: &Copy) -> Result<Option<Vec<Layer>>, BuildError> {
    let Some(word) = &copy.from else { return Ok(None) };
    if let Some(source) = source_stage(stage, word)? {
        return Ok(Some(stage.shared.stage(source).await?.image.layers().to_vec()));
    }
    if base::named_files(&stage.shared, &word.text).is_some() {
        return Ok(None);
    }
    Ok(Some(source_image(stage, &word.text).await?.layers().to_vec()))
}

/// For the files of the directory that a COPY takes from, if it takes from one: see [`Files::stamp`].
pub(super) async fn stamp(
    stage: &Stage,
    copy: &Copy,
    job: &Job,
) -> Result<Option<(Digest, Digest)>, BuildError> {
    if paths_of(job).is_empty() {
        return Ok(None);
    }
    let shared = stage.shared.clone();
    let named = copy
        .from
        .as_ref()
        .map(|word| base::named_files(&shared, &word.text));
    let named = match named {
        None => None,
        Some(Some(NamedContext::Directory(directory))) => Some(directory.clone()),
        Some(_) => return Ok(None),
    };
    let look = move || {
        let files = match named {
            Some(directory) => shared.sources.named(&directory)?,
            None => shared.sources.context()?,
        };
        Ok(files.stamp())
    };
    stage.shared.blocking(look).await
}

/// Where the paths are, and which are meant.
pub(super) async fn find(
    stage: &mut Stage,
    copy: &Copy,
    job: &Job,
) -> Result<(Place, Vec<Vec<Pick>>), BuildError> {
    let place = place(stage, copy, job).await?;
    let picked = pick(stage, job, &place).await?;
    Ok((place, picked))
}

/// Where the paths are: a stage, a named context, an image, or the build context.
async fn place(stage: &mut Stage, copy: &Copy, job: &Job) -> Result<Place, BuildError> {
    let shared = stage.shared.clone();
    if paths_of(job).is_empty() {
        let describe = "the file itself".to_owned();
        return Ok(Place {
            tree: Tree::new(),
            describe,
            keeps_owners: false,
            context: false,
        });
    }
    match &copy.from {
        None => {
            let words = paths_of(job);
            let tree = shared
                .clone()
                .blocking(move || digested(&shared.sources.context()?, &words))
                .await?;
            let describe = stage.shared.sources.describe();
            Ok(Place {
                tree,
                describe,
                keeps_owners: false,
                context: true,
            })
        }
        Some(word) => {
            let tree = from(stage, &word.text, word, paths_of(job)).await?;
            let keeps_owners = base::named_files(&stage.shared, &word.text).is_none();
            Ok(Place {
                tree,
                describe: word.text.clone(),
                keeps_owners,
                context: false,
            })
        }
    }
}

fn paths_of(job: &Job) -> Vec<String> {
    let words = job.sources.iter().filter_map(|source| match source {
        From::Path(word) => Some(word.clone()),
        _ => None,
    });
    words.collect()
}

/// The tree that `from` names.
pub(super) async fn from(
    stage: &Stage,
    name: &str,
    word: &containerfile::Word,
    paths: Vec<String>,
) -> Result<Tree, BuildError> {
    let shared = &stage.shared;
    if let Some(source) = source_stage(stage, word)? {
        let mut source = (*shared.stage(source).await?).clone();
        return Ok(source.tree().await?.clone());
    }
    if let Some(context) = base::named_files(shared, name) {
        return named(shared, context, paths).await;
    }
    let image = source_image(stage, name).await?;
    shared.layers.tree(shared, image.layers()).await
}

/// The files of a named context, with digests for what these words may pick.
pub(super) async fn named(
    shared: &Arc<Shared>,
    context: &NamedContext,
    paths: Vec<String>,
) -> Result<Tree, BuildError> {
    match context {
        NamedContext::Directory(directory) => {
            let (shared, directory) = (shared.clone(), directory.to_owned());
            let look = {
                let shared = shared.clone();
                move || digested(&shared.sources.named(&directory)?, &paths)
            };
            shared.blocking(look).await
        }
        NamedContext::Remote(address) => match shared.fetcher.context(address).await? {
            Fetched::Files(tar) => {
                shared.sources.know(&tar);
                tar.tree()
            }
            Fetched::File(file) => Ok(file.tree(&file.name(address), &shared.store)?.0),
        },
        NamedContext::Image(_) => Ok(Tree::new()),
    }
}

/// The stage that `from` names, if it names one.
pub(super) fn source_stage(stage: &Stage, word: &containerfile::Word) -> Result<Option<usize>, BuildError> {
    stage
        .shared
        .graph
        .copy_source(stage.index, word)
        .map_err(|error| stage.error_at(error, word.span.clone()))
}

/// The image that `from` names.
pub(super) async fn source_image(stage: &Stage, name: &str) -> Result<crate::image::Image, BuildError> {
    base::named(&stage.shared, name, &stage.image.platform()).await
}

/// The tree of a context with digests for what these words may pick.
pub(super) fn digested(files: &Files, words: &[String]) -> Result<Tree, BuildError> {
    let picked = files.with_tree(|tree| {
        let picks = words.iter().filter_map(|word| select::picks(tree, word, "").ok());
        picks.flatten().map(|pick| pick.real).collect::<Vec<PathBuf>>()
    });
    files.digested(&picked)
}

/// What each source picks, in order.
async fn pick(stage: &Stage, job: &Job, place: &Place) -> Result<Vec<Vec<Pick>>, BuildError> {
    let mut picked = Vec::new();
    for source in &job.sources {
        picked.push(match source {
            From::Path(word) => {
                let picks = select::picks(&place.tree, word, &place.describe);
                let mut picks = picks.map_err(|error| explain_missing(&stage.shared, place, error))?;
                if job.parents {
                    select::keep_parents(&mut picks, word);
                }
                picks
            }
            _ => Vec::new(),
        });
    }
    Ok(picked)
}

/// A file that is on disk and hidden by an ignore file is worth a word.
fn explain_missing(shared: &Shared, place: &Place, error: BuildError) -> BuildError {
    let Problem::NoSuchSource {
        source_name,
        place: describe,
        similar,
        ..
    } = error.problem()
    else {
        return error;
    };
    if !place.context {
        return error;
    }
    let ignored_by = shared.sources.hidden_by(Path::new(source_name));
    let (source_name, describe, similar) = (source_name.clone(), describe.clone(), similar.clone());
    Problem::NoSuchSource {
        source_name,
        place: describe,
        ignored_by,
        similar,
    }
    .into()
}

/// The digest of what a pick of a context brings.
pub(super) fn content_digest(tree: &Tree, pick: &Pick) -> Result<Digest, BuildError> {
    select::fingerprint(tree, pick, &Ignore::default(), false, &mut known_digest)
}

pub(super) fn known_digest(path: &Path, node: &Node) -> Result<Digest, BuildError> {
    let content = match &node.kind {
        Kind::File(content) => content.digest,
        _ => None,
    };
    content.ok_or_else(|| Problem::Value(format!("nobody has read {} yet", path.display())).into())
}
