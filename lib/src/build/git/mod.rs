//! Git repositories, as sources of `ADD` and as contexts: fetched by the `git` program, and kept as tars.
//!
//! - `program`: running `git`, so that nobody's configuration matters
//! - `resolve`: what a reference stands for
//! - `repository`: what was fetched before, one bare repository for each remote
//! - `checkout`: the files of a commit
//!
//! A commit's files go into the store as a layer that is not compressed, so that the next build needs neither a checkout
//! nor a fetch: it asks the remote what the reference stands for, and no more.

mod checkout;
mod program;
mod repository;
mod resolve;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc};

use serde_json::json;

use self::{program::Git, repository::Repository};
use super::{
    Secret, Ssh,
    error::{BuildError, Problem},
    layers,
    stage::Made,
    tarball::Tarball,
};
use crate::{
    Digest, Hasher,
    containerfile::values::GitSource,
    exec::Cancel,
    plan::key::prefixed,
    registry::without_password,
    store::{Record, Store},
};

/// What is wanted of a repository.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub source: GitSource,
    /// `.git` is part of it.
    pub keep_git_dir: bool,
    /// First digits of the commit.
    pub checksum: Option<String>,
}

/// What a reference stands for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    /// All its hex digits.
    pub id: String,
    /// The full reference: `refs/tags/v1`; none for a commit that was named itself.
    pub reference: Option<String>,
}

/// How remotes are talked to.
#[derive(Clone)]
pub(super) struct Access {
    pub cancel: Cancel,
    pub secrets: Vec<Secret>,
    pub ssh: Vec<Ssh>,
}

impl Access {
    fn git(&self, remote: &str) -> Git {
        Git::new(
            remote,
            self.cancel.clone(),
            self.authorization(remote),
            self.agent(),
        )
    }

    fn agent(&self) -> Option<PathBuf> {
        let default = self.ssh.iter().rev().find(|ssh| ssh.id == "default");
        default.map(|ssh| ssh.socket.clone())
    }

    /// The header for a remote, from the secrets that BuildKit takes it from: `GIT_AUTH_HEADER` and `GIT_AUTH_TOKEN`, also
    /// for one host alone as `GIT_AUTH_TOKEN.HOST`.
    fn authorization(&self, remote: &str) -> Option<String> {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let host = remote.split_once("://")?.1.split('/').next()?;
        let host = host.rsplit('@').next()?;
        let value = |id: &str| {
            let ids = [format!("{id}.{host}"), id.to_owned()];
            let secret = ids
                .iter()
                .find_map(|id| self.secrets.iter().rev().find(|secret| secret.id == *id))?;
            let text = String::from_utf8(secret.value.to_vec()).ok()?;
            Some(text.trim().to_owned())
        };
        let token = |token| {
            let pair = format!("x-access-token:{token}");
            format!("basic {}", BASE64_STANDARD.encode(pair))
        };
        value("GIT_AUTH_HEADER").or_else(|| value("GIT_AUTH_TOKEN").map(token))
    }
}

impl Wanted {
    fn submodules(&self) -> bool {
        self.source.submodules.unwrap_or(true)
    }

    fn subdir(&self) -> &str {
        self.source.subdir.as_deref().unwrap_or("")
    }

    /// The repository as it may be shown.
    pub fn shown(&self) -> String {
        without_password(&self.source.remote)
    }

    /// What the files of this depend on.
    pub fn fingerprint(&self, commit: &Commit) -> String {
        let (subdir, submodules, git_dir) = (self.subdir(), self.submodules(), self.keep_git_dir);
        format!(
            "commit {} subdir {subdir:?} submodules {submodules} .git {git_dir}",
            commit.id
        )
    }

    /// The record of the files. The remote is part of it: `.git` names it, and submodules are found from there.
    fn key(&self, commit: &Commit, epoch: Option<i64>) -> Digest {
        let mut hasher = Hasher::new();
        for part in [
            "rbuild git 1",
            &self.source.remote,
            &self.fingerprint(commit),
            &format!("{epoch:?}"),
        ] {
            prefixed(&mut hasher, part.as_bytes());
        }
        hasher.finish()
    }
}

/// Asks the remote what the reference stands for, and checks that it is what it must be.
pub(super) fn resolve(access: &Access, wanted: &Wanted) -> Result<Commit, BuildError> {
    let git = access.git(&wanted.source.remote);
    let commit = resolve::resolve(&git, wanted.source.reference.as_deref())?;
    for expected in [&wanted.checksum, &wanted.source.checksum].into_iter().flatten() {
        if !commit.id.starts_with(&expected.to_ascii_lowercase()) {
            return Err(Problem::Checksum {
                url: wanted.shown(),
                expected: expected.clone(),
                actual: commit.id,
            }
            .into());
        }
    }
    Ok(commit)
}

/// The files of a commit that an earlier build left in the store.
pub(super) fn recorded(store: &Store, wanted: &Wanted, commit: &Commit, epoch: Option<i64>) -> Option<Made> {
    let record = store.get_step(&wanted.key(commit, epoch))?;
    let layer = record.layers.into_iter().next()?;
    let is_there = crate::image::Blobs::has(store, &layer.descriptor).unwrap_or(false);
    let index = layers::load_index(store, &layer.diff_id).filter(|_| is_there)?;
    Some(Made { layer, index })
}

/// Fetches the files of a commit into the store. `now` becomes the time of all of them: git knows none.
pub(super) fn fetch(
    access: &Access,
    store: &Store,
    wanted: &Wanted,
    commit: &Commit,
    epoch: Option<i64>,
    now: i64,
) -> Result<Arc<Tarball>, BuildError> {
    let git = access.git(&wanted.source.remote);
    let repository = Repository::open(&git, store, commit)?;
    repository.fetch(&git, commit)?;
    let files = checkout::Checkout {
        git: &git,
        repository: &repository,
        commit,
        keep_git_dir: wanted.keep_git_dir,
        submodules: wanted.submodules(),
    };
    let made = files.make(store, wanted.subdir(), now)?;
    repository.is_sound()?;
    let record = Record {
        layers: vec![made.layer.clone()],
        value: json!({ "commit": commit.id }),
        ..Record::default()
    };
    store.put_step(&wanted.key(commit, epoch), &record)?;
    Ok(Arc::new(Tarball::of_layer(&made.layer, made.index, store)))
}
