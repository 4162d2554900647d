//! What was fetched before: a bare repository for each remote, in the store.

use std::{
    fs::{self, File, TryLockError},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Commit, program::Git};
use crate::{
    Digest, Hasher,
    build::error::{BuildError, Problem},
    plan::key::prefixed,
    store::{Cache, Store},
};

/// How long to wait until a lock is tried again.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// A bare repository that is ours alone for now.
pub(super) struct Repository {
    path: PathBuf,
    /// There while something is written. Whoever finds it begins anew.
    unsound: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl Repository {
    /// The repository for a remote, made if there is none. Waits for others who use it.
    pub fn open(git: &Git, store: &Store, commit: &Commit) -> Result<Self, BuildError> {
        // Repositories have one kind of object names: SHA-256 if they are long.
        let is_sha256 = commit.id.len() == 64;
        let home = store.cache_dir(Cache::Contexts, &key(git.remote(), is_sha256))?;
        let lock = home.join("lock");
        let file = File::create(&lock).map_err(Problem::io("create", &lock))?;
        take(&file, &lock, git)?;
        let repository = Self {
            path: home.join("repository"),
            unsound: home.join("unsound"),
            _lock: file,
        };
        if repository.unsound.exists() && repository.path.exists() {
            fs::remove_dir_all(&repository.path).map_err(Problem::io("remove", &repository.path))?;
        }
        File::create(&repository.unsound).map_err(Problem::io("create", &repository.unsound))?;
        if !repository.path.exists() {
            let format = if is_sha256 { "sha256" } else { "sha1" };
            let format = format!("--object-format={format}");
            let arguments = ["init", "--quiet", "--bare", "--template=", &format, "repository"];
            git.run(git.command(&home, arguments))?;
        }
        Ok(repository)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name under which a commit is kept.
    pub fn name_of(commit: &Commit) -> String {
        format!("refs/rbuild/{}", commit.id)
    }

    /// Fetches a commit that is not there yet: alone if the remote lets us, else with all there is.
    pub fn fetch(&self, git: &Git, commit: &Commit) -> Result<(), Problem> {
        if self.has(git, commit) {
            return Ok(());
        }
        let alone = ["--depth=1", "--no-tags"];
        let everything = ["--force", "--tags"];
        let attempts = [
            // Some servers give no commit by its own name, and some know no depth.
            Some((alone, commit.id.as_str())),
            commit.reference.as_deref().map(|reference| (alone, reference)),
            Some((everything, "+refs/heads/*:refs/remotes/origin/*")),
        ];
        let mut failure = None;
        for (options, what) in attempts.into_iter().flatten() {
            let mut command = git.command(&self.path, ["fetch", "--quiet", "--no-write-fetch-head"]);
            command.args(options);
            if options == everything && self.path.join("shallow").exists() {
                command.arg("--unshallow");
            }
            command.args(["--", git.remote(), what]);
            match git.run(command) {
                Ok(_) if self.has(git, commit) => {
                    let name = Self::name_of(commit);
                    git.run(git.command(&self.path, ["update-ref", &name, &commit.id]))?;
                    return Ok(());
                }
                Ok(_) => {}
                Err(Problem::Cancelled) => return Err(Problem::Cancelled),
                // The first failure is about what was meant; later ones may be about the detour.
                Err(problem) => failure = failure.or(Some(problem)),
            }
        }
        Err(failure.unwrap_or_else(|| git.problem(format!("it has no commit {}", commit.id))))
    }

    fn has(&self, git: &Git, commit: &Commit) -> bool {
        let name = format!("{}^{{commit}}", commit.id);
        git.run(git.command(&self.path, ["cat-file", "-e", &name]))
            .is_ok()
    }

    /// Everything went well: what is here can be built upon.
    pub fn is_sound(&self) -> Result<(), Problem> {
        fs::remove_file(&self.unsound).map_err(Problem::io("remove", &self.unsound))
    }
}

fn key(remote: &str, is_sha256: bool) -> Digest {
    let mut hasher = Hasher::new();
    let format = if is_sha256 { "sha256" } else { "sha1" };
    for part in ["rbuild git remote 1", remote, format] {
        prefixed(&mut hasher, part.as_bytes());
    }
    hasher.finish()
}

/// Takes a lock, or learns that the build is cancelled.
fn take(file: &File, path: &Path, git: &Git) -> Result<(), Problem> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(Problem::io("lock", path)(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        let mut cancelled = [PollFd::from_borrowed_fd(git.cancel().as_fd(), PollFlags::IN)];
        // Whatever ends the wait: what counts is asked next.
        let _ = poll(&mut cancelled, Some(&PAUSE));
        if git.cancel().is_cancelled() {
            return Err(Problem::Cancelled);
        }
    }
}
