//! Kinds of place that rbuild must work in, made on the spot.
//!
//! - `container`: what a container runtime would do
//! - `profile`: its filter of system calls

mod container;
mod profile;

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::chown,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{Gid, Uid, getuid, setgroups, setresgid, setresuid},
};
use rbuild_sys::{Ended, Keep};

use self::container::Container;
use crate::{need, skip};

/// The user of the `rootless` cage, and where its subordinate ids begin.
pub const USER: u32 = 61_000;
const FIRST_SUBORDINATE: u32 = 2_000_000;

/// A kind of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cage {
    /// Root with CAP_SYS_ADMIN.
    Root,
    /// Root in a container: its usual capabilities, under its usual filter of system calls.
    PodRoot,
    /// An ordinary user with newuidmap and a range of subordinate ids.
    Rootless,
    /// An ordinary user without newuidmap.
    RootlessSingle,
    /// In a container that allows nothing: an unknown user, group 0, no capabilities, no_new_privs, the usual filter,
    /// everything read-only but one directory.
    Restricted,
}

impl Cage {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Root,
        Self::PodRoot,
        Self::Rootless,
        Self::RootlessSingle,
        Self::Restricted,
    ];
}

/// What an ordinary user lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// Nothing that a rootless build needs.
    Nothing,
    /// A range in `/etc/subuid` and `/etc/subgid`.
    SubordinateIds,
    /// newuidmap and newgidmap.
    IdMapPrograms,
}

/// Does something in each of the cages that this machine can give, with an empty directory that belongs to the user
/// there. The rootless cage is a child process when this one is root: see [`rbuild_sys::fork`] for what it may do. It
/// fails as an ordinary assertion does.
pub fn in_each_cage(check: impl Fn(Cage, &Path)) {
    if may(CloneFlags::CLONE_NEWNS) {
        let room = tempfile::tempdir().expect("a temporary directory");
        check(Cage::Root, room.path());
    }
    rootless(|room| check(Cage::Rootless, room));
}

/// Does something in one of the cages, with an empty directory that belongs to the user there; not at all, and says so,
/// if this machine cannot give it. Who is not root gets a `Restricted` that lacks what only root can arrange: another
/// user, and a read-only file system.
pub fn inside(cage: Cage, check: impl FnOnce(&Path)) {
    match cage {
        Cage::Root if !may(CloneFlags::CLONE_NEWNS) => {}
        Cage::Rootless => rootless(check),
        Cage::Root | Cage::Restricted => within(cage, check),
        Cage::PodRoot | Cage::RootlessSingle if !getuid().is_root() => {
            skip(&format!("only root can make the cage {cage:?}"))
        }
        Cage::RootlessSingle if need("newuidmap").is_none() => {}
        Cage::PodRoot | Cage::RootlessSingle => within(cage, check),
    }
}

fn within(cage: Cage, check: impl FnOnce(&Path)) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let room = directory.path();
    let container = match cage {
        Cage::Root | Cage::Rootless => return check(room),
        Cage::RootlessSingle => return as_user(room, Lacking::IdMapPrograms, || check(room)),
        Cage::PodRoot => Container::pod_root(room),
        Cage::Restricted => Container::restricted(room),
    };
    let container = container.expect("a container");
    in_child(|| container.enter(), || check(room));
}

/// Whether this process may make such namespaces; says so if not.
fn may(namespaces: CloneFlags) -> bool {
    let tried = rbuild_sys::fork(Keep::All, || i32::from(unshare(namespaces).is_err()));
    let may = tried
        .and_then(|mut child| child.wait())
        .is_ok_and(|ended| ended == Ended::Exited(0));
    if !may {
        skip(&format!("unshare({namespaces:?}) is not allowed here"));
    }
    may
}

/// Does something as an ordinary user with subordinate ids.
pub fn rootless(check: impl FnOnce(&Path)) {
    if need("newuidmap").is_none() || !may(CloneFlags::CLONE_NEWUSER) {
        return;
    }
    let room = tempfile::tempdir().expect("a temporary directory");
    if !getuid().is_root() {
        return check(room.path());
    }
    as_user(room.path(), Lacking::Nothing, || check(room.path()));
}

/// Does something in a child process as an ordinary user, who has a passwd entry and owns `room`. This process must be
/// root.
pub fn as_user(room: &Path, lacking: Lacking, check: impl FnOnce()) {
    chown(room, Some(USER), Some(USER)).expect("the directory given away");
    let account = Account::new(lacking).expect("files of an account");
    in_child(|| account.enter(), check);
}

/// Does something in a child process that has a small file system of its own, of so many bytes, in memory; not at all,
/// and says so, if this process may not mount any.
pub fn on_a_small_disk(bytes: usize, check: impl FnOnce(&Path)) {
    if !may(CloneFlags::CLONE_NEWNS) {
        return;
    }
    let room = tempfile::tempdir().expect("a temporary directory");
    let disk = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let (none, tmpfs): (Option<&str>, _) = (None, Some("tmpfs"));
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let size = format!("size={bytes}");
        Ok(mount(
            tmpfs,
            room.path(),
            tmpfs,
            MsFlags::empty(),
            Some(size.as_str()),
        )?)
    };
    in_child(disk, || check(room.path()));
}

/// Does something in a child process that has put itself into a cage.
fn in_child(enter: impl FnOnce() -> anyhow::Result<()>, check: impl FnOnce()) {
    let (mut reader, writer) = io::pipe().expect("a pipe");
    listen_to_panics();
    let launching = rbuild_sys::launching();
    let mut child = rbuild_sys::fork(Keep::All, || {
        // Else the child could never have one of its own: it has a copy of the lock as it is now.
        drop(launching);
        let message = match enter() {
            Ok(()) => panic_of(check),
            Err(error) => Some(format!("cannot enter the cage: {error:#}")),
        };
        let Some(message) = message else { return 0 };
        let _ = (&writer).write_all(message.as_bytes());
        1
    })
    .expect("a child process");
    drop(writer);
    let mut message = String::new();
    let _ = reader.read_to_string(&mut message);
    let ended = child.wait().expect("the end of the child");
    assert_eq!(ended, Ended::Exited(0), "in a cage: {message}");
}

/// What panics of a cage said, with their places. Only used in a cage.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
static IN_A_CAGE: AtomicBool = AtomicBool::new(false);

/// Lets panics of a cage be told to the process outside. Done before the cage is forked: the hook has a lock, and the
/// child could get a copy of it that nobody opens.
fn listen_to_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if IN_A_CAGE.load(Ordering::Relaxed) {
                SAID.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(info.to_string());
            } else {
                before(info);
            }
        }));
    });
}

/// Whether this is a process that was made for a cage, and has nothing to do with other tests.
pub fn is_alone() -> bool {
    IN_A_CAGE.load(Ordering::Relaxed)
}

/// What a piece of work said when it panicked, with the place.
fn panic_of(work: impl FnOnce()) -> Option<String> {
    IN_A_CAGE.store(true, Ordering::Relaxed);
    let result = catch_unwind(AssertUnwindSafe(work));
    result
        .err()
        .map(|_| SAID.lock().unwrap_or_else(PoisonError::into_inner).join("; "))
}

/// An account that only a child process sees: its files are mounted over those of the machine.
struct Account {
    directory: tempfile::TempDir,
    lacking: Lacking,
}

impl Account {
    fn new(lacking: Lacking) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let passwd = fs::read_to_string("/etc/passwd")?;
        let entry = format!("cage:x:{USER}:{USER}::/nonexistent:/bin/sh\n");
        fs::write(
            directory.path().join("passwd"),
            format!("{}\n{entry}", passwd.trim_end()),
        )?;
        let range = format!("cage:{FIRST_SUBORDINATE}:65536\n");
        for file in ["subuid", "subgid"] {
            let range = if lacking == Lacking::SubordinateIds {
                ""
            } else {
                &range
            };
            fs::write(directory.path().join(file), range)?;
        }
        Ok(Self { directory, lacking })
    }

    fn enter(&self) -> anyhow::Result<()> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none: Option<&Path> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let cover = |with: &str, target: &Path| {
            mount(
                Some(&self.directory.path().join(with)),
                target,
                none,
                MsFlags::MS_BIND,
                none,
            )
            .with_context(|| target.display().to_string())
        };
        for file in ["passwd", "subuid", "subgid"] {
            cover(file, &PathBuf::from("/etc").join(file))?;
        }
        if self.lacking == Lacking::IdMapPrograms {
            for program in ["newuidmap", "newgidmap"] {
                cover("/dev/null", &need(program).context(program)?)?;
            }
        }
        let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
        setgroups(&[gid])?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        // A change of identity hides a process from others of its user, and from newuidmap.
        nix::sys::prctl::set_dumpable(true)?;
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        Ok(())
    }
}
