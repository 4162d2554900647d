//! Which file's metadata somebody sets.

use std::{os::fd::OwnedFd, sync::atomic::Ordering};

use rustix::{fs::Statx, io::Errno};

use super::{
    super::{
        mounts::{MountId, Node},
        owners::key,
    },
    Asker, View,
};

/// A file whose mode, owner or attributes are set.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// One that the run itself has made. All its names are remembered already, and no other run has it: what the disk
    /// says of it is enough.
    Made(Statx),
    /// Any other.
    Found(Node),
}

impl Target {
    /// What the disk says of it.
    pub(super) fn stat(&self) -> &Statx {
        match self {
            Self::Made(stat) => stat,
            Self::Found(node) => &node.stat,
        }
    }
}

impl From<Node> for Target {
    fn from(node: Node) -> Self {
        Self::Found(node)
    }
}

impl View {
    /// What there is at a path, to be changed.
    ///
    /// # Errors
    /// As for [`find`](Self::find).
    pub fn target(&self, asker: &Asker<'_>, base: &Node, path: &[u8], follow: bool) -> Result<Target, Errno> {
        if let Some(seen) = self.glance(asker, base, path, follow)
            && let Some(stat) = seen.stat.filter(|stat| self.has_made(stat))
            && self.writable(&seen.parent).is_ok()
        {
            return Ok(Target::Made(stat));
        }
        self.find(asker, base, path, follow).map(Target::Found)
    }

    /// Whether the run itself has made a file, and nobody watches files, who would have to be told.
    pub fn has_made(&self, file: &Statx) -> bool {
        if self.is_watched.load(Ordering::Relaxed) {
            return false;
        }
        let known = self.farm.owners.get(key(file));
        known.is_some_and(|meta| !meta.lower && meta.shared.is_none())
    }

    /// What a descriptor of ours refers to, to be changed: where it is tells nothing of a file that the run has made.
    pub fn node_to_change(&self, fd: OwnedFd) -> Result<Node, Errno> {
        let node = Node::new(fd, MountId::ROOT)?;
        match self.has_made(&node.stat) && !node.is_directory() {
            true => Ok(node),
            false => self.node(node.fd),
        }
    }
}
