//! Whose files are, and what else the disk does not say of them.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    ffi::OsString,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::fs::{Statx, StatxFlags};

use crate::tree::{Kind, Metadata, Node};

/// Names an inode: device, number, and when it was made, since numbers are given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub device: u64,
    pub number: u64,
    /// Seconds and nanoseconds; zero where the file system does not say.
    born: (i64, u32),
}

/// What [`key`] needs to know of an inode, and everybody else.
pub const FIELDS: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

/// What a file is to those who run in the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The low 12 bits of the mode.
    pub mode: u32,
    /// What an empty file stands for.
    pub device: Option<Device>,
    /// All extended attributes.
    pub xattrs: BTreeMap<OsString, Vec<u8>>,
    /// How many names it has in the image, if its bytes are the store's. It must then not be written.
    pub shared: Option<u32>,
    /// Whether it was there before the run.
    pub lower: bool,
}

/// A device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// A block device, not a character device.
    pub block: bool,
    /// Major and minor number.
    pub number: (u32, u32),
}

/// `/dev/tty`: the terminal of whoever opens it, and no run has one.
pub const TERMINAL: Device = Device {
    block: false,
    number: (5, 0),
};

impl Meta {
    /// What the image says of an inode.
    pub fn of(node: &Node) -> Self {
        let device = match node.kind {
            Kind::CharDevice { major, minor } => Some(Device {
                block: false,
                number: (major, minor),
            }),
            Kind::BlockDevice { major, minor } => Some(Device {
                block: true,
                number: (major, minor),
            }),
            _ => None,
        };
        Self {
            uid: node.metadata.uid,
            gid: node.metadata.gid,
            mode: node.metadata.mode,
            device,
            xattrs: node.metadata.xattrs.clone(),
            shared: None,
            lower: true,
        }
    }

    /// What goes for an inode of which nobody has said anything: root's, with the permissions that the disk has.
    pub fn on_disk(stat: &Statx) -> Self {
        Self {
            mode: u32::from(stat.stx_mode) & 0o7777,
            ..Self::default()
        }
    }

    /// What a layer says of it.
    pub fn metadata(&self, mtime: i64) -> Metadata {
        let image = |(name, _): &(&OsString, &Vec<u8>)| crate::layer::belongs_to_image(name);
        let own = |(name, value): (&OsString, &Vec<u8>)| (name.clone(), value.clone());
        Metadata {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            mtime,
            xattrs: self.xattrs.iter().filter(image).map(own).collect(),
        }
    }
}

/// The inodes of a run.
///
/// Nobody is told when an inode ends: one that has lost its names may still be open somewhere. So whoever makes a file
/// says what it is, or an older one of the same number might be taken for it.
#[derive(Debug, Default)]
pub struct Owners(Mutex<HashMap<Key, Meta>>);

impl Owners {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Meta>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of an inode.
    pub fn get(&self, key: Key) -> Option<Meta> {
        self.lock().get(&key).cloned()
    }

    /// Says what an inode is from now on.
    pub fn set(&self, key: Key, meta: Meta) {
        self.lock().insert(key, meta);
    }

    /// Says what an inode of the store is, unless something else was said of it already.
    pub fn claim(&self, key: Key, meta: &Meta) -> bool {
        match self.lock().entry(key) {
            Entry::Vacant(place) => {
                place.insert(meta.clone());
                true
            }
            Entry::Occupied(known) => known.get() == meta,
        }
    }

    /// Everything that is there now was there before the run that comes.
    pub fn all_lower(&self) {
        self.lock().values_mut().for_each(|meta| meta.lower = true);
    }
}

/// The key of an inode of which all [`FIELDS`] were asked.
pub fn key(stat: &Statx) -> Key {
    let born = match StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME) {
        true => (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec),
        false => (0, 0),
    };
    Key {
        device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
        number: stat.stx_ino,
        born,
    }
}
