//! Kinds of place that rbuild must work in, made on the spot.

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

use crate::{need, skip};

/// The user of the `rootless` cage, and where its subordinate ids begin.
pub const USER: u32 = 61_000;
const FIRST_SUBORDINATE: u32 = 2_000_000;

/// A kind of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cage {
    /// Root with CAP_SYS_ADMIN.
    Root,
    /// An ordinary user with newuidmap and a range of subordinate ids.
    Rootless,
}

/// What an ordinary user lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// Nothing that a rootless build needs.
    Nothing,
    /// A range in `/etc/subuid` and `/etc/subgid`.
    SubordinateIds,
    /// newuidmap, newgidmap, and whatever else is in their directory.
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
    let (mut reader, writer) = io::pipe().expect("a pipe");
    listen_to_panics();
    let launching = rbuild_sys::launching();
    let mut child = rbuild_sys::fork(Keep::All, || {
        // Else the child could never have one of its own: it has a copy of the lock as it is now.
        drop(launching);
        let message = match account.enter() {
            Ok(()) => panic_of(check),
            Err(error) => Some(format!("cannot become an ordinary user: {error:#}")),
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
    assert_eq!(ended, Ended::Exited(0), "as an ordinary user: {message}");
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
        fs::create_dir(directory.path().join("empty"))?;
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
            let program = need("newuidmap").context("newuidmap")?;
            cover("empty", program.parent().context("a directory")?)?;
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
