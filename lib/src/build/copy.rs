//! `COPY` and `ADD`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    add, base,
    error::{BuildError, Problem},
    input::Files,
    place::{Destination, Placer},
    select::{self, Pick},
    solver::Shared,
    stage::{Stage, Step},
    users::{self, Users},
};
use crate::{
    Digest,
    containerfile::{
        self, Copy, Heredoc, Instruction, Source,
        ignore::Ignore,
        values::{Chmod, GitSource, Origin as Address},
    },
    plan::key::Parts,
    tree::{Content, Kind, Metadata, Node, Origin, Tree},
};

/// A COPY or ADD with all its words expanded.
pub(super) struct Job {
    pub sources: Vec<From>,
    pub destination: Destination,
    pub chown: Option<String>,
    pub chmod: Option<Chmod>,
    pub exclude: Ignore,
    pub link: bool,
    pub parents: bool,
    /// It is an ADD: archives are unpacked, unless `unpack` says otherwise.
    pub add: bool,
    pub unpack: Option<bool>,
    pub keep_git_dir: bool,
    pub checksum: Option<String>,
}

/// One source of a COPY or ADD.
pub(super) enum From {
    /// A path or pattern in a tree.
    Path(String),
    /// Something to download.
    Url(String),
    /// A git repository.
    Git(GitSource),
    /// An inline document.
    Inline { name: String, content: String },
}

/// Where paths are looked up.
struct Place {
    tree: Tree,
    describe: String,
    /// It is a stage or an image, so that owners are kept.
    keeps_owners: bool,
    /// Links into the context for error messages.
    context: bool,
}

/// Runs a COPY or an ADD.
pub(super) async fn copy(
    stage: &mut Stage,
    instruction: &Instruction,
    copy: &Copy,
    add: bool,
) -> Result<(), BuildError> {
    let (job, history) = job(stage, copy, add)?;
    let mut step = stage.start(instruction);
    let place = place(stage, copy, &job).await?;
    let picked = pick(stage, &job, &place).await?;
    let downloads = add::download(stage, &job, &mut step).await?;
    let parts = parts(stage, &job, &place, &picked, &downloads);
    if stage.cached(&mut step, &parts, &history).await? {
        return Ok(());
    }
    make(stage, job, place, picked, downloads, &mut step, &parts, history).await
}

/// Expands the words; also the history entry.
fn job(stage: &Stage, copy: &Copy, add: bool) -> Result<(Job, String), BuildError> {
    let mut shown = vec![if add { "ADD".to_owned() } else { "COPY".to_owned() }];
    let chown = copy
        .chown
        .as_ref()
        .map(|word| stage.expand(word))
        .transpose()?
        .filter(|text| !text.is_empty());
    shown.extend(chown.iter().map(|chown| format!("--chown={chown}")));
    let chmod = match &copy.chmod {
        Some(word) => {
            let text = stage.expand(word)?;
            shown.push(format!("--chmod={text}"));
            let parsed = Chmod::parse(&text);
            Some(parsed.map_err(|error| stage.value_error(error.to_string(), word.span.clone()))?)
        }
        None => None,
    };
    let mut sources = Vec::new();
    for source in &copy.sources {
        let source = match source {
            Source::Word(word) => {
                let text = stage.expand(word)?;
                shown.push(text.clone());
                match add {
                    true => remote(stage, word, text)?,
                    false => From::Path(text),
                }
            }
            Source::Heredoc(heredoc) => {
                shown.push(format!("<<{}", heredoc.name));
                From::Inline {
                    name: heredoc.name.clone(),
                    content: inline(stage, heredoc)?,
                }
            }
        };
        sources.push(source);
    }
    let destination = stage.expand(&copy.destination)?;
    shown.push(destination.clone());
    let exclude = copy
        .exclude
        .iter()
        .map(|word| word.text.as_str())
        .collect::<Vec<_>>();
    let exclude = Ignore::new(exclude.iter().copied()).map_err(|error| {
        let span = copy
            .exclude
            .first()
            .map(|word| word.span.clone())
            .unwrap_or_default();
        stage.value_error(error.to_string(), span)
    })?;
    let checksum = copy
        .checksum
        .as_ref()
        .map(|word| stage.expand(word))
        .transpose()?;
    let workdir = &stage.image.config().config.working_dir;
    let job = Job {
        sources,
        destination: Destination::new(workdir, &destination),
        chown,
        chmod,
        exclude,
        link: copy.link,
        parents: copy.parents,
        add,
        unpack: copy.unpack,
        keep_git_dir: copy.keep_git_dir,
        checksum,
    };
    Ok((job, format!("{} # buildkit", shown.join(" "))))
}

/// What a source of ADD is.
fn remote(stage: &Stage, word: &containerfile::Word, text: String) -> Result<From, BuildError> {
    let address =
        Address::parse(&text).map_err(|error| stage.value_error(error.to_string(), word.span.clone()))?;
    Ok(match address {
        Address::Git(source) => From::Git(source),
        Address::Http(url) => From::Url(url),
        Address::Path(path) => From::Path(path),
    })
}

fn inline(stage: &Stage, heredoc: &Heredoc) -> Result<String, BuildError> {
    if !heredoc.expand {
        return Ok(heredoc.content.clone());
    }
    containerfile::expand::expand_heredoc(&heredoc.content, &|name| stage.lookup(name))
        .map_err(|error| stage.value_error(error.to_string(), heredoc.span.clone()))
}

/// Where the paths are: a stage, a named context, an image, or the build context.
async fn place(stage: &mut Stage, copy: &Copy, job: &Job) -> Result<Place, BuildError> {
    let shared = stage.shared.clone();
    let paths = job.sources.iter().any(|source| matches!(source, From::Path(_)));
    if !paths {
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
            let keeps_owners = base::named_directory(&stage.shared, &word.text).is_none();
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
    if let Some(directory) = base::named_directory(shared, name) {
        let (shared, directory) = (shared.clone(), directory.to_owned());
        return shared
            .clone()
            .blocking(move || digested(&shared.sources.named(&directory)?, &paths))
            .await;
    }
    let image = source_image(stage, name).await?;
    let mut tree = Tree::new();
    for layer in image.layers() {
        tree.apply(&shared.layers.index(shared, layer).await?.changes)?;
    }
    Ok(tree)
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

/// What the result depends on.
fn parts(
    stage: &Stage,
    job: &Job,
    place: &Place,
    picked: &[Vec<Pick>],
    downloads: &[Option<add::Download>],
) -> Parts {
    let mut parts = match job.link {
        // A layer of its own: what is below does not matter.
        true => Parts::of("COPY --link"),
        false => stage.parts(if job.add { "ADD" } else { "COPY" }),
    };
    parts = parts
        .with("the destination", format!("{:?}", job.destination))
        .with("--chown", format!("{:?}", job.chown))
        .with("--chmod", format!("{:?}", job.chmod))
        .with("--parents", job.parents)
        .with("--unpack", format!("{:?}", job.unpack))
        .with("SOURCE_DATE_EPOCH", format!("{:?}", stage.shared.epoch));
    for (index, source) in job.sources.iter().enumerate() {
        let order = format!("{index:03}");
        match source {
            From::Path(word) => {
                let picks = picked.get(index).map(Vec::as_slice).unwrap_or_default();
                let digests = picks.iter().map(|pick| fingerprint(job, place, pick).to_string());
                parts = parts.with_list(&named(&order, word), digests);
            }
            From::Inline { name, content } => {
                parts = parts.with(format!("<<{name} ({order})"), Digest::of(content));
            }
            From::Url(_) | From::Git(_) => {
                let digest = downloads
                    .get(index)
                    .and_then(Option::as_ref)
                    .map(add::Download::fingerprint);
                let name = match source {
                    From::Url(url) => url,
                    From::Git(git) => &git.remote,
                    _ => "",
                };
                parts = parts.with(named(&order, name), format!("{digest:?}"));
            }
        }
    }
    parts
}

/// A source's name in explanations; the number keeps two of one name apart.
fn named(order: &str, word: &str) -> String {
    match order {
        "000" => word.to_owned(),
        _ => format!("{word} (source {})", order.trim_start_matches('0')),
    }
}

/// The digest of what a pick of a context brings.
pub(super) fn content_digest(tree: &Tree, pick: &Pick) -> Result<Digest, BuildError> {
    select::fingerprint(tree, pick, &Ignore::default(), false, &mut known_digest)
}

fn known_digest(path: &Path, node: &Node) -> Result<Digest, BuildError> {
    let content = match &node.kind {
        Kind::File(content) => content.digest,
        _ => None,
    };
    content.ok_or_else(|| Problem::Value(format!("nobody has read {} yet", path.display())).into())
}

fn fingerprint(job: &Job, place: &Place, pick: &Pick) -> Digest {
    let found = select::fingerprint(
        &place.tree,
        pick,
        &job.exclude,
        place.keeps_owners,
        &mut known_digest,
    );
    // Without a digest nothing is ever found again: safe, if slow.
    found.unwrap_or_else(|_| Digest::of(format!("{:?}", std::time::SystemTime::now())))
}

#[expect(clippy::too_many_arguments, reason = "the parts of one step, each used once")]
async fn make(
    stage: &mut Stage,
    job: Job,
    place: Place,
    picked: Vec<Vec<Pick>>,
    downloads: Vec<Option<add::Download>>,
    step: &mut Step,
    parts: &Parts,
    history: String,
) -> Result<(), BuildError> {
    let owner = owner(stage, &job, &place).await?;
    let now = stage.now();
    let mut tree = match job.link {
        true => Tree::new(),
        false => stage.tree().await?.clone(),
    };
    let shared = stage.shared.clone();
    let changes = shared
        .clone()
        .blocking(move || {
            let mut placer = Placer::new(&mut tree, now);
            placer.owner = owner;
            placer.chmod = job.chmod.clone();
            for (index, source) in job.sources.iter().enumerate() {
                let picks = picked.get(index).map(Vec::as_slice).unwrap_or_default();
                let download = downloads.get(index).and_then(Option::as_ref);
                put(&shared, &mut placer, &job, &place, source, picks, download, now)?;
            }
            Ok(placer.changes())
        })
        .await?;
    let made = stage.shared.layers.make(&stage.shared, changes).await?;
    stage.made(step, parts, history, made).await
}

/// Puts one source in its place.
#[expect(clippy::too_many_arguments, reason = "the parts of one step, each used once")]
fn put(
    shared: &Arc<Shared>,
    placer: &mut Placer<'_>,
    job: &Job,
    place: &Place,
    source: &From,
    picks: &[Pick],
    download: Option<&add::Download>,
    now: i64,
) -> Result<(), BuildError> {
    match source {
        From::Inline { name, content } => {
            let (tree, pick) = inline_tree(name, content, now)?;
            placer.copy(&tree, &pick, &job.exclude, &job.destination)
        }
        From::Url(_) | From::Git(_) => match download {
            Some(download) => add::put(shared, placer, job, download),
            None => Ok(()),
        },
        From::Path(_) => {
            for pick in picks {
                let unpacked = job.add
                    && job.unpack != Some(false)
                    && add::unpack(shared, placer, job, &place.tree, pick)?;
                if !unpacked {
                    placer.copy(&place.tree, pick, &job.exclude, &job.destination)?;
                }
            }
            Ok(())
        }
    }
}

/// A tree that holds an inline document.
fn inline_tree(name: &str, content: &str, now: i64) -> Result<(Tree, Pick), BuildError> {
    let file = PathBuf::from(name);
    let content = Content {
        size: content.len() as u64,
        digest: Some(Digest::of(content)),
        origin: Origin::Memory(content.as_bytes().into()),
    };
    let metadata = Metadata {
        mode: 0o644,
        mtime: now,
        ..Metadata::default()
    };
    let mut tree = Tree::new();
    tree.insert(
        &file,
        Node {
            metadata,
            kind: Kind::File(content),
        },
    )?;
    Ok((
        tree,
        Pick {
            named: file.clone(),
            real: file,
            kept: None,
        },
    ))
}

/// Whose everything becomes: what `--chown` says, root for files of a context, nobody for those of a stage.
async fn owner(stage: &mut Stage, job: &Job, place: &Place) -> Result<Option<(u32, u32)>, BuildError> {
    let Some(spec) = &job.chown else {
        return Ok(if place.keeps_owners { None } else { Some((0, 0)) });
    };
    if users::is_numeric(spec) {
        return Ok(Some(Users::default().owner(spec)));
    }
    if stage.image.layers().is_empty() {
        return Err(Problem::Value(format!(
            "--chown={spec} cannot be looked up: the image is empty, and has no /etc/passwd; use numbers"
        ))
        .into());
    }
    Ok(Some(super::run::users(stage).await?.owner(spec)))
}
