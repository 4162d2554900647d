//! Kinds of place that rbuild must work in, made on the spot.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::chown,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
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
    as_user(room.path(), true, || check(room.path()));
}

/// Does something in a child process as an ordinary user, who has a passwd entry and owns `room`; with a range of
/// subordinate ids or without.
pub fn as_user(room: &Path, subordinate_ids: bool, check: impl FnOnce()) {
    chown(room, Some(USER), Some(USER)).expect("the directory given away");
    let account = Account::new(subordinate_ids).expect("files of an account");
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let mut child = rbuild_sys::fork(Keep::All, || {
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

/// What a piece of work said when it panicked, with the place.
fn panic_of(work: impl FnOnce()) -> Option<String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::panic::set_hook(Box::new(move |info| {
        let _ = sender.send(info.to_string());
    }));
    let result = catch_unwind(AssertUnwindSafe(work));
    result
        .err()
        .map(|_| receiver.try_iter().collect::<Vec<_>>().join("; "))
}

/// An account that only a child process sees: its files are mounted over those of the machine.
struct Account {
    directory: tempfile::TempDir,
}

impl Account {
    fn new(subordinate_ids: bool) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let passwd = fs::read_to_string("/etc/passwd")?;
        let entry = format!("cage:x:{USER}:{USER}::/nonexistent:/bin/sh\n");
        fs::write(
            directory.path().join("passwd"),
            format!("{}\n{entry}", passwd.trim_end()),
        )?;
        let range = format!("cage:{FIRST_SUBORDINATE}:65536\n");
        for file in ["subuid", "subgid"] {
            fs::write(
                directory.path().join(file),
                if subordinate_ids { &range } else { "" },
            )?;
        }
        Ok(Self { directory })
    }

    fn enter(&self) -> anyhow::Result<()> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none: Option<&Path> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        for file in ["passwd", "subuid", "subgid"] {
            let target = PathBuf::from("/etc").join(file);
            mount(
                Some(&self.directory.path().join(file)),
                &target,
                none,
                MsFlags::MS_BIND,
                none,
            )
            .with_context(|| target.display().to_string())?;
        }
        let (uid, gid) = (Uid::from_raw(USER), Gid::from_raw(USER));
        setgroups(&[gid])?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        // A change of identity hides a process from others of its user, and from newuidmap.
        nix::sys::prctl::set_dumpable(true)?;
        Ok(())
    }
}
