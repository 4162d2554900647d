//! Descriptors that only stand for a file, as open(2) gives with `O_PATH`.
//!
//! The kernel lets nobody give a process one of those. What has no right to read or write is as good for a regular file;
//! for all else an empty file stands in, which is known again when it is asked about.

use std::{
    collections::{HashMap, HashSet},
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, OFlags, statx, unlink},
    io::Errno,
};

use super::{
    super::{
        access::{Want, file_type},
        mounts::{Kind, MountId, Node, open_place},
        owners::{FIELDS, Key, key},
    },
    Asker, View,
    open::again,
};

/// Neither to read nor to write: both flags at once, as open(2) has it.
const NEITHER: OFlags = OFlags::WRONLY.union(OFlags::RDWR).union(OFlags::CLOEXEC);

/// More are not kept: each takes descriptors.
const MOST: usize = 256;

/// What empty files stand for, by the keys of those.
#[derive(Debug, Default)]
pub(in crate::exec::farm) struct Places(Mutex<HashMap<Key, Place>>);

#[derive(Debug)]
struct Place {
    /// The empty file, so that no other gets its number.
    stand_in: Node,
    node: Node,
}

impl Places {
    fn known(&self) -> MutexGuard<'_, HashMap<Key, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one stands for, if it is one.
    pub fn of(&self, key: Key) -> Option<Node> {
        self.known().get(&key).map(|place| place.node.clone())
    }
}

impl View {
    /// A descriptor that only stands for a file.
    pub(super) fn open_place(&self, asker: &Asker<'_>, node: &Node) -> Result<OwnedFd, Errno> {
        let ours = matches!(self.mounts.kind(node), Some(Kind::Root | Kind::Plain));
        match file_type(&node.stat) {
            FileType::RegularFile if ours => again(node, NEITHER),
            FileType::Directory if self.check(asker, node, Want::READ).is_ok() => {
                self.open_directory(asker, node)
            }
            _ => self.stand_in(asker, node),
        }
    }

    fn stand_in(&self, asker: &Asker<'_>, node: &Node) -> Result<OwnedFd, Errno> {
        let mut known = self.places.known();
        if let Some(place) = known.values().find(|place| place.node.is(node)) {
            return again(&place.stand_in, NEITHER);
        }
        if known.len() >= MOST {
            let stats = asker.family.open_files();
            let stats = stats
                .iter()
                .flat_map(|file| statx(CWD, file, AtFlags::empty(), FIELDS));
            let open: HashSet<Key> = stats.map(|stat| key(&stat)).collect();
            known.retain(|stand_in, _| open.contains(stand_in));
        }
        if known.len() >= MOST {
            return Err(Errno::NFILE);
        }
        let path = self.quiet_place()?;
        let stand_in = Node::new(open_place(&path)?, MountId::NOWHERE)?;
        unlink(&path)?;
        let given = again(&stand_in, NEITHER)?;
        let node = node.clone();
        known.insert(stand_in.key(), Place { stand_in, node });
        Ok(given)
    }
}
