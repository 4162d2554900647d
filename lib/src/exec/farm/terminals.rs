//! Pseudo terminals: a run sees those that it has made, and no others.
//!
//! They are this machine's, with its numbers. `/dev/pts` is a directory of ours, in which an empty file stands for each of
//! them; who looks it up is led to the terminal. What is kept of that is a place which the kernel opens for as long as the
//! terminal is the same one: a later one of its number is not meant.

use std::{
    collections::HashMap,
    fs,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, Statx, openat, statx},
    io::Errno,
};

use super::{
    mounts::{MountId, Node, open_place},
    owners::{Device, FIELDS, Key, Meta, key},
    view::{Asker, View},
};
use crate::exec::supervised::errno;

/// `/dev/ptmx`, which makes one.
pub const MASTER: Device = Device {
    block: false,
    number: (5, 2),
};

/// Where this machine has them.
pub const DIRECTORY: &str = "/dev/pts";

/// `UNIX98_PTY_SLAVE_MAJOR`
const MAJOR: u32 = 136;

/// The group `tty` of this machine's and of most images' `/dev/pts`.
const GROUP: u32 = 5;

/// Those of a run.
#[derive(Debug)]
pub struct Terminals {
    /// Holds the files that stand for them.
    pub names: PathBuf,
    /// The mount that is in.
    pub beside: MountId,
    /// Where they are themselves.
    pub mount: MountId,
    known: Mutex<HashMap<Key, Node>>,
}

impl Terminals {
    /// None yet.
    pub fn new(names: PathBuf, beside: MountId, mount: MountId) -> Self {
        Self {
            names,
            beside,
            mount,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, Node>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The terminal that a file stands for, if it does.
    pub fn of(&self, name: &Node) -> Option<Node> {
        self.known().get(&name.key()).cloned()
    }

    /// Whether a file stands for one.
    pub fn has(&self, name: Key) -> bool {
        self.known().contains_key(&name)
    }

    /// The one of a number.
    fn numbered(&self, number: u32) -> Option<Node> {
        let known = self.known();
        let mut alive = known.values().filter(|terminal| is_there(terminal));
        alive.find(|terminal| is_number(&terminal.stat, number)).cloned()
    }

    /// Has a name stand for a terminal, and takes away those whose terminals are gone.
    fn add(&self, number: u32, terminal: Node) -> Result<(), Errno> {
        let mut known = self.known();
        known.retain(|_, terminal| is_there(terminal));
        let names = fs::read_dir(&self.names).map_err(errno)?;
        for entry in names.flatten() {
            let stands = statx(CWD, entry.path(), AtFlags::SYMLINK_NOFOLLOW, FIELDS).map(|stat| key(&stat));
            let is_number = entry
                .file_name()
                .as_encoded_bytes()
                .iter()
                .all(u8::is_ascii_digit);
            if is_number && !stands.is_ok_and(|key| known.contains_key(&key)) {
                fs::remove_file(entry.path()).map_err(errno)?;
            }
        }
        let name = self.names.join(number.to_string());
        fs::File::create_new(&name).map_err(errno)?;
        let stat = statx(CWD, &name, AtFlags::SYMLINK_NOFOLLOW, FIELDS)?;
        known.insert(key(&stat), terminal);
        Ok(())
    }
}

/// Whether its other side is still open.
fn is_there(terminal: &Node) -> bool {
    statx(&terminal.fd, "", AtFlags::EMPTY_PATH, FIELDS).is_ok_and(|stat| stat.stx_nlink > 0)
}

fn is_number(stat: &Statx, number: u32) -> bool {
    (stat.stx_rdev_major, stat.stx_rdev_minor) == (MAJOR, number)
}

impl View {
    /// Makes a terminal: the descriptor is that of its other side.
    pub(super) fn open_master(&self, asker: &Asker<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
        let terminals = self.mounts.terminals.as_ref().ok_or(Errno::NXIO)?;
        let flags = flags.difference(OFlags::TRUNC) | OFlags::NOCTTY;
        let master = openat(CWD, "/dev/ptmx", flags, Mode::empty())?;
        let number = number_of(&master)?;
        // As long as there is the other side, the name means this one.
        let place = open_place(&Path::new(DIRECTORY).join(number.to_string()))?;
        let terminal = Node::new(place, terminals.mount)?;
        if !is_number(&terminal.stat, number) {
            return Err(Errno::NXIO);
        }
        let meta = Meta {
            uid: asker.who.user.file,
            gid: GROUP,
            mode: 0o620,
            ..Meta::default()
        };
        self.farm.owners.set(terminal.key(), meta);
        terminals.add(number, terminal)?;
        Ok(master)
    }

    /// The terminal that controls who asks, if it is one of the run's.
    pub(super) fn own_terminal(&self, asker: &Asker<'_>) -> Option<Node> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", asker.pid)).ok()?;
        let number = controlling(&stat)?;
        self.mounts.terminals.as_ref()?.numbered(number)
    }
}

/// The number of a terminal, by its other side.
fn number_of(master: &OwnedFd) -> Result<u32, Errno> {
    let path = format!("/proc/self/fdinfo/{}", master.as_raw_fd());
    let text = fs::read_to_string(path).map_err(errno)?;
    let field = text.lines().find_map(|line| line.strip_prefix("tty-index:"));
    field
        .and_then(|number| number.trim().parse().ok())
        .ok_or(Errno::NXIO)
}

/// The number of the pseudo terminal that controls a process, by what `/proc/PID/stat` says.
fn controlling(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    let device: u32 = rest
        .split_whitespace()
        .nth(4)?
        .parse::<i32>()
        .ok()?
        .cast_unsigned();
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00);
    (major == MAJOR).then_some(minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controlling_terminals() {
        assert_eq!(controlling("7 (a) b) S 1 2 3 34819 5 6"), Some(3));
        assert_eq!(controlling("7 (sh) S 1 2 3 1083400 5 6"), Some(264));
        assert_eq!(controlling("7 (sh) S 1 2 3 0 5 6"), None);
        assert_eq!(controlling("7 (sh) S 1 2 3 1025 -1 6"), None);
        assert_eq!(controlling("7"), None);
    }
}
