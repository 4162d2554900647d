//! `COPY` and `ADD`.

use std::{path::PathBuf, sync::Arc};

use super::{
    add,
    error::{BuildError, Problem},
    memo::{Fingerprints, Memo},
    origin::{Place, find, known_digest, layers, stamp},
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
    registry::without_password,
    tree::{Content, Kind, Metadata, Node, Origin, Tree},
};

/// A COPY or ADD with all its words expanded.
pub(super) struct Job {
    pub sources: Vec<From>,
    pub destination: Destination,
    pub chown: Option<String>,
    pub chmod: Option<Chmod>,
    pub exclude: Ignore,
    /// `--exclude` as written.
    excluded: Vec<String>,
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

/// Runs a COPY or an ADD.
pub(super) async fn copy(
    stage: &mut Stage,
    instruction: &Instruction,
    copy: &Copy,
    add: bool,
) -> Result<(), BuildError> {
    let (job, history) = job(stage, copy, add)?;
    // A step on another stage begins when that stage is done.
    let layers = layers(stage, copy).await?;
    let mut step = stage.start(instruction);
    let memo = match layers {
        Some(layers) => Some(Memo::of_layers(&job, &layers)),
        None => stamp(stage, copy, &job)
            .await?
            .map(|stamp| Memo::of_files(&job, stamp)),
    };
    let known = match &memo {
        Some(memo) => memo.get(&stage.shared, stage.index).await?,
        None => None,
    };
    let mut found = None;
    let prints = match known {
        Some(prints) => prints,
        None => {
            let (place, picked) = find(stage, copy, &job).await?;
            let prints = fingerprints(&job, &place, &picked)?;
            if let Some(memo) = &memo {
                memo.put(&stage.shared, stage.index, &prints).await?;
            }
            found = Some((place, picked));
            prints
        }
    };
    let remotes = add::look_up(&stage.shared, &job).await?;
    let parts = parts(stage, &job, &prints, &remotes);
    if stage.cached(&mut step, &parts, &history).await? {
        return Ok(());
    }
    let (place, picked) = match found {
        Some(found) => found,
        None => find(stage, copy, &job).await?,
    };
    make(stage, job, place, picked, remotes, &mut step, &parts, history).await
}

fn fingerprints(job: &Job, place: &Place, picked: &[Vec<Pick>]) -> Result<Fingerprints, BuildError> {
    let one = |pick: &Pick| {
        select::fingerprint(
            &place.tree,
            pick,
            &job.exclude,
            place.keeps_owners,
            &mut known_digest,
        )
    };
    picked
        .iter()
        .map(|picks| picks.iter().map(one).collect())
        .collect()
}

impl Job {
    /// What decides which paths are taken, besides the tree.
    pub fn selection(&self) -> Vec<String> {
        let mut parts = vec![format!("{:?} {}", self.excluded, self.parents)];
        parts.extend(self.sources.iter().map(|source| match source {
            From::Path(word) => word.clone(),
            _ => String::new(),
        }));
        parts
    }
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
    // As the reference builder has it: inline documents come last, and win.
    sources.sort_by_key(|source| matches!(source, From::Inline { .. }));
    let destination = stage.expand(&copy.destination)?;
    shown.push(destination.clone());
    let excluded: Vec<String> = copy.exclude.iter().map(|word| word.text.clone()).collect();
    let exclude = Ignore::new(excluded.iter().map(String::as_str)).map_err(|error| {
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
        excluded,
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

/// What the result depends on.
fn parts(stage: &Stage, job: &Job, prints: &Fingerprints, remotes: &[Option<add::Remote>]) -> Parts {
    let operation = if job.add { "ADD" } else { "COPY" };
    // With --link, a layer of its own: what is below does not matter, unless it is where an owner is looked up.
    let apart = job.link && job.chown.as_deref().is_none_or(super::users::is_numeric);
    let mut parts = match apart {
        true => stage.parts_alone(&format!("{operation} --link")),
        false => stage.parts(operation).with("--link", job.link),
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
                let digests = prints.get(index).into_iter().flatten().map(Digest::to_string);
                parts = parts.with_list(&named(&order, word), digests);
            }
            From::Inline { name, content } => {
                parts = parts.with(format!("<<{name} ({order})"), Digest::of(content));
            }
            From::Url(_) | From::Git(_) => {
                let remote = remotes.get(index).and_then(Option::as_ref);
                let name = match source {
                    From::Url(url) => url,
                    From::Git(git) => &git.remote,
                    _ => "",
                };
                let found = remote.map(add::Remote::fingerprint);
                parts = parts.with(named(&order, &without_password(name)), found.unwrap_or_default());
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

#[expect(clippy::too_many_arguments, reason = "the parts of one step, each used once")]
async fn make(
    stage: &mut Stage,
    job: Job,
    place: Place,
    picked: Vec<Vec<Pick>>,
    remotes: Vec<Option<add::Remote>>,
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
    let mut fetched = Vec::new();
    for (index, source) in job.sources.iter().enumerate() {
        let remote = remotes.get(index).and_then(Option::as_ref);
        fetched.push(add::files(&shared, source, remote).await?);
    }
    let changes = shared
        .clone()
        .blocking(move || {
            let mut placer = Placer::new(&mut tree, now);
            placer.owner = owner;
            placer.chmod = job.chmod.clone();
            for (index, source) in job.sources.iter().enumerate() {
                let picks = picked.get(index).map(Vec::as_slice).unwrap_or_default();
                let fetched = fetched.get(index).and_then(Option::as_ref);
                put(&shared, &mut placer, &job, &place, source, picks, fetched, now)?;
            }
            Ok(placer.changes())
        })
        .await?;
    let made = stage.shared.layers.make(&stage.shared, changes).await?;
    stage.made(step, parts, history, made)
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
    fetched: Option<&(Tree, Pick)>,
    now: i64,
) -> Result<(), BuildError> {
    match source {
        From::Inline { name, content } => {
            let (tree, pick) = inline_tree(name, content, now)?;
            placer.copy(&tree, &pick, &job.exclude, &job.destination)
        }
        From::Url(_) | From::Git(_) => {
            let Some((tree, pick)) = fetched else {
                return Ok(());
            };
            // What was downloaded stays as it is, unless it is said to be an archive.
            match job.unpack == Some(true) && add::unpack(shared, placer, job, tree, pick)? {
                true => Ok(()),
                false => placer.copy(tree, pick, &job.exclude, &job.destination),
            }
        }
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
    Ok(Some(super::small::users(stage).await?.owner(spec)))
}
