//! `/proc`: what it shows of the processes of the run, and what of this machine.
//!
//! Its root is a directory of ours with the names in it, for those who list it. Below are the kernel's own files, but no
//! link of theirs is followed by the kernel: where they lead is known better here.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, openat, readlinkat},
    io::Errno,
};

use super::{
    access::file_type,
    mounts::{Kind, MountId, Node, open_place},
    resolve::entry,
    view::{Asker, Fs, View},
};

/// Where a symbolic link leads.
#[derive(Clone, Debug)]
pub enum Link {
    /// To a path.
    Path(Vec<u8>),
    /// Right there.
    Node(Box<Node>),
    /// Nobody may go there.
    Closed,
}

/// The processes of a run.
pub trait Processes: Send + Sync {
    /// All their ids.
    fn all(&self) -> Vec<i32>;
    /// Whether a process or thread is one of them.
    fn has(&self, pid: i32) -> bool;
    /// Where a process is.
    fn fs(&self, pid: i32) -> Option<Fs>;
    /// Which program a process executes, as a path that it can use.
    fn program(&self, pid: i32) -> Option<PathBuf>;
}

/// Files of this machine that everyone may read.
const OPEN: [&str; 22] = [
    "cmdline", "consoles", "cpuinfo", "crypto", "devices", "diskstats", "filesystems", "loadavg", "locks",
    "meminfo", "misc", "modules", "pagetypeinfo", "partitions", "stat", "swaps", "sys", "uptime", "version",
    "vmstat", "zoneinfo", "cgroups",
];

/// Links in `/proc`.
const LINKS: [(&str, &str); 2] = [("mounts", "self/mounts"), ("net", "self/net")];

const PROC: &str = "/proc";

/// Fills the directory that is listed as `/proc`.
pub fn make_names(directory: &Path) -> std::io::Result<()> {
    fs::create_dir(directory)?;
    for name in OPEN.iter().filter(|name| Path::new(PROC).join(name).exists()) {
        match *name {
            "sys" => fs::create_dir(directory.join(name))?,
            name => fs::write(directory.join(name), "")?,
        }
    }
    for (name, target) in LINKS.into_iter().chain([("self", "self"), ("thread-self", "thread-self")]) {
        std::os::unix::fs::symlink(target, directory.join(name))?;
    }
    Ok(())
}

impl View {
    /// Brings the listing of `/proc` up to date.
    pub(super) fn list_processes(&self, root: &Node) {
        let Ok(directory) = root.real_path() else { return };
        let now = self.processes.all();
        let names = fs::read_dir(&directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let listed: Vec<i32> = names.filter_map(|name| number(&name)).collect();
        for gone in listed.iter().filter(|pid| !now.contains(pid)) {
            let _ = fs::remove_dir(directory.join(gone.to_string()));
        }
        for new in now.iter().filter(|pid| !listed.contains(pid)) {
            let _ = fs::create_dir(directory.join(new.to_string()));
        }
    }

    pub(super) fn process_child(
        &self,
        asker: &Asker<'_>,
        parent: &Node,
        name: &OsStr,
    ) -> Result<Option<(Node, Option<Link>)>, Errno> {
        if self.is_proc_root(parent) {
            return self.process_entry(asker, parent, name);
        }
        let Some(node) = entry(parent, name)? else { return Ok(None) };
        if file_type(&node.stat) != FileType::Symlink {
            return Ok(Some((node, None)));
        }
        let directory = parent.real_path()?;
        let link = match magic(&directory, name) {
            Some(magic) => self.magic_link(magic, parent, name)?,
            None => Link::Path(readlinkat(&node.fd, "", Vec::new())?.into_bytes()),
        };
        Ok(Some((node, Some(link))))
    }

    fn is_proc_root(&self, node: &Node) -> bool {
        let mount = self.mounts.get(node.mount);
        mount.is_some_and(|mount| mount.kind == Kind::Processes && mount.root.key() == node.key())
    }

    /// A name right in `/proc`.
    fn process_entry(
        &self,
        asker: &Asker<'_>,
        parent: &Node,
        name: &OsStr,
    ) -> Result<Option<(Node, Option<Link>)>, Errno> {
        let text = name.to_str().unwrap_or_default();
        let link = match text {
            "self" => Some(asker.pid.to_string()),
            "thread-self" => Some(format!("{}/task/{}", asker.pid, asker.thread)),
            _ => LINKS.iter().find(|(link, _)| *link == text).map(|(_, target)| (*target).to_owned()),
        };
        if let Some(target) = link {
            return Ok(entry(parent, name)?.map(|node| (node, Some(Link::Path(target.into_bytes())))));
        }
        let visible = match number(name) {
            Some(pid) => self.processes.has(pid),
            None => OPEN.contains(&text),
        };
        if !visible {
            return Ok(None);
        }
        let path = Path::new(PROC).join(name);
        match openat(CWD, &path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(Some((Node::new(fd, parent.mount)?, None))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The directory above one in `/proc`.
    pub(super) fn process_up(&self, here: &Node) -> Result<Node, Errno> {
        let above = openat(&here.fd, "..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let above = Node::new(above, here.mount)?;
        let is_root = above.real_path()? == Path::new(PROC);
        match self.mounts.get(here.mount).filter(|_| is_root) {
            Some(mount) => Ok(mount.root.clone()),
            None => Ok(above),
        }
    }

    fn magic_link(&self, magic: Magic, parent: &Node, name: &OsStr) -> Result<Link, Errno> {
        Ok(match magic {
            Magic::Program(pid) => match self.processes.program(pid) {
                Some(path) => Link::Path(path.into_os_string().into_encoded_bytes()),
                None => return Err(Errno::NOENT),
            },
            Magic::Root(pid) => Link::Node(Box::new(self.processes.fs(pid).ok_or(Errno::NOENT)?.root)),
            Magic::Directory(pid) => Link::Node(Box::new(self.processes.fs(pid).ok_or(Errno::NOENT)?.cwd)),
            Magic::Descriptor => {
                let fd = openat(&parent.fd, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
                Link::Node(Box::new(self.node_of(fd)?))
            }
            Magic::Closed => Link::Closed,
        })
    }

    /// What a link in `/proc` says; nothing for those that the kernel may answer, since they lead nowhere.
    pub(super) fn magic_text(&self, parent: &Node, name: &OsStr) -> Result<Option<Vec<u8>>, Errno> {
        let directory = parent.real_path()?;
        let path = match magic(&directory, name) {
            Some(Magic::Program(pid)) => self.processes.program(pid),
            Some(Magic::Root(pid)) => self.processes.fs(pid).and_then(|fs| self.path_of(&fs.root)),
            Some(Magic::Directory(pid)) => self.processes.fs(pid).and_then(|fs| self.path_of(&fs.cwd)),
            Some(Magic::Descriptor) => {
                let target = readlinkat(&parent.fd, name, Vec::new())?.into_bytes();
                let path = Path::new(OsStr::from_bytes(&target));
                let seen = self.mounts.path_of_real(path);
                return Ok(Some(seen.map_or(target.clone(), |path| path.into_os_string().into_encoded_bytes())));
            }
            Some(Magic::Closed) | None => return Ok(None),
        };
        path.map(|path| Some(path.into_os_string().into_encoded_bytes())).ok_or(Errno::NOENT)
    }

    /// What a descriptor of ours refers to, wherever it came from.
    pub(super) fn node_of(&self, fd: rustix::fd::OwnedFd) -> Result<Node, Errno> {
        let mut node = Node::new(fd, MountId::NOWHERE)?;
        let real = node.real_path()?;
        if real.is_absolute() {
            node.mount = match self.mounts.of_real(&real) {
                Some((mount, _)) => mount,
                None if real.starts_with(PROC) => self.proc_mount().unwrap_or(MountId::NOWHERE),
                None => MountId::NOWHERE,
            };
        }
        Ok(node)
    }

    fn proc_mount(&self) -> Option<MountId> {
        self.mounts.iter().find(|mount| mount.kind == Kind::Processes).map(|mount| mount.root.mount)
    }

    /// A descriptor of a thread of the run.
    ///
    /// # Errors
    /// EBADF.
    pub fn descriptor(&self, thread: i32, number: i32) -> Result<Node, Errno> {
        let path = format!("{PROC}/{thread}/fd/{number}");
        match open_place(Path::new(&path)) {
            Ok(fd) => self.node_of(fd),
            Err(_) => Err(Errno::BADF),
        }
    }
}

/// Links that the kernel follows without looking at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magic {
    Program(i32),
    Root(i32),
    Directory(i32),
    Descriptor,
    Closed,
}

/// What a link in a directory of a process is.
fn magic(directory: &Path, name: &OsStr) -> Option<Magic> {
    let mut names = directory.strip_prefix(PROC).ok()?.iter();
    let mut pid = number(names.next()?)?;
    let mut below = names.next().and_then(OsStr::to_str);
    if below == Some("task") {
        pid = number(names.next()?)?;
        below = names.next().and_then(OsStr::to_str);
    }
    Some(match (below, name.to_str()) {
        (Some("fd"), _) => Magic::Descriptor,
        (None, Some("exe")) => Magic::Program(pid),
        (None, Some("cwd")) => Magic::Directory(pid),
        (None, Some("root")) => Magic::Root(pid),
        (Some(_), _) => Magic::Closed,
        _ => return None,
    })
}

fn number(name: &OsStr) -> Option<i32> {
    let text = name.to_str()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_links_are_known_by_where_they_are() {
        let cases = [
            ("/proc/7", "exe", Some(Magic::Program(7))),
            ("/proc/7/task/9", "cwd", Some(Magic::Directory(9))),
            ("/proc/7", "root", Some(Magic::Root(7))),
            ("/proc/7/fd", "3", Some(Magic::Descriptor)),
            ("/proc/7/task/9/fd", "3", Some(Magic::Descriptor)),
            ("/proc/7/ns", "mnt", Some(Magic::Closed)),
            ("/proc/7/map_files", "1-2", Some(Magic::Closed)),
            ("/proc/7", "other", None),
            ("/proc/sys", "exe", None),
            ("/proc", "self", None),
        ];
        for (directory, name, what) in cases {
            assert_eq!(magic(Path::new(directory), OsStr::new(name)), what, "{directory}/{name}");
        }
    }
}
