//! A root and its mounts, as the processes of a run see them: one operation for each meaning that system calls have.
//!
//! - `open`: files for reading and writing, made if need be
//! - `names`: directories, links, devices made; names moved and taken away
//! - `metadata`: modes, owners, times, sizes
//! - `target`: which file is to be changed
//! - `stat`: what is told of a file
//! - `xattrs`, `acl`: extended attributes
//! - `place`: descriptors that only stand for files
//! - `program`: files to execute; `watch`: files to watch

mod acl;
mod metadata;
mod names;
mod open;
mod place;
mod program;
mod stat;
mod target;
mod watch;
mod xattrs;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use rustix::{fs::Statx, io::Errno};

pub(crate) use metadata::SetTime;
pub(crate) use names::Special;
pub(crate) use open::{How, Opened};
use place::Places;
pub(crate) use program::Program;
pub(crate) use stat::Told;
pub(crate) use target::Target;
pub(crate) use xattrs::MAX_VALUE;

use super::{
    Farm,
    directories::{Directories, Directory},
    mounts::{Kind, Mount, MountId, Mounts, Node},
    owners::{Meta, key},
    points::Undo,
    touched::Extent,
};
use crate::exec::supervised::{Family, Process, Who};

/// A root and what is mounted in it.
#[derive(Debug)]
pub(crate) struct View {
    pub(super) farm: Arc<Farm>,
    pub(super) mounts: Mounts,
    pub(super) directories: Directories,
    /// What has to be undone after the run, the last first.
    pub(super) undo: Vec<Undo>,
    /// Directories that outlive the run, with what it has made in them.
    pub(super) keeps: Vec<PathBuf>,
    /// Whether the machine's network is seen.
    pub(super) network: bool,
    /// What some descriptors stand for.
    pub(super) places: Places,
    /// Whether anything is watched.
    is_watched: AtomicBool,
}

/// Who asks, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Asker<'a> {
    /// Its ids and capabilities.
    pub who: Arc<Who>,
    /// Its root directory.
    pub root: Node,
    /// The permissions that its new files do not get.
    pub umask: u32,
    /// Its process.
    pub pid: i32,
    /// Its thread.
    pub thread: i32,
    /// The processes that it can see.
    pub family: &'a Family,
}

impl View {
    /// A root with nothing mounted in it yet.
    pub fn new(farm: Arc<Farm>) -> Result<Self, Errno> {
        let mounts = Mounts::new(&farm.root())?;
        Ok(Self {
            farm,
            mounts,
            directories: Directories::default(),
            undo: Vec::new(),
            keeps: Vec::new(),
            network: true,
            places: Places::default(),
            is_watched: AtomicBool::new(false),
        })
    }

    /// A process as one that asks.
    pub fn asker<'a>(&self, process: &Process, thread: i32, family: &'a Family) -> Result<Asker<'a>, Errno> {
        Ok(Asker {
            who: process.who(),
            root: self.root_of(process)?,
            umask: process.umask(),
            pid: process.id,
            thread,
            family,
        })
    }

    /// The root directory.
    pub fn root(&self) -> &Node {
        self.mounts.root()
    }

    /// What is known of a file, or what goes for those of which nothing is.
    pub(super) fn meta(&self, node: &Node) -> Meta {
        self.meta_of(&node.stat)
    }

    fn meta_of(&self, file: &Statx) -> Meta {
        let known = self.farm.owners.get(key(file));
        known.unwrap_or_else(|| Meta::on_disk(file))
    }

    /// Whether a file is one that the root or its mounts have: there is more to be known of it than the disk says.
    pub fn knows(&self, file: &Statx) -> bool {
        self.farm.owners.get(key(file)).is_some()
    }

    /// Where a file is, for those whose root it is in; as `/proc` has it, if it is not in there.
    pub fn path_of(&self, asker: &Asker<'_>, node: &Node) -> Result<Vec<u8>, Errno> {
        let whole = self.whole_path(node)?;
        if asker.root.key() == self.root().key() {
            return Ok(whole.into_os_string().into_encoded_bytes());
        }
        let root = self.whole_path(&asker.root)?;
        let below = whole.strip_prefix(&root).map_err(|_| Errno::NOENT)?;
        Ok(PathBuf::from("/")
            .join(below)
            .into_os_string()
            .into_encoded_bytes())
    }

    pub(super) fn whole_path(&self, node: &Node) -> Result<PathBuf, Errno> {
        self.mounts.path_of_real(&node.real_path()?).ok_or(Errno::NOENT)
    }

    /// The mount of a directory that something is to be made, moved or taken away in.
    ///
    /// # Errors
    /// EROFS.
    fn writable(&self, node: &Node) -> Result<&Mount, Errno> {
        let mount = self.mounts.get(node.mount).ok_or(Errno::ROFS)?;
        match mount.kind {
            Kind::Root | Kind::Plain if !mount.read_only => Ok(mount),
            Kind::Processes => Err(Errno::PERM),
            _ => Err(Errno::ROFS),
        }
    }

    /// Remembers that a file of the image was changed. All names of one that the run itself has made are remembered
    /// since they were made.
    pub(super) fn touch(&self, node: &Node, extent: Extent) -> Result<(), Errno> {
        let is_new = || self.farm.owners.get(node.key()).is_some_and(|meta| !meta.lower);
        if node.mount == MountId::ROOT
            && !(extent == Extent::Itself && is_new())
            && let Some(path) = self.below_root(node)?
        {
            self.farm.touched.add(&path, extent);
        }
        Ok(())
    }

    /// Remembers that a name of the image was made, moved or taken away.
    pub(super) fn touch_entry(
        &self,
        parent: &Node,
        name: &std::ffi::OsStr,
        extent: Extent,
    ) -> Result<(), Errno> {
        if parent.mount == MountId::ROOT
            && let Some(path) = self.below_root(parent)?
        {
            self.farm.touched.entry(&path.join(name), extent);
        }
        Ok(())
    }

    /// Where something is from the root on; nothing if it is not in there.
    fn below_root(&self, node: &Node) -> Result<Option<PathBuf>, Errno> {
        if let Some(known) = self.directories.of(node.key())
            && known.below.is_some()
        {
            return Ok(known.below.clone());
        }
        let since = self.directories.now();
        let root = &self.mounts.root_mount().real;
        let below = super::paths::below(&node.real_path()?, root).map(std::path::Path::to_owned);
        if node.is_directory() && node.stat.stx_nlink > 0 {
            let (node, below) = (node.clone(), below.clone());
            self.directories.add(since, None, Directory { node, below });
        }
        Ok(below)
    }
}
