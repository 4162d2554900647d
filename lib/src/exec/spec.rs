//! What to run, and how it ended.

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use rustix::thread::CapabilitySet;

use super::farm::{Contents, Farm};
use crate::tree::Tree;

/// What container engines give to root of a container by default.
pub(super) const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// A process, and all that it sees.
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// Directories of unpacked layers, the topmost first; none for an empty root.
    pub lowers: Vec<PathBuf>,
    /// The root, if it is one that needs no mounts. The other directories are then not used.
    pub farm: Option<Arc<Farm>>,
    /// Takes what the process writes. Empty, or what an earlier run left there.
    pub upper: PathBuf,
    /// An empty directory that overlayfs works in; on the file system of `upper`.
    pub work: PathBuf,
    /// An empty directory for writes that are thrown away; on a file system that can hold an `upper`.
    pub spare: PathBuf,
    /// The program and its arguments. A name without a slash is searched in the `PATH` of `env`.
    pub argv: Vec<OsString>,
    /// `NAME=value`.
    pub env: Vec<OsString>,
    /// Where it starts; must exist in the root.
    pub cwd: PathBuf,
    /// Who it is.
    pub user: User,
    /// In the order in which they are made.
    pub mounts: Vec<Mount>,
    /// What it sees of the network.
    pub network: Network,
    /// Its host name.
    pub hostname: String,
}

/// Layers on disk, in the form that an engine can use.
#[derive(Clone, Debug, Default)]
pub struct Stack {
    /// Directories of unpacked layers, the topmost first; for mounts.
    pub lowers: Vec<PathBuf>,
    /// What they are together.
    pub tree: Tree,
    /// Directories with the contents of their files; for roots without mounts.
    pub contents: Contents,
}

/// Who a process is, by numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// Something mounted over the root for one run.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Where; resolved inside the root, and made if it is not there. What had to be made is removed after the run.
    pub target: PathBuf,
    /// What.
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Clone, Debug)]
pub enum MountKind {
    /// A directory or file of this machine.
    Bind {
        /// Its path.
        source: PathBuf,
        /// Whether the process may only read it.
        read_only: bool,
    },
    /// A directory or file of another root file system.
    Layers {
        /// Its layers.
        layers: Stack,
        /// The path in it; symbolic links are resolved inside it.
        source: PathBuf,
        /// Whether the process may write; what it writes is thrown away.
        writable: bool,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// In bytes; half of the memory if not given.
        size: Option<u64>,
        /// Mode of its root.
        mode: u32,
    },
    /// A file in memory, read-only: a secret.
    File {
        /// Its bytes.
        contents: Vec<u8>,
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

/// What a process sees of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// What this machine sees.
    #[default]
    Host,
    /// A loopback interface, and nothing else.
    None,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl Outcome {
    /// Whether it ended with code 0.
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }

    /// The code that a shell would report: 128 and the number for death by a signal.
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
        }
    }
}
