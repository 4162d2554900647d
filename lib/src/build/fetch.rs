//! What a build takes from elsewhere: files behind URLs, git repositories. Each is fetched once, whoever wants it.

use std::{
    fs::File,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    Build,
    download::{self, Download},
    error::{BuildError, Problem},
    git::{self, Commit, Wanted},
    once::Once,
    tarball::{self, Tarball},
    threads::Threads,
};
use crate::{
    Digest,
    containerfile::values::{GitSource, Origin, parse_bool},
    event::Sink,
    registry::Registry,
    store::Store,
};

/// What fetches, and what it has fetched.
pub(super) struct Fetcher {
    pub store: Store,
    pub registry: Registry,
    pub sink: Sink,
    pub threads: Threads,
    pub use_cache: bool,
    access: git::Access,
    keep_git_dir: bool,
    /// `SOURCE_DATE_EPOCH`, seconds since 1970.
    epoch: Option<i64>,
    downloads: Once<(String, Option<Digest>), Download>,
    commits: Once<String, Commit>,
    files: Once<String, Arc<Tarball>>,
    contexts: Once<String, Fetched>,
}

/// A context that was fetched.
#[derive(Clone)]
pub(super) enum Fetched {
    /// Files.
    Files(Arc<Tarball>),
    /// One file.
    File(Box<Download>),
}

impl Fetcher {
    /// Nothing is fetched yet.
    pub fn new(
        options: &Build,
        store: &Store,
        registry: &Registry,
        threads: &Threads,
        epoch: Option<i64>,
    ) -> Self {
        let keep_git_dir = options.build_arg("BUILDKIT_CONTEXT_KEEP_GIT_DIR");
        Self {
            store: store.clone(),
            registry: registry.clone(),
            sink: options.sink.clone(),
            threads: threads.clone(),
            use_cache: options.use_cache,
            access: git::Access {
                cancel: threads.cancel.clone(),
                secrets: options.secrets.clone(),
                ssh: options.ssh.clone(),
            },
            keep_git_dir: keep_git_dir.and_then(parse_bool).unwrap_or(false),
            epoch,
            downloads: Once::default(),
            commits: Once::default(),
            files: Once::default(),
            contexts: Once::default(),
        }
    }

    /// A file behind a URL.
    pub async fn download(&self, url: &str, checksum: Option<Digest>) -> Result<Download, BuildError> {
        let key = (url.to_owned(), checksum);
        let work = || download::download(self, url, checksum);
        self.downloads.get(key, work).await
    }

    /// The commit that a reference stands for.
    pub async fn commit(&self, wanted: &Wanted) -> Result<Commit, BuildError> {
        let work = || {
            let (access, wanted) = (self.access.clone(), wanted.clone());
            self.threads.run(move || git::resolve(&access, &wanted))
        };
        self.commits.get(format!("{wanted:?}"), work).await
    }

    /// The files of a commit.
    pub async fn files(&self, wanted: &Wanted, commit: &Commit) -> Result<Arc<Tarball>, BuildError> {
        let key = format!("{} {}", wanted.source.remote, wanted.fingerprint(commit));
        let work = || {
            let (access, store, epoch) = (self.access.clone(), self.store.clone(), self.epoch);
            let (wanted, commit, use_cache) = (wanted.clone(), commit.clone(), self.use_cache);
            self.threads.run(move || {
                let known = git::recorded(&store, &wanted, &commit, epoch).filter(|_| use_cache);
                if let Some(made) = known {
                    return Ok(Arc::new(Tarball::of_layer(&made.layer, made.index, &store)));
                }
                let now = epoch.unwrap_or_else(now);
                git::fetch(&access, &store, &wanted, &commit, epoch, now)
            })
        };
        self.files.get(key, work).await
    }

    /// A context: a git repository, a tar, or any other file.
    pub async fn context(&self, address: &str) -> Result<Fetched, BuildError> {
        let work = || self.fetch_context(address);
        self.contexts.get(address.to_owned(), work).await
    }

    async fn fetch_context(&self, address: &str) -> Result<Fetched, BuildError> {
        let source = GitSource::parse_context(address).map_err(|error| Problem::Value(error.to_string()))?;
        if let Some(source) = source {
            let wanted = Wanted {
                keep_git_dir: source.keep_git_dir.unwrap_or(self.keep_git_dir),
                source,
                checksum: None,
            };
            let commit = self.commit(&wanted).await?;
            return Ok(Fetched::Files(self.files(&wanted, &commit).await?));
        }
        let Ok(Origin::Http(url)) = Origin::parse(address) else {
            let message = format!("{address}: it is neither a git repository nor a URL");
            return Err(Problem::Value(message).into());
        };
        let download = self.download(&url, None).await?;
        let (store, path) = (self.store.clone(), download.path(&self.store));
        let unpack = move || {
            let open = || File::open(&path).map_err(Problem::io("read", &path));
            Ok(match tarball::is_tar(open()?) {
                true => Fetched::Files(Arc::new(Tarball::read(open()?, &store)?)),
                false => Fetched::File(Box::new(download)),
            })
        };
        self.threads.run(unpack).await
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}
