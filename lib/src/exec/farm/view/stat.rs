//! What is told of a file.

use rustix::{
    fs::{FileType, Statx, StatxTimestamp},
    io::Errno,
};

use super::{
    super::{
        mounts::{MountId, Node},
        owners::Meta,
    },
    Asker, View,
};

/// What `stat` and its kin say.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// What the disk says: everything that follows apart.
    pub disk: Statx,
    /// Type and permissions.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    /// Major and minor number of a device.
    pub device: (u32, u32),
}

impl View {
    /// What is told of a file.
    pub fn tell(&self, node: &Node) -> Told {
        let mut told = Told::of(&node.stat, &self.meta(node));
        if node.mount == MountId::NOWHERE {
            let permissions = u32::from(node.stat.stx_mode) & 0o7777;
            told.mode = told.mode & !0o7777 | permissions;
        }
        told
    }

    /// The same of a file that is in the root or its mounts, wherever there.
    pub fn tell_of(&self, file: &Statx) -> Told {
        Told::of(file, &self.meta_of(file))
    }

    /// What is told of what there is at a path.
    ///
    /// # Errors
    /// As for [`find`](Self::find).
    pub fn look(&self, asker: &Asker<'_>, base: &Node, path: &[u8], follow: bool) -> Result<Told, Errno> {
        if let Some(seen) = self.glance(asker, base, path, follow) {
            return seen.stat.map(|file| self.tell_of(&file)).ok_or(Errno::NOENT);
        }
        self.find(asker, base, path, follow).map(|node| self.tell(&node))
    }
}

impl Told {
    fn of(disk: &Statx, meta: &Meta) -> Self {
        let mut kind = u32::from(disk.stx_mode) & 0o170_000;
        let mut device = (disk.stx_rdev_major, disk.stx_rdev_minor);
        if let Some(special) = &meta.device {
            let special_kind = if special.block {
                FileType::BlockDevice
            } else {
                FileType::CharacterDevice
            };
            kind = special_kind.as_raw_mode();
            device = special.number;
        }
        let links = match meta.shared {
            Some(names) => names,
            None => disk.stx_nlink,
        };
        Self {
            disk: *disk,
            mode: kind | meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            links,
            device,
        }
    }
}

impl Told {
    /// `struct stat`.
    #[cfg(target_arch = "x86_64")]
    pub fn stat(&self) -> Vec<u8> {
        let disk = &self.disk;
        let mut out = Out::default();
        out.u64(rustix::fs::makedev(disk.stx_dev_major, disk.stx_dev_minor));
        out.u64(disk.stx_ino);
        out.u64(self.links.into());
        out.u32(self.mode);
        out.u32(self.uid);
        out.u32(self.gid);
        out.u32(0);
        out.u64(rustix::fs::makedev(self.device.0, self.device.1));
        out.u64(disk.stx_size);
        out.u64(disk.stx_blksize.into());
        out.u64(disk.stx_blocks);
        for time in [disk.stx_atime, disk.stx_mtime, disk.stx_ctime] {
            out.u64(time.tv_sec.cast_unsigned());
            out.u64(time.tv_nsec.into());
        }
        out.zeros(24);
        out.0
    }

    /// `struct stat`.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn stat(&self) -> Vec<u8> {
        let disk = &self.disk;
        let mut out = Out::default();
        out.u64(rustix::fs::makedev(disk.stx_dev_major, disk.stx_dev_minor));
        out.u64(disk.stx_ino);
        for number in [self.mode, self.links, self.uid, self.gid] {
            out.u32(number);
        }
        out.u64(rustix::fs::makedev(self.device.0, self.device.1));
        out.u64(0);
        out.u64(disk.stx_size);
        out.u32(disk.stx_blksize);
        out.u32(0);
        out.u64(disk.stx_blocks);
        for time in [disk.stx_atime, disk.stx_mtime, disk.stx_ctime] {
            out.u64(time.tv_sec.cast_unsigned());
            out.u64(time.tv_nsec.into());
        }
        out.zeros(8);
        out.0
    }

    /// `struct statx`.
    pub fn statx(&self) -> Vec<u8> {
        let disk = &self.disk;
        let mut out = Out::default();
        out.u32(disk.stx_mask);
        out.u32(disk.stx_blksize);
        out.u64(0);
        for number in [self.links, self.uid, self.gid] {
            out.u32(number);
        }
        out.u32(self.mode & 0xffff);
        out.u64(disk.stx_ino);
        out.u64(disk.stx_size);
        out.u64(disk.stx_blocks);
        out.u64(0);
        for time in [disk.stx_atime, disk.stx_btime, disk.stx_ctime, disk.stx_mtime] {
            out.time(time);
        }
        for number in [
            self.device.0,
            self.device.1,
            disk.stx_dev_major,
            disk.stx_dev_minor,
        ] {
            out.u32(number);
        }
        out.zeros(256 - 144);
        out.0
    }
}

/// Bytes of a structure, one field after the other.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn u32(&mut self, value: u32) {
        self.0.extend(value.to_ne_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend(value.to_ne_bytes());
    }

    fn time(&mut self, time: StatxTimestamp) {
        self.u64(time.tv_sec.cast_unsigned());
        self.u32(time.tv_nsec);
        self.u32(0);
    }

    fn zeros(&mut self, count: usize) {
        self.0.resize(self.0.len() + count, 0);
    }
}
