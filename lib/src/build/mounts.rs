//! `RUN --mount`.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    agent::{Access, Agent},
    base, caches,
    error::{BuildError, Problem},
    origin,
    select::{self, Pick},
    solver::Shared,
    stage::Stage,
};
use crate::{
    Digest, Hasher,
    containerfile::{
        Run, Word,
        ignore::Ignore,
        mount::{Mount, MountKind as Wanted, Sharing},
    },
    exec::{self, MountKind, Stack},
    image::Layer,
    store::Locked,
    tree::{self, Change, Tree},
};

/// A mount as the instruction asks for it, and what the result of the step depends on.
#[derive(Clone)]
pub(super) struct Mounted {
    /// Where, in the image.
    pub target: PathBuf,
    /// What the result of the step depends on.
    pub key: String,
    wanted: Wanted,
    source: Option<Source>,
    /// `NAME=value`, for secrets that are variables, and the socket of an agent.
    pub variable: Option<OsString>,
}

/// What a bind mount, or the beginning of a cache, is taken from.
#[derive(Clone)]
enum Source {
    /// The root filesystem of a stage or an image.
    Layers(Vec<Layer>),
    /// Files of a context, as changes of an empty tree.
    Files(Vec<Change>),
}

/// A mount that can be made now.
pub(super) struct Ready {
    pub mount: exec::Mount,
    pub _held: Held,
}

/// What a mount needs for as long as the process runs.
pub(super) enum Held {
    Nothing,
    /// Of a cache.
    Lock {
        _lock: Locked,
    },
    /// The socket that was mounted.
    Agent {
        _agent: Agent,
    },
}

/// Finds out what the mounts of a RUN are, without making anything.
pub(super) async fn resolve(stage: &mut Stage, run: &Run) -> Result<Vec<Mounted>, BuildError> {
    let mut mounts = Vec::new();
    let mut agents = 0..;
    for word in &run.mounts {
        let wrong = |error: String| stage.value_error(error, word.span.clone());
        let expand = |text: &str| {
            crate::containerfile::expand::expand(text, stage.text.escape, &|name| stage.lookup(name))
        };
        let mount = Mount::parse(&word.text, expand).map_err(|error| wrong(error.to_string()))?;
        let workdir = stage.image.config().config.working_dir.clone();
        let agent = matches!(mount.kind, Wanted::Ssh { .. }).then(|| agents.next().unwrap_or(0));
        // A secret without a file has no target.
        let target = match &mount.kind {
            Wanted::Ssh { .. } if mount.target.is_empty() => {
                format!("/run/buildkit/ssh_agent.{}", agent.unwrap_or_default())
            }
            Wanted::Secret { path: None, .. } => String::new(),
            Wanted::Secret { path: Some(path), .. } => super::workdir::absolute(&workdir, path),
            _ => mount
                .resolve_target(&workdir)
                .map_err(|error| wrong(error.to_string()))?,
        };
        let (source, content) = source(stage, word, &mount.kind).await?;
        let variable = match (&mount.kind, agent) {
            (Wanted::Ssh { id, .. }, Some(0)) => agent_socket(&stage.shared, id, &target),
            _ => variable(stage, &mount.kind)?,
        };
        mounts.push(Mounted {
            key: format!("{target} {:?} {content:?}", mount.kind),
            target: target.into(),
            variable,
            wanted: mount.kind,
            source,
        });
    }
    Ok(mounts)
}

/// The digest of what a result depends on is that of the content; a cache's content does not matter.
async fn source(
    stage: &Stage,
    word: &Word,
    kind: &Wanted,
) -> Result<(Option<Source>, Option<Digest>), BuildError> {
    let (from, path) = match kind {
        Wanted::Bind { from, source, .. } => (from.clone(), source.clone()),
        Wanted::Cache {
            from: Some(from),
            source,
            ..
        } => (Some(from.clone()), source.clone()),
        _ => return Ok((None, None)),
    };
    let shared = &stage.shared;
    let Some(from) = from else {
        let files = shared.clone();
        let tree = shared
            .blocking(move || {
                origin::digested(&files.sources.context()?, std::slice::from_ref(&path))
                    .map(|tree| (tree, path))
            })
            .await?;
        return files_of(&tree.0, &tree.1, &shared.sources.describe());
    };
    let name = Word {
        text: from.clone(),
        span: word.span.clone(),
    };
    if let Some(context) = base::named_files(shared, &from) {
        let tree = origin::named(shared, context, vec![path.clone()]).await?;
        return files_of(&tree, &path, &format!("the named context {from}"));
    }
    let layers = match origin::source_stage(stage, &name)? {
        Some(index) => shared.stage(index).await?.image.layers().to_vec(),
        None => origin::source_image(stage, &from).await?.layers().to_vec(),
    };
    if matches!(kind, Wanted::Cache { .. }) {
        // A cache begins with a copy, so that whatever it was copied from stays as it is.
        let tree = shared.layers.tree(shared, &layers).await?;
        let pick = select::plain(&tree, &path, &from)?;
        return Ok((Some(Source::Files(changes(&tree, &pick, false)?)), None));
    }
    let mut hasher = Hasher::new();
    for layer in &layers {
        hasher.update(layer.diff_id.as_bytes());
    }
    Ok((Some(Source::Layers(layers)), Some(hasher.finish())))
}

/// What is at a path of a context.
fn files_of(tree: &Tree, path: &str, place: &str) -> Result<(Option<Source>, Option<Digest>), BuildError> {
    let pick = select::plain(tree, path, place)?;
    let digest = origin::content_digest(tree, &pick)?;
    Ok((Some(Source::Files(changes(tree, &pick, true)?)), Some(digest)))
}

/// What a pick brings, as a tree of its own with the pick at its path. Files of a context are root's.
fn changes(tree: &Tree, pick: &Pick, of_root: bool) -> Result<Vec<Change>, BuildError> {
    let mut part = Tree::new();
    select::walk(tree, pick, &Ignore::default(), &mut |_,
                                                       path,
                                                       node|
     -> Result<
        (),
        BuildError,
    > {
        let mut node = node.clone();
        if of_root {
            (node.metadata.uid, node.metadata.gid) = (0, 0);
        }
        Ok(part.insert(path, node)?)
    })?;
    Ok(tree::diff(&Tree::new(), &part))
}

fn variable(stage: &Stage, kind: &Wanted) -> Result<Option<OsString>, BuildError> {
    let Wanted::Secret {
        id,
        env: Some(name),
        required,
        ..
    } = kind
    else {
        return Ok(None);
    };
    Ok(secret(&stage.shared, id, *required)?.map(|value| {
        use std::os::unix::ffi::OsStringExt;
        OsString::from_vec([name.as_bytes(), b"=", &value].concat())
    }))
}

/// Where programs look for an agent; the first one that is mounted is theirs.
fn agent_socket(shared: &Shared, id: &str, target: &str) -> Option<OsString> {
    let given = shared.options.ssh.iter().any(|ssh| ssh.id == id);
    given.then(|| format!("SSH_AUTH_SOCK={target}").into())
}

fn secret(shared: &Shared, id: &str, required: bool) -> Result<Option<Arc<[u8]>>, BuildError> {
    let found = shared.options.secrets.iter().rev().find(|secret| secret.id == id);
    match found {
        Some(secret) => Ok(Some(secret.value.clone())),
        None if required => Err(Problem::NoSecret(id.to_owned()).into()),
        None => Ok(None),
    }
}

/// Makes what the mounts need: sources are unpacked, caches are created.
pub(super) async fn prepare(
    shared: &Arc<Shared>,
    engine: &exec::Engine,
    mounts: Vec<Mounted>,
) -> Result<Vec<Ready>, BuildError> {
    let mut ready = Vec::new();
    for mount in mounts {
        let target = mount.target.clone();
        let Some((kind, held)) = kind(shared, engine, mount).await? else {
            continue;
        };
        ready.push(Ready {
            mount: exec::Mount { target, kind },
            _held: held,
        });
    }
    Ok(ready)
}

async fn kind(
    shared: &Arc<Shared>,
    engine: &exec::Engine,
    mount: Mounted,
) -> Result<Option<(MountKind, Held)>, BuildError> {
    if let Wanted::Cache {
        id,
        sharing,
        source,
        read_only,
        mode,
        uid,
        gid,
        ..
    } = mount.wanted
    {
        let cache = Cache {
            id,
            sharing,
            mode,
            uid,
            gid,
        };
        let beginning = match mount.source {
            Some(Source::Files(changes)) => Some((changes, source)),
            _ => None,
        };
        let id = cache.id.clone();
        let (directory, lock) = cache.directory(shared, engine, beginning).await?;
        shared.caches.mounts.note(&id, &directory);
        return Ok(Some((
            MountKind::Bind {
                source: directory,
                read_only,
            },
            Held::Lock { _lock: lock },
        )));
    }
    let layers = match mount.source {
        Some(Source::Layers(layers)) => {
            let tree = shared.layers.tree(shared, &layers).await?;
            shared.layers.stack(shared, engine, &layers, tree).await?
        }
        Some(Source::Files(changes)) => shared.layers.stack_of_files(shared, engine, changes).await?,
        None => Stack::default(),
    };
    Ok(match mount.wanted {
        Wanted::Bind {
            source, read_only, ..
        } => Some((
            MountKind::Layers {
                layers,
                source: source.into(),
                writable: !read_only,
            },
            Held::Nothing,
        )),
        Wanted::Tmpfs { size } => Some((MountKind::Tmpfs { size, mode: 0o755 }, Held::Nothing)),
        Wanted::Secret {
            id,
            path: Some(_),
            required,
            mode,
            uid,
            gid,
            ..
        } => secret(shared, &id, required)?.map(|value| {
            (
                MountKind::File {
                    contents: value.to_vec(),
                    mode,
                    uid,
                    gid,
                },
                Held::Nothing,
            )
        }),
        Wanted::Secret { path: None, .. } => None,
        Wanted::Ssh {
            id,
            required,
            mode,
            uid,
            gid,
            ..
        } => match shared.options.ssh.iter().find(|ssh| ssh.id == id) {
            Some(ssh) => {
                let agent = Agent::start(shared, engine, &ssh.socket, Access { mode, uid, gid }).await?;
                let mount = MountKind::Bind {
                    source: agent.socket(),
                    read_only: false,
                };
                Some((mount, Held::Agent { _agent: agent }))
            }
            None if required => return Err(Problem::NoSsh(id).into()),
            None => None,
        },
        Wanted::Cache { .. } => None,
    })
}

/// A cache mount's directory.
#[derive(Clone)]
struct Cache {
    id: String,
    sharing: Sharing,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Cache {
    /// The directory, and the lock to hold. It is made if it is not there, with what is at a path of `beginning`.
    async fn directory(
        self,
        shared: &Arc<Shared>,
        engine: &exec::Engine,
        beginning: Option<(Vec<Change>, String)>,
    ) -> Result<(PathBuf, Locked), BuildError> {
        let parent = shared.store.root().join("mounts").join(engine.format());
        let cache = self.clone();
        let (directory, lock) = shared.blocking(move || cache.take(&parent)).await?;
        if directory.exists() {
            return Ok((directory, lock));
        }
        let beginning = match caches::mounts::restore(shared, &self.id).await {
            Some(changes) => Some((changes, String::new())),
            None => beginning,
        };
        let (begun, source) = match beginning {
            Some((changes, source)) => (shared.layers.unpack_apart(shared, engine, changes).await?, source),
            None => (shared.store.new_layer_dir()?, String::new()),
        };
        let (engine, place) = (engine.clone(), directory.clone());
        let new = begun.root().join(source.trim_start_matches('/'));
        shared.blocking(move || self.make(&engine, &new, &place)).await?;
        drop(begun);
        Ok((directory, lock))
    }

    /// Which directory, and its lock.
    fn take(&self, parent: &Path) -> Result<(PathBuf, Locked), BuildError> {
        let name = Digest::of(&self.id).hex();
        fs::create_dir_all(parent).map_err(Problem::io("create", parent))?;
        for number in 0.. {
            let directory = parent.join(format!("{name}-{number}"));
            let path = directory.with_extension("lock");
            let lock = fs::OpenOptions::new().create(true).append(true).open(&path);
            let lock = lock.map_err(Problem::io("open", &path))?;
            let taken = match self.sharing {
                Sharing::Shared => lock.lock_shared(),
                Sharing::Locked => lock.lock(),
                // One that nobody uses.
                Sharing::Private => match lock.try_lock() {
                    Err(fs::TryLockError::WouldBlock) => continue,
                    Err(fs::TryLockError::Error(error)) => Err(error),
                    Ok(()) => Ok(()),
                },
            };
            taken.map_err(Problem::io("lock", &path))?;
            return Ok((directory, Locked(lock)));
        }
        Err(Problem::Value("there is no free cache directory".to_owned()).into())
    }

    /// Gives a new directory its owner and puts it in its place, by a rename: nobody finds it half made.
    fn make(&self, engine: &exec::Engine, new: &Path, place: &Path) -> Result<(), BuildError> {
        let work = || {
            engine.give(new, self.uid, self.gid, self.mode)?;
            match fs::rename(new, place) {
                // Another build was faster.
                Err(_) if place.exists() => Ok(()),
                result => result,
            }
        };
        let explain = |error: io::Error| format!("cannot make the cache {}: {error}", place.display());
        Ok(engine.with_ids(|| work().map_err(explain))?)
    }
}

/// The mounts as the executor takes them; `script` is a program with its directory, name and text.
pub(super) fn for_process(ready: &[Ready], script: Option<(&str, (String, String))>) -> Vec<exec::Mount> {
    let mounts = ready.iter().map(|ready| ready.mount.clone());
    let script = script.map(|(directory, (name, text))| exec::Mount {
        target: PathBuf::from(directory).join(name),
        kind: MountKind::File {
            contents: text.into_bytes(),
            mode: 0o755,
            uid: 0,
            gid: 0,
        },
    });
    mounts.chain(script).collect()
}
