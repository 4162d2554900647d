//! Ids and capabilities as a process believes to have them.

use std::sync::Arc;

use rustix::thread::CapabilitySet;

/// What container engines give to root of a container by default.
pub(crate) const USUAL: CapabilitySet = CapabilitySet::CHOWN
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

/// The four user ids, or the four group ids, of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Four {
    pub real: u32,
    pub effective: u32,
    pub saved: u32,
    /// For files: whose they are when made, and what may be done with others.
    pub file: u32,
}

impl Four {
    pub fn all(id: u32) -> Self {
        Self {
            real: id,
            effective: id,
            saved: id,
            file: id,
        }
    }
}

/// Who a process is. All its threads are the same: libc sees to that where there is a kernel as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub user: Four,
    pub group: Four,
    /// Supplementary groups.
    pub groups: Arc<[u32]>,
    pub effective: CapabilitySet,
    pub permitted: CapabilitySet,
    pub inheritable: CapabilitySet,
    pub ambient: CapabilitySet,
    pub bounding: CapabilitySet,
    /// `SECBIT_*`.
    pub secure_bits: u32,
    /// Whether set-id bits of programs mean nothing.
    pub no_new_privileges: bool,
}

impl Who {
    /// A user as a container's first process has it; root with the usual capabilities.
    pub fn new(user: u32, group: u32, groups: &[u32]) -> Self {
        let own = if user == 0 { USUAL } else { CapabilitySet::empty() };
        Self {
            user: Four::all(user),
            group: Four::all(group),
            groups: groups.into(),
            effective: own,
            permitted: own,
            inheritable: CapabilitySet::empty(),
            ambient: CapabilitySet::empty(),
            bounding: USUAL,
            secure_bits: 0,
            no_new_privileges: false,
        }
    }

    /// Whether it has a capability in effect.
    pub fn can(&self, capability: CapabilitySet) -> bool {
        self.effective.contains(capability)
    }

    /// Whether files of this group are its group's: by its id for files, or a supplementary one.
    pub fn is_in(&self, group: u32) -> bool {
        self.group.file == group || self.groups.contains(&group)
    }
}
