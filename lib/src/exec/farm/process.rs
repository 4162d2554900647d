//! `/proc`: what it shows of the processes of the run, and what of this machine.
//!
//! Its root is a directory of ours with the names in it, for those who list it. Below are the kernel's own files, but no
//! link of theirs is followed by the kernel: where they lead is known better here.

use std::{
    ffi::OsStr,
    fs,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Statx, openat, readlinkat, statx},
    io::Errno,
};

use super::{
    access::{file_type, is_directory},
    directories::Directory,
    mounts::{Kind, Mount, MountId, Node, fd_path},
    owners::{FIELDS, key},
    paths::below,
    resolve::entry,
    view::{Asker, View},
};
use crate::exec::supervised::{Process, errno};

/// Where a symbolic link leads.
#[derive(Clone, Debug)]
pub enum Link {
    /// To a path.
    Path(Vec<u8>),
    /// To the program of a process, at this path.
    Program(Vec<u8>),
    /// Right there.
    Node(Box<Node>),
    /// Nobody may go there.
    Closed,
}

/// Files of this machine that everyone may read.
const OPEN: [&str; 22] = [
    "cmdline",
    "consoles",
    "cpuinfo",
    "crypto",
    "devices",
    "diskstats",
    "filesystems",
    "loadavg",
    "locks",
    "meminfo",
    "misc",
    "modules",
    "pagetypeinfo",
    "partitions",
    "stat",
    "swaps",
    "sys",
    "uptime",
    "version",
    "vmstat",
    "zoneinfo",
    "cgroups",
];

/// Links in `/proc`.
const LINKS: [(&str, &str); 2] = [("mounts", "self/mounts"), ("net", "self/net")];

const PROC: &str = "/proc";

/// Makes the directory that is listed as `/proc`, and gives the links in it.
pub fn make_names(directory: &Path) -> std::io::Result<Vec<&'static str>> {
    fs::create_dir(directory)?;
    for name in OPEN.iter().filter(|name| Path::new(PROC).join(name).exists()) {
        match *name {
            "sys" => fs::create_dir(directory.join(name))?,
            name => fs::write(directory.join(name), "")?,
        }
    }
    let links = LINKS
        .into_iter()
        .chain([("self", "self"), ("thread-self", "thread-self")]);
    let make = |(name, target)| std::os::unix::fs::symlink(target, directory.join(name)).map(|()| name);
    links.map(make).collect()
}

impl View {
    /// Brings the listing of `/proc` up to date.
    pub(super) fn list_processes(&self, asker: &Asker<'_>, root: &Node) {
        let Ok(directory) = root.real_path() else { return };
        let now: Vec<i32> = asker
            .family
            .processes()
            .iter()
            .map(|process| process.id)
            .collect();
        let names = fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name());
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
        let Some(node) = entry(parent, name)? else {
            return Ok(None);
        };
        if file_type(&node.stat) != FileType::Symlink {
            return Ok(Some((node, None)));
        }
        let directory = parent.real_path()?;
        let link = match magic(&directory, name) {
            Some(magic) => self.magic_link(asker, magic, parent, name)?,
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
            _ => LINKS
                .iter()
                .find(|(link, _)| *link == text)
                .map(|(_, target)| (*target).to_owned()),
        };
        if let Some(target) = link {
            return Ok(entry(parent, name)?.map(|node| (node, Some(Link::Path(target.into_bytes())))));
        }
        let path = match number(name) {
            Some(pid) => self.first_or(asker, pid).map(|pid| pid.to_string()),
            None => OPEN.contains(&text).then(|| text.to_owned()),
        };
        let Some(path) = path.map(|name| Path::new(PROC).join(name)) else {
            return Ok(None);
        };
        match openat(
            CWD,
            &path,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            Ok(fd) => Ok(Some((Node::new(fd, parent.mount)?, None))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A process of the run by its number, if there is one. The first is known as 1, too: as what began it all.
    fn first_or(&self, asker: &Asker<'_>, pid: i32) -> Option<i32> {
        match asker.family.of(pid) {
            Some(_) => Some(pid),
            None if pid == 1 => asker.family.first(),
            None => None,
        }
    }

    /// Whose a file in `/proc` is, if it is of a process.
    pub(super) fn process_owner(&self, asker: &Asker<'_>, node: &Node) -> Option<(u32, u32)> {
        if self.mounts.kind(node) != Some(Kind::Processes) {
            return None;
        }
        let (pid, _) = owner(&node.real_path().ok()?)?;
        let who = asker.family.of(pid)?.who();
        Some((who.user.effective, who.group.effective))
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

    fn magic_link(
        &self,
        asker: &Asker<'_>,
        magic: Magic,
        parent: &Node,
        name: &OsStr,
    ) -> Result<Link, Errno> {
        let process = |pid| asker.family.of(pid).ok_or(Errno::NOENT);
        let node = match magic {
            Magic::Program(pid) => return Ok(Link::Program(process(pid)?.program().to_vec())),
            Magic::Root(pid) => self.root_of(&*process(pid)?)?,
            Magic::Directory(pid) => self.node(process(pid)?.directory())?,
            Magic::Descriptor => {
                let fd = openat(&parent.fd, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
                self.node(fd)?
            }
            Magic::Closed => return Ok(Link::Closed),
        };
        Ok(Link::Node(Box::new(node)))
    }

    /// What a link in `/proc` says; nothing for those that the kernel may answer, since they lead nowhere.
    pub(super) fn magic_text(
        &self,
        asker: &Asker<'_>,
        parent: &Node,
        name: &OsStr,
    ) -> Result<Option<Vec<u8>>, Errno> {
        let process = |pid| asker.family.of(pid).ok_or(Errno::NOENT);
        let node = match magic(&parent.real_path()?, name) {
            Some(Magic::Program(pid)) => return Ok(Some(process(pid)?.program().to_vec())),
            Some(Magic::Root(pid)) => self.root_of(&*process(pid)?)?,
            Some(Magic::Directory(pid)) => self.node(process(pid)?.directory())?,
            Some(Magic::Descriptor) => {
                let target = match self.place_of(parent, name) {
                    Some(place) => place.real_path()?.into_os_string().into_encoded_bytes(),
                    None => readlinkat(&parent.fd, name, Vec::new())?.into_bytes(),
                };
                let seen = self.mounts.path_of_real(Path::new(OsStr::from_bytes(&target)));
                return Ok(Some(
                    seen.map_or(target, |path| path.into_os_string().into_encoded_bytes()),
                ));
            }
            Some(Magic::Closed) | None => return Ok(None),
        };
        self.path_of(asker, &node).map(Some)
    }

    /// What a link says, if it is one in `/proc` that the kernel would answer otherwise.
    pub(super) fn process_link(
        &self,
        asker: &Asker<'_>,
        parent: &Node,
        name: &OsStr,
    ) -> Result<Option<Vec<u8>>, Errno> {
        if self.mounts.kind(parent) != Some(Kind::Processes) {
            return Ok(None);
        }
        if self.is_proc_root(parent) {
            let child = self.process_entry(asker, parent, name)?;
            return Ok(child.and_then(|(_, link)| match link {
                Some(Link::Path(target)) => Some(target),
                _ => None,
            }));
        }
        self.magic_text(asker, parent, name)
    }

    /// The text of a file in `/proc` that would speak of this machine: where things are mounted.
    pub(super) fn process_text(&self, asker: &Asker<'_>, node: &Node) -> Result<Option<OwnedFd>, Errno> {
        let real = node.real_path()?;
        if let Some(text) = self.mapped(asker, &real).map_err(errno)? {
            return read_only_text(&text).map(Some);
        }
        let line = |mount: &Mount, number: usize| -> Option<String> {
            let (path, kind) = (mount.path.to_str()?, mount.kind.name());
            let access = if mount.read_only { "ro" } else { "rw" };
            Some(match real.file_name()?.to_str()? {
                "mounts" => format!("{kind} {path} {kind} {access},relatime 0 0\n"),
                "mountinfo" => {
                    let above = usize::from(number > 0);
                    let id = number + 1;
                    format!("{id} {above} 0:{id} / {path} {access},relatime - {kind} {kind} {access}\n")
                }
                "mountstats" => format!("device {kind} mounted on {path} with fstype {kind}\n"),
                _ => return None,
            })
        };
        if !self.network
            && real
                .components()
                .nth(3)
                .is_some_and(|name| name.as_os_str() == "net")
        {
            let header = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
            let route = real.file_name().is_some_and(|name| name == "route");
            return read_only_text(if route { header.as_bytes() } else { b"" }).map(Some);
        }
        if !real.starts_with(PROC) || line(self.root_mount(), 0).is_none() {
            return Ok(None);
        }
        let text: String = self
            .mounts
            .iter()
            .enumerate()
            .filter_map(|(number, mount)| line(mount, number))
            .collect();
        read_only_text(text.as_bytes()).map(Some)
    }

    fn root_mount(&self) -> &Mount {
        self.mounts.root_mount()
    }

    /// What a descriptor only stands for, by its name in `/proc`.
    fn place_of(&self, parent: &Node, name: &OsStr) -> Option<Node> {
        let stat = statx(&parent.fd, name, AtFlags::empty(), FIELDS).ok()?;
        self.places.of(key(&stat))
    }

    /// What a descriptor of ours refers to, wherever it came from.
    pub fn node(&self, fd: impl Into<Arc<OwnedFd>>) -> Result<Node, Errno> {
        let since = self.directories.now();
        let mut node = Node::new(fd, MountId::NOWHERE)?;
        if let Some(known) = self.known_directory(&node.stat) {
            return Ok(known);
        }
        if let Some(place) = self.places.of(node.key()) {
            return Node::new(place.fd, place.mount);
        }
        let real = node.real_path()?;
        if real.is_absolute() {
            node.mount = match self.mounts.of_real(&real) {
                Some((mount, _)) => mount,
                None if real.starts_with(PROC) => self.proc_mount().unwrap_or(MountId::NOWHERE),
                None => MountId::NOWHERE,
            };
        }
        let lasting = matches!(
            self.mounts.kind(&node),
            Some(Kind::Root | Kind::Plain | Kind::Machine)
        );
        if lasting && node.is_directory() && node.stat.stx_nlink > 0 {
            let below = match node.mount {
                MountId::ROOT => below(&real, &self.mounts.root_mount().real).map(Path::to_owned),
                _ => None,
            };
            let node = node.clone();
            self.directories.add(since, None, Directory { node, below });
        }
        Ok(node)
    }

    /// A directory that was used lately, going by what the disk says of it.
    pub fn known_directory(&self, stat: &Statx) -> Option<Node> {
        let known = self.directories.of(key(stat)).filter(|_| is_directory(stat))?;
        Some(Node {
            stat: *stat,
            ..known.node.clone()
        })
    }

    fn proc_mount(&self) -> Option<MountId> {
        self.mounts
            .iter()
            .find(|mount| mount.kind == Kind::Processes)
            .map(|mount| mount.root.mount)
    }

    /// The root directory of a process.
    pub fn root_of(&self, process: &Process) -> Result<Node, Errno> {
        process
            .root()
            .map_or_else(|| Ok(self.mounts.root().clone()), |root| self.node(root))
    }
}

/// A file of its own with some text, for reading.
fn read_only_text(text: &[u8]) -> Result<OwnedFd, Errno> {
    let file = rustix::fs::memfd_create("text", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut rest = text;
    while !rest.is_empty() {
        let length = rustix::io::write(&file, rest)?;
        rest = rest.get(length..).unwrap_or_default();
    }
    openat(
        CWD,
        fd_path(&file),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
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

/// The process or thread that a directory in `/proc` is of, and its name there if it is another one below.
fn owner(directory: &Path) -> Option<(i32, Option<&str>)> {
    let mut names = directory.strip_prefix(PROC).ok()?.iter();
    let mut pid = number(names.next()?)?;
    let mut below = names.next().and_then(OsStr::to_str);
    if below == Some("task") {
        pid = number(names.next()?)?;
        below = names.next().and_then(OsStr::to_str);
    }
    Some((pid, below))
}

/// The process or thread that a directory in `/proc` is of.
pub(super) fn of_directory(directory: &Path) -> Option<i32> {
    let (pid, below) = owner(directory)?;
    below.is_none().then_some(pid)
}

/// What a link in a directory of a process is.
fn magic(directory: &Path, name: &OsStr) -> Option<Magic> {
    let (pid, below) = owner(directory)?;
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
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
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
            assert_eq!(
                magic(Path::new(directory), OsStr::new(name)),
                what,
                "{directory}/{name}"
            );
        }
    }
}
