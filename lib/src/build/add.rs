//! What ADD does beyond COPY: archives are unpacked, URLs are downloaded, git repositories are fetched.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    copy::{From, Job},
    download::{self, Download},
    error::{BuildError, Problem},
    git::{Commit, Wanted},
    place::Placer,
    select::Pick,
    solver::Shared,
    tarball::{self, Tarball},
};
use crate::{
    Digest,
    containerfile::values::GitSource,
    tree::{Content, Kind, Origin, Tree},
};

/// What a source stands for that is not in the context.
pub(super) enum Remote {
    /// A file, which is here already.
    File(Box<Download>),
    /// A commit, whose files are fetched once it is sure that they are needed.
    Commit(Wanted, Commit),
}

impl Remote {
    /// What a result depends on.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::File(download) => download.fingerprint(),
            Self::Commit(wanted, commit) => wanted.fingerprint(commit),
        }
    }
}

/// Finds out what the sources stand for, in their order; nothing for those that are in the context.
pub(super) async fn look_up(shared: &Shared, job: &Job) -> Result<Vec<Option<Remote>>, BuildError> {
    let checksum = checksum(job)?;
    let mut found = Vec::new();
    for source in &job.sources {
        found.push(match source {
            From::Url(url) => {
                let download = shared.fetcher.download(url, checksum).await?;
                Some(Remote::File(Box::new(download)))
            }
            From::Git(source) => {
                let wanted = wanted(job, source);
                let commit = shared.fetcher.commit(&wanted).await?;
                Some(Remote::Commit(wanted, commit))
            }
            _ => None,
        });
    }
    Ok(found)
}

fn wanted(job: &Job, source: &GitSource) -> Wanted {
    Wanted {
        keep_git_dir: job.keep_git_dir || source.keep_git_dir.unwrap_or(false),
        source: source.clone(),
        checksum: job.checksum.clone(),
    }
}

/// `--checksum` as a digest, if it is about a file.
fn checksum(job: &Job) -> Result<Option<Digest>, BuildError> {
    let Some(text) = &job.checksum else {
        return Ok(None);
    };
    match &job.sources[..] {
        [From::Url(_)] => {
            let digest = text.parse::<Digest>();
            let digest = digest.map_err(|error| Problem::Value(format!("--checksum: {error}")))?;
            Ok(Some(digest))
        }
        [From::Git(_)] if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            let message = format!("--checksum of a git repository is a commit, and {text:?} is none");
            Err(Problem::Value(message).into())
        }
        [From::Git(_)] => Ok(None),
        _ => {
            let message = "--checksum needs exactly one source, a URL or a git repository";
            Err(Problem::Value(message.to_owned()).into())
        }
    }
}

/// The files of a source that is not in the context, and which of them are meant: all of them.
pub(super) async fn files(
    shared: &Shared,
    source: &From,
    remote: Option<&Remote>,
) -> Result<Option<(Tree, Pick)>, BuildError> {
    Ok(match (source, remote) {
        (From::Url(url), Some(Remote::File(download))) => {
            Some(download.tree(&download::file_name(url), &shared.store)?)
        }
        (_, Some(Remote::Commit(wanted, commit))) => {
            let files = shared.fetcher.files(wanted, commit).await?;
            shared.sources.know(&files);
            let root = Pick {
                named: PathBuf::new(),
                real: PathBuf::new(),
                kept: None,
            };
            Some((files.tree()?, root))
        }
        _ => None,
    })
}

/// Unpacks a pick that is an archive, by its content and not by its name; false if it is none.
pub(super) fn unpack(
    shared: &Arc<Shared>,
    placer: &mut Placer<'_>,
    job: &Job,
    tree: &Tree,
    pick: &Pick,
) -> Result<bool, BuildError> {
    let Some(Kind::File(content)) = tree.get(&pick.real).map(|node| &node.kind) else {
        return Ok(false);
    };
    if !tarball::is_tar(open(shared, content, &pick.real)?) {
        return Ok(false);
    }
    let archive = Tarball::read(open(shared, content, &pick.real)?, &shared.store)?;
    let archive = Arc::new(archive);
    placer.unpack(&archive.index.changes, &job.destination, job.chown.is_some())?;
    shared.sources.know(&archive);
    Ok(true)
}

/// Opens a file of a context.
fn open(shared: &Shared, content: &Content, path: &Path) -> Result<Box<dyn Read + Send>, BuildError> {
    match &content.origin {
        Origin::Disk(file) => Ok(Box::new(File::open(file).map_err(Problem::io("read", &**file))?)),
        Origin::Memory(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
        Origin::Layer { diff_id, .. } => match shared.sources.tarball(diff_id) {
            Some(tar) => Ok(Box::new(tar.open(content)?)),
            None => Err(Problem::Value(format!("{} is not in the context", path.display())).into()),
        },
    }
}
