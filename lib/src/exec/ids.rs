//! The identity view: whose numbers a run's users have.

use std::{
    env, fs, io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::{Command, Stdio},
};

use rbuild_sys::Keep;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    process::{getpid, getuid},
    thread::{
        LinkNameSpaceType, UnshareFlags, move_into_link_name_space, set_thread_groups, set_thread_res_gid,
        set_thread_res_uid,
    },
};

use super::{
    Error, Missing,
    child::{Doing, Report, Task, die_with},
};
use crate::Digest;

/// Whose ids a run has.
#[derive(Debug)]
pub(super) enum Ids {
    /// Those of this process, which is root.
    Own,
    /// Those of a user namespace: this user is its root, and subordinate ids are its other users.
    Mapped(OwnedFd),
    /// Nobody's but this user's: what a run believes of ids is kept apart.
    Emulated,
}

impl Ids {
    /// The user namespace that has them, if that is not this process's.
    pub fn namespace(&self) -> Option<&OwnedFd> {
        match self {
            Self::Mapped(namespace) => Some(namespace),
            Self::Own | Self::Emulated => None,
        }
    }

    /// Makes a child root of these ids. Changes of identity undo [`die_with`]: call that afterwards.
    pub fn enter(&self) -> Result<(), Report> {
        let Some(namespace) = self.namespace() else {
            return Ok(());
        };
        use rustix::process::{Gid, Uid};
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::User))
            .doing(|| "enter the user namespace".to_owned())?;
        set_thread_groups(&[])
            .and_then(|()| set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT))
            .and_then(|()| set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT))
            .doing(|| "become root of the user namespace".to_owned())
    }
}

/// The ids of a user namespace.
pub(super) struct Mapped {
    pub namespace: OwnedFd,
    /// In words.
    pub mapping: String,
    /// How many users and groups there are, from 0 on, whichever are fewer.
    pub count: u32,
}

/// Makes a user namespace with a full range of ids.
pub(super) fn map_ids() -> Result<Mapped, Error> {
    let uid = getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    let user = user_name(uid);
    let (namespace, (mapping, count)) = make_namespace(|pid| {
        let uids = Mapping::of("/etc/subuid", "newuidmap", &user, uid, uid)?;
        let gids = Mapping::of("/etc/subgid", "newgidmap", &user, uid, gid)?;
        uids.apply(pid)?;
        gids.apply(pid)?;
        Ok((format!("{uids} {gids}"), uids.count().min(gids.count())))
    })?;
    Ok(Mapped {
        namespace,
        mapping,
        count,
    })
}

/// How many ids this process's own user namespace has, from 0 on.
pub(super) fn count_own() -> u32 {
    let counts = ["/proc/self/uid_map", "/proc/self/gid_map"]
        .map(|file| fs::read_to_string(file).map_or(u32::MAX, |map| count_in(&map)));
    counts.into_iter().min().unwrap_or(u32::MAX)
}

/// How many ids there are from 0 on, in the form of `/proc/PID/uid_map`: first id inside, first id outside, number.
fn count_in(map: &str) -> u32 {
    let range = |line: &str| {
        let mut fields = line.split_whitespace().map(str::parse);
        let first = fields.next()?.ok()?;
        Some((first, fields.nth(1)?.ok()?))
    };
    let mut ranges: Vec<(u32, u32)> = map.lines().filter_map(range).collect();
    ranges.sort_unstable();
    ranges
        .into_iter()
        .fold(0, |next, (first, count)| match first == next {
            true => next.saturating_add(count),
            false => next,
        })
}

/// Makes a user namespace; `map` writes its maps, given the id of a process in it.
fn make_namespace<T>(map: impl FnOnce(i32) -> Result<T, Error>) -> Result<(OwnedFd, T), Error> {
    let setup = |what: &str| {
        let what = what.to_owned();
        |source| Error::Setup { what, source }
    };
    let launching = rbuild_sys::launching();
    let parent = getpid();
    let (wait, hold) = io::pipe().map_err(setup("make a pipe"))?;
    let mut task = Task::spawn(&launching, Keep::Only(&[wait.as_fd()]), |reporter| {
        rbuild_sys::unshare(UnshareFlags::NEWUSER).doing(String::new)?;
        die_with(parent)?;
        reporter.send(&Report::Done);
        let _ = io::Read::read(&mut &wait, &mut [0]);
        Ok(Report::Done)
    })
    .map_err(setup("fork"))?;
    drop(wait);
    drop(launching);
    match task.next_report().map_err(setup("ask a child process"))? {
        Some(Report::Done) => {}
        Some(Report::Setup { errno, .. }) => return Err(no_namespace(errno)),
        Some(Report::Failed(message)) => return Err(Error::WithIds(message)),
        _ => {
            return Err(Error::WithIds(
                "a child process ended without a report".to_owned(),
            ));
        }
    }
    let path = format!("/proc/{}/ns/user", task.child.pid());
    let namespace = rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Error::Setup {
            what: format!("open {path}"),
            source: error.into(),
        })?;
    let mapping = map(task.child.pid())?;
    drop(hold);
    Ok((namespace, mapping))
}

fn no_namespace(errno: i32) -> Error {
    let source = io::Error::from_raw_os_error(errno);
    Error::Unavailable(Missing::UserNamespaces {
        reason: what_forbids_namespaces(errno),
        source,
    })
}

/// What stands in the way of user namespaces, as far as this machine tells.
pub(super) fn what_forbids_namespaces(errno: i32) -> String {
    let says = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    let seccomp = || {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        status.lines().any(|line| {
            line.strip_prefix("Seccomp:")
                .is_some_and(|mode| mode.trim() == "2")
        })
    };
    if says("/proc/sys/user/max_user_namespaces", "0") {
        "sysctl user.max_user_namespaces is 0"
    } else if Errno::from_raw_os_error(errno) == Errno::NOSPC {
        "there are as many as sysctl user.max_user_namespaces allows"
    } else if says("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "sysctl kernel.unprivileged_userns_clone is 0"
    } else if says("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "sysctl kernel.apparmor_restrict_unprivileged_userns is 1"
    } else if seccomp() {
        "a seccomp filter is active, as in most containers"
    } else if Errno::from_raw_os_error(errno) == Errno::INVAL {
        "the kernel was built without them"
    } else {
        "the system forbids them"
    }
    .to_owned()
}

pub(super) fn user_name(uid: u32) -> String {
    match nix::unistd::User::from_uid(uid.into()) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

/// The ids of a namespace: 0 is the user, from 1 on come the subordinate ids.
struct Mapping {
    program: &'static str,
    /// Triples of first id inside, first id outside, number.
    ranges: Vec<[u32; 3]>,
}

impl Mapping {
    fn of(file: &'static str, program: &'static str, user: &str, uid: u32, own: u32) -> Result<Self, Error> {
        let text = fs::read_to_string(file).unwrap_or_default();
        let subordinate = subordinate_ranges(&text, user, uid);
        if subordinate.is_empty() {
            return Err(Error::Unavailable(Missing::SubordinateIds {
                file,
                user: user.to_owned(),
            }));
        }
        let mut ranges = vec![[0, own, 1]];
        let mut next = 1_u32;
        for (start, count) in subordinate {
            let Some(end) = next.checked_add(count) else { break };
            ranges.push([next, start, count]);
            next = end;
        }
        Ok(Self { program, ranges })
    }

    fn count(&self) -> u32 {
        self.ranges.iter().map(|[_, _, count]| count).sum()
    }

    fn apply(&self, pid: i32) -> Result<(), Error> {
        let Some(program) = find(self.program) else {
            return Err(Error::Unavailable(Missing::IdMapProgram(self.program)));
        };
        let ids = self.ranges.iter().flatten().map(u32::to_string);
        let output = Command::new(&program)
            .arg(pid.to_string())
            .args(ids)
            .stdin(Stdio::null())
            .output();
        let failed = |source| Error::Setup {
            what: format!("run {}", program.display()),
            source,
        };
        let output = output.map_err(failed)?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Unavailable(Missing::IdMapRefused {
            program: self.program,
            message,
        }))
    }
}

/// Where a program is: in `PATH`, or where it is usually installed.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut places = env::split_paths(&path)
        .chain(usual)
        .map(|directory| directory.join(program));
    places.find(|file| file.is_absolute() && file.is_file())
}

impl std::fmt::Display for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.ranges)
    }
}

/// The ranges of a user in the form of `subuid(5)`: `name-or-number:first:count`.
pub(super) fn subordinate_ranges(text: &str, user: &str, uid: u32) -> Vec<(u32, u32)> {
    let number = uid.to_string();
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let start = fields.next()?.parse().ok()?;
        let count = fields.next()?.parse().ok()?;
        (owner == user || owner == number)
            .then_some((start, count))
            .filter(|(_, count)| *count > 0)
    };
    text.lines().filter_map(range).collect()
}

/// A short name for a mapping: layers on disk made under one are of no use under another.
pub(super) fn mapping_name(mapping: &str) -> String {
    format!("mapped-{}", Digest::of(mapping).short())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_ids() {
        assert_eq!(count_in("         0          0 4294967295\n"), u32::MAX);
        assert_eq!(count_in("1 100000 65536\n0 1000 1\n"), 65_537);
        assert_eq!(count_in("0 1000 1\n5 100000 10\n"), 1);
        assert_eq!(count_in("7 1000 1\n"), 0);
    }

    #[test]
    fn finds_subordinate_ranges() {
        let text =
            "root:1:2\n# a comment\nme:100000:65536\n 1000:300000:10 \nme:bad:1\nme:5:0\nme:7\nyou:9:9\n";
        assert_eq!(
            subordinate_ranges(text, "me", 1000),
            [(100_000, 65_536), (300_000, 10)]
        );
        assert_eq!(subordinate_ranges(text, "nobody", 7), []);
        assert_eq!(subordinate_ranges("", "me", 1000), []);
    }
}
