//! A root and its mounts, as the processes of a run see them: one operation for each meaning that system calls have.
//!
//! - `open`: files for reading and writing, made if need be
//! - `names`: directories, links, devices made; names moved and taken away
//! - `metadata`: modes, owners, times, sizes
//! - `stat`: what is told of a file
//! - `xattrs`, `acl`: extended attributes
//! - `program`: files to execute

mod acl;
mod metadata;
mod names;
mod open;
mod program;
mod stat;
mod xattrs;

use std::{path::PathBuf, sync::Arc};

use rustix::io::Errno;

pub(crate) use metadata::SetTime;
pub(crate) use names::Special;
pub(crate) use open::{How, Opened};
pub(crate) use program::Program;
#[cfg(test)]
pub(crate) use stat::Told;
pub(crate) use xattrs::MAX_VALUE;

use super::{
    Farm,
    mounts::{Kind, Mount, MountId, Mounts, Node},
    owners::Meta,
    setup::Undo,
    touched::Extent,
};
use crate::exec::supervised::{Family, Process, Who};

/// A root and what is mounted in it.
#[derive(Debug)]
pub(crate) struct View {
    pub(super) farm: Arc<Farm>,
    pub(super) mounts: Mounts,
    /// What has to be undone after the run, the last first.
    pub(super) undo: Vec<Undo>,
    /// Directories that outlive the run, with what it has made in them.
    pub(super) keeps: Vec<PathBuf>,
    /// Whether the machine's network is seen.
    pub(super) network: bool,
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
            undo: Vec::new(),
            keeps: Vec::new(),
            network: true,
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
        self.farm
            .owners
            .get(node.key())
            .unwrap_or_else(|| Meta::on_disk(&node.stat))
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

    /// Remembers that a file of the image was changed.
    pub(super) fn touch(&self, node: &Node, extent: Extent) -> Result<(), Errno> {
        if node.mount == MountId::ROOT
            && let Some(path) = self.below_root(&node.real_path()?)
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
            && let Some(path) = self.below_root(&parent.real_path()?)
        {
            self.farm.touched.entry(&path.join(name), extent);
        }
        Ok(())
    }

    /// A path of this machine from the root on; nothing if it is not in there.
    fn below_root(&self, real: &std::path::Path) -> Option<PathBuf> {
        let root = self.mounts.get(MountId::ROOT)?;
        super::resolve::below(real, &root.real).map(std::path::Path::to_owned)
    }
}
