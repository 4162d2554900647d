//! What is mounted where. The kernel knows nothing of these mounts: names are looked up by us.
//!
//! Below a mount lies a *cover*: an empty directory or file in the directory above, which gives the name to those who
//! list that. Whoever looks it up by name is led to the root of the mount instead.

use std::{
    collections::HashMap,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, Statx, openat, readlinkat, statx},
    io::Errno,
};

use super::{
    access::is_directory,
    owners::{FIELDS, Key, key},
    terminals::{self, Terminals},
};

/// A file or directory that a name led to.
#[derive(Clone, Debug)]
pub struct Node {
    /// It, without the right to read or write it.
    pub fd: Arc<OwnedFd>,
    /// Where it is.
    pub mount: MountId,
    /// What the disk says of it.
    pub stat: Statx,
}

/// Which mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MountId(usize);

impl MountId {
    /// The root's.
    pub const ROOT: Self = Self(0);
    /// Of what has no name in any mount: pipes, sockets.
    pub const NOWHERE: Self = Self(usize::MAX);
}

/// What kind of files a mount has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The image's.
    Root,
    /// Files of rbuild's, which nobody else uses.
    Plain,
    /// Files of this machine, as they are.
    Machine,
    /// `/proc`.
    Processes,
    /// Pseudo terminals.
    Terminals,
}

impl Kind {
    /// As a type of file system.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "overlay",
            Self::Plain => "tmpfs",
            Self::Machine => "sysfs",
            Self::Processes => "proc",
            Self::Terminals => "devpts",
        }
    }
}

/// A mount.
#[derive(Debug)]
pub struct Mount {
    /// What it has.
    pub kind: Kind,
    /// Whether nothing in it may be changed.
    pub read_only: bool,
    /// Its root.
    pub root: Node,
    /// Where that is on this machine.
    pub real: PathBuf,
    /// Where that is for those who run in the root; absolute.
    pub path: PathBuf,
    /// The directory that its cover is in. The root has none.
    above: Option<Node>,
}

/// All mounts of a run; the root is the first.
#[derive(Debug)]
pub struct Mounts {
    all: Vec<Mount>,
    covers: HashMap<Key, MountId>,
    /// In `/dev/pts`, where this machine has any.
    pub terminals: Option<Terminals>,
}

impl Node {
    /// What a descriptor refers to.
    pub fn new(fd: impl Into<Arc<OwnedFd>>, mount: MountId) -> Result<Self, Errno> {
        let fd = fd.into();
        let stat = statx(&fd, "", AtFlags::EMPTY_PATH, FIELDS)?;
        Ok(Self { fd, mount, stat })
    }

    /// Names it on this machine.
    pub fn key(&self) -> Key {
        key(&self.stat)
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        is_directory(&self.stat)
    }

    /// Whether another one is the same.
    pub fn is(&self, other: &Self) -> bool {
        self.key() == other.key() && self.mount == other.mount
    }

    /// Where it is on this machine.
    pub fn real_path(&self) -> Result<PathBuf, Errno> {
        let path = readlinkat(CWD, fd_path(&self.fd), Vec::new())?;
        Ok(PathBuf::from(std::ffi::OsStr::from_bytes(path.as_bytes())))
    }
}

/// A path of this machine that leads to what a descriptor of this process refers to.
pub(super) fn fd_path(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// Opens a path of this machine as a place.
pub(super) fn open_place(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

impl Mounts {
    /// A root directory, and nothing mounted in it yet.
    pub fn new(root: &Path) -> Result<Self, Errno> {
        let root = Node::new(open_place(root)?, MountId::ROOT)?;
        let mount = Mount {
            kind: Kind::Root,
            read_only: false,
            real: root.real_path()?,
            root,
            path: PathBuf::from("/"),
            above: None,
        };
        Ok(Self {
            all: vec![mount],
            covers: HashMap::new(),
            terminals: None,
        })
    }

    /// Mounts what is at a path of this machine over `cover`, which is in the directory `above` and has the path `path`
    /// for those who run in the root.
    pub fn add(
        &mut self,
        source: &Path,
        kind: Kind,
        read_only: bool,
        (above, cover, path): (Node, &Node, PathBuf),
    ) -> Result<(), Errno> {
        let id = MountId(self.all.len());
        let root = Node::new(open_place(source)?, id)?;
        let real = root.real_path()?;
        self.all.push(Mount {
            kind,
            read_only,
            root,
            real,
            path,
            above: Some(above),
        });
        self.covers.insert(cover.key(), id);
        Ok(())
    }

    /// Lets terminals be seen beside the names that stand for them, which are in a directory of the machine.
    pub fn with_terminals(&mut self, names: PathBuf, beside: MountId) -> Result<(), Errno> {
        let place = Path::new(terminals::DIRECTORY);
        let id = MountId(self.all.len());
        let root = Node::new(open_place(place)?, id)?;
        self.all.push(Mount {
            kind: Kind::Terminals,
            read_only: false,
            real: root.real_path()?,
            root,
            path: place.to_owned(),
            above: None,
        });
        self.terminals = Some(Terminals::new(names, beside, id));
        Ok(())
    }

    /// A mount; that of the root for what is nowhere.
    pub fn get(&self, id: MountId) -> Option<&Mount> {
        self.all.get(id.0)
    }

    /// What kind of files are where a node is.
    pub fn kind(&self, node: &Node) -> Option<Kind> {
        self.get(node.mount).map(|mount| mount.kind)
    }

    /// The root directory.
    pub fn root(&self) -> &Node {
        // There always is a first one.
        &self.all[0].root
    }

    /// What is seen at a node: the root of the mount that covers it, if one does.
    pub fn top(&self, mut node: Node) -> Node {
        while let Some(mount) = self.covers.get(&node.key()).and_then(|id| self.get(*id)) {
            node = mount.root.clone();
        }
        let terminals = self
            .terminals
            .as_ref()
            .filter(|terminals| terminals.beside == node.mount);
        terminals
            .and_then(|terminals| terminals.of(&node))
            .unwrap_or(node)
    }

    /// Whether something else is seen in the place of a name in a directory.
    pub fn hides(&self, parent: &Node, name: Key) -> bool {
        let terminals = self
            .terminals
            .as_ref()
            .filter(|terminals| terminals.beside == parent.mount);
        self.is_cover(name) || terminals.is_some_and(|terminals| terminals.has(name))
    }

    /// Whether something is mounted over a node.
    pub fn is_cover(&self, key: Key) -> bool {
        self.covers.contains_key(&key)
    }

    /// The directory above, for the root of a mount: `None` for other nodes; the root is above itself.
    pub fn above(&self, node: &Node) -> Option<Node> {
        let mount = self
            .get(node.mount)
            .filter(|mount| mount.root.key() == node.key())?;
        Some(mount.above.clone().unwrap_or_else(|| mount.root.clone()))
    }

    /// The mount that a path of this machine is in.
    pub fn of_real(&self, path: &Path) -> Option<(MountId, &Mount)> {
        let all = self
            .all
            .iter()
            .enumerate()
            .map(|(id, mount)| (MountId(id), mount));
        all.filter(|(_, mount)| path.starts_with(&mount.real))
            .max_by_key(|(_, mount)| mount.real.as_os_str().len())
    }

    /// A path of this machine as those see it who run in the root; `None` if they do not.
    pub fn path_of_real(&self, path: &Path) -> Option<PathBuf> {
        let (_, mount) = self.of_real(path)?;
        let below = path.strip_prefix(&mount.real).ok()?;
        Some(match below.as_os_str().is_empty() {
            true => mount.path.clone(),
            false => mount.path.join(below),
        })
    }

    /// The mount of the root.
    pub fn root_mount(&self) -> &Mount {
        // There always is a first one.
        &self.all[0]
    }

    /// All of them, the root first.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.all.iter()
    }
}
