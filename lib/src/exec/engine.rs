//! What the rest of the crate holds.

use std::{
    fmt::Display,
    io::{self, BufRead, BufReader, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rbuild_sys::Keep;
use rustix::process::getpid;

use super::{
    Cancel, Error, Missing, Outcome, RunSpec,
    child::{Report, Task, die_with},
    farm::{Farm, View, note},
    ids::Ids,
    probe::{Found, probe, probe_supervision},
    run::{How, run},
    supervised::{self, Family, Place, Shared},
};
use crate::{
    event::Stream,
    layer::{self, Whiteouts},
};

/// What [`Engine::probe`] needs to know.
#[derive(Clone, Debug)]
pub struct ProbeConfig {
    /// A directory on the file system that will hold root file systems; left as it was.
    pub scratch: PathBuf,
    /// What may be used.
    pub isolation: Isolation,
}

impl ProbeConfig {
    /// Whatever works, with root file systems below `scratch`.
    pub fn new(scratch: impl Into<PathBuf>) -> Self {
        Self {
            scratch: scratch.into(),
            isolation: Isolation::default(),
        }
    }
}

/// What gives a process its root file system and its ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isolation {
    /// The best that works.
    #[default]
    Auto,
    /// Mounts and the kernel's ids: as root with CAP_SYS_ADMIN, or in a user namespace.
    Mounts,
    /// Neither: system calls are answered by this process.
    Supervised,
}

/// A way to run processes on this machine. Clones share it; several threads may run at once.
#[derive(Clone, Debug)]
pub struct Engine(pub(super) Arc<Found>);

impl Engine {
    /// Tries what this machine allows: to be root by itself, or in a user namespace; where neither is, to answer system
    /// calls.
    pub fn probe(config: &ProbeConfig) -> Result<Self, Error> {
        let found = match config.isolation {
            Isolation::Supervised => probe_supervision(),
            Isolation::Mounts => probe(&config.scratch)
                .map(|found| Found {
                    // Mounts it is, and nothing else.
                    instead: OnceLock::from(None),
                    ..found
                })
                .map_err(|error| match error {
                    Error::Unavailable(missing) => Error::NoMounts(missing),
                    error => error,
                }),
            Isolation::Auto => probe(&config.scratch).or_else(|error| match error {
                Error::Unavailable(missing) => match probe_supervision() {
                    Ok(found) => Ok(Found {
                        instead_of: Some(missing),
                        ..found
                    }),
                    // What would be faster is what is asked for.
                    Err(_) => Err(Error::Unavailable(missing)),
                },
                error => Err(error),
            }),
        };
        found.map(Arc::new).map(Self)
    }

    /// What gives processes their root file system and their ids, in words.
    pub fn describe(&self) -> &'static str {
        match self.0.ids {
            Ids::Own => "mounts, with root's own ids",
            Ids::Mapped(_) => "mounts in a user namespace, with subordinate ids",
            Ids::Emulated => "answers to system calls, with emulated ids",
        }
    }

    /// Why this is not something faster; nothing if it is the fastest, or was asked for.
    pub fn instead_of(&self) -> Option<&Missing> {
        self.0.instead_of.as_ref()
    }

    /// What runs that need device nodes are for, where those cannot be made, and what those are for that need more users
    /// than there are: in a user namespace. Nothing if it is none, if there is nothing better, or if this one was asked
    /// for.
    pub fn instead(&self) -> Option<&Self> {
        // Only root of the whole machine may set `trusted` attributes, and make device nodes.
        if !self.mounts() || self.0.whiteouts == Whiteouts::Trusted {
            return None;
        }
        self.supervised()
    }

    /// What can do all that this one cannot, by answers to system calls: make device nodes, and run programs of other
    /// machines that the kernel does not know. Nothing if this one was asked for, or is that.
    pub fn supervised(&self) -> Option<&Self> {
        if !self.mounts() {
            return None;
        }
        let supervision = || probe_supervision().ok().map(Arc::new).map(Self);
        self.0.instead.get_or_init(supervision).as_ref()
    }

    /// Whether a run can have this user or group.
    pub fn has_id(&self, id: u32) -> bool {
        id < self.0.count
    }

    /// How layers on disk must be written for this engine.
    pub fn whiteouts(&self) -> Whiteouts {
        self.0.whiteouts
    }

    /// Whether roots are made of directories that are mounted over one another.
    pub fn mounts(&self) -> bool {
        !matches!(self.0.ids, Ids::Emulated)
    }

    /// Puts a plain tar onto the disk as this engine's roots are made of it; with the ids of a run, see
    /// [`with_ids`](Self::with_ids).
    ///
    /// # Errors
    /// As [`layer::unpack`].
    pub fn unpack(&self, tar: &mut dyn BufRead, directory: &Path) -> Result<(), layer::Error> {
        match self.mounts() {
            true => layer::unpack(tar, directory, self.0.whiteouts, layer::Ids::Set),
            false => layer::unpack_contents(tar, directory),
        }
    }

    /// Gives a directory that runs will see to one of their users; with the ids of a run.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn give(&self, directory: &Path, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
        if !self.mounts() {
            note(directory, uid, gid, mode);
            return Ok(());
        }
        std::os::unix::fs::chown(directory, Some(uid), Some(gid))?;
        std::fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(mode))
    }

    /// Whose files are on the disk.
    pub fn ids_on_disk(&self) -> layer::Ids {
        match self.mounts() {
            true => layer::Ids::Set,
            false => layer::Ids::Keep,
        }
    }

    /// A directory name for layers on disk that this engine can use: they differ in owners and in whiteouts.
    pub fn format(&self) -> &str {
        &self.0.format
    }

    /// Does some work with the ids that a run has: as its root, able to give files to any of its users.
    ///
    /// For real root, and where ids are emulated, that is here and now. Otherwise the work is done in a forked child, so it sees a copy of this
    /// process's memory, and nothing that it changes there comes back; only files and pipes do. The child has one
    /// thread to begin with: the work must not wait for locks or threads of this process.
    pub fn with_ids<E: Display>(&self, work: impl FnOnce() -> Result<(), E>) -> Result<(), Error> {
        match self.0.ids {
            Ids::Own | Ids::Emulated => work().map_err(failed),
            Ids::Mapped(_) => {
                let launching = rbuild_sys::launching();
                let task = self.spawn(&launching, work)?;
                drop(launching);
                finish(task)
            }
        }
    }

    /// Like [`with_ids`](Self::with_ids), with a pipe or a queue from the work to `consume`, which is called in this
    /// process at the same time. What `consume` leaves unread is thrown away. If the work fails, that is the result.
    pub fn produce<T, E: Display>(
        &self,
        produce: impl FnOnce(&mut dyn Write) -> Result<(), E> + Send,
        consume: impl FnOnce(&mut dyn BufRead) -> T,
    ) -> Result<T, Error> {
        if self.0.ids.namespace().is_none() {
            let (mut writer, mut reader) = layer::queue();
            // The ends belong to the closures: a panic of either ends the other.
            return std::thread::scope(move |scope| {
                let work = scope.spawn(move || produce(&mut writer).map_err(failed));
                let consumed = consume(&mut reader);
                io::copy(&mut reader, &mut io::sink()).map_err(cannot("read from a pipe"))?;
                match work.join() {
                    Ok(done) => done.map(|()| consumed),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            });
        }
        let launching = rbuild_sys::launching();
        let (reader, writer) = layer::wide_pipe().map_err(cannot("make a pipe"))?;
        let task = self.spawn(&launching, || produce(&mut &writer))?;
        drop(writer);
        drop(launching);
        let mut reader = BufReader::with_capacity(layer::BUFFER, reader);
        let consumed = consume(&mut reader);
        io::copy(&mut reader, &mut io::sink()).map_err(cannot("read from a pipe"))?;
        finish(task).map(|()| consumed)
    }

    /// Like [`with_ids`](Self::with_ids), with a pipe or a queue to the work from `feed`, which is called in this process
    /// at the same time. If the work fails, that is the result: what `feed` then finds is a closed pipe.
    pub fn feed<T, E: Display>(
        &self,
        work: impl FnOnce(&mut dyn BufRead) -> Result<(), E> + Send,
        feed: impl FnOnce(&mut dyn Write) -> T,
    ) -> Result<T, Error> {
        if self.0.ids.namespace().is_none() {
            let (mut writer, mut reader) = layer::queue();
            return std::thread::scope(move |scope| {
                let work = scope.spawn(move || work(&mut reader).map_err(failed));
                let fed = feed(&mut writer);
                drop(writer);
                match work.join() {
                    Ok(done) => done.map(|()| fed),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            });
        }
        let launching = rbuild_sys::launching();
        let (reader, mut writer) = layer::wide_pipe().map_err(cannot("make a pipe"))?;
        // The child must not keep a copy of the end that is written to, or it would wait for itself.
        let mut only = vec![reader.as_fd()];
        only.extend(self.0.ids.namespace().map(|namespace| namespace.as_fd()));
        let task = self.spawn_keeping(&launching, Keep::Only(&only), || {
            work(&mut BufReader::with_capacity(layer::BUFFER, &reader))
        })?;
        drop(reader);
        drop(launching);
        let fed = feed(&mut writer);
        drop(writer);
        finish(task).map(|()| fed)
    }

    /// Starts a child that does some work as root of the engine's ids.
    fn spawn<E: Display>(
        &self,
        launching: &std::sync::MutexGuard<'_, ()>,
        work: impl FnOnce() -> Result<(), E>,
    ) -> Result<Task, Error> {
        self.spawn_keeping(launching, Keep::All, work)
    }

    fn spawn_keeping<E: Display>(
        &self,
        launching: &std::sync::MutexGuard<'_, ()>,
        keep: Keep<'_>,
        work: impl FnOnce() -> Result<(), E>,
    ) -> Result<Task, Error> {
        let parent = getpid();
        let work = |_: &_| {
            self.0.ids.enter()?;
            die_with(parent)?;
            work().map_err(|error| Report::Failed(error.to_string()))?;
            Ok(Report::Done)
        };
        Task::spawn(launching, keep, work).map_err(cannot("fork"))
    }

    /// Removes a directory that may hold files of any id of this engine. Fine if it is not there.
    pub fn remove_tree(&self, path: &Path) -> Result<(), Error> {
        self.with_ids(|| match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("cannot remove {}: {error}", path.display()))
            }
            _ => Ok(()),
        })
    }

    /// Runs a process to its end and gives its output to `output` as it comes.
    ///
    /// Whatever else it started has ended as well when this returns. All paths of this machine in `spec` are
    /// absolute.
    pub fn run(
        &self,
        spec: &RunSpec,
        cancel: &Cancel,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Outcome, Error> {
        match &spec.farm {
            Some(farm) => supervise(spec, farm, cancel, output),
            None => {
                let how = How {
                    whiteouts: self.0.whiteouts,
                    watched: self.instead().map(|_| self.0.count),
                };
                run(spec, &self.0.ids, how, cancel, output)
            }
        }
    }
}

/// Runs a process in a root without mounts, and leaves that as if there had never been any.
fn supervise(
    spec: &RunSpec,
    farm: &Arc<Farm>,
    cancel: &Cancel,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Outcome, Error> {
    let failed = |(what, source)| Error::Setup { what, source };
    let mut view =
        View::new(farm.clone()).map_err(|error| failed(("open the root".to_owned(), error.into())))?;
    let mounted = view.mount_all(spec).map_err(failed);
    let view = Arc::new(view);
    let outcome = mounted.and_then(|()| {
        let programs = farm
            .private()
            .map_err(|error| failed(("make a directory".to_owned(), error)))?;
        let shared = Shared {
            family: Family::default(),
            view: view.clone(),
            hostname: spec.hostname.clone(),
            sockets: Default::default(),
            ipc: Default::default(),
            watches: Default::default(),
            processors: Default::default(),
        };
        let place = Place {
            shared: &shared,
            programs: &programs,
        };
        supervised::run(spec, place, cancel, output)
    });
    view.unmount_all();
    outcome
}

fn finish(task: Task) -> Result<(), Error> {
    match task.join().map_err(cannot("wait for a child process"))? {
        Report::Done => Ok(()),
        failure => Err(failure.into_error()),
    }
}

fn failed(error: impl Display) -> Error {
    Error::WithIds(error.to_string())
}

fn cannot(what: &str) -> impl FnOnce(io::Error) -> Error {
    let what = what.to_owned();
    |source| Error::Setup { what, source }
}
