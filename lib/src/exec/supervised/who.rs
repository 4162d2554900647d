//! Ids and capabilities as a process believes to have them.

use std::sync::Arc;

use rustix::thread::CapabilitySet;

use crate::exec::spec::CAPABILITIES;

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
        let own = if user == 0 {
            CAPABILITIES
        } else {
            CapabilitySet::empty()
        };
        Self {
            user: Four::all(user),
            group: Four::all(group),
            groups: groups.into(),
            effective: own,
            permitted: own,
            inheritable: CapabilitySet::empty(),
            ambient: CapabilitySet::empty(),
            bounding: CAPABILITIES,
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

/// What a program does to the ids of who executes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SetIds {
    /// It has the set-user-id bit, and belongs to this user.
    pub user: Option<u32>,
    /// It has the set-group-id bit and may be executed by its group, which is this one.
    pub group: Option<u32>,
    /// It has capabilities of its own.
    pub capabilities: Option<FileCapabilities>,
}

/// Capabilities of a program: the attribute `security.capability`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileCapabilities {
    pub permitted: CapabilitySet,
    pub inheritable: CapabilitySet,
    /// Whether they are in effect at once.
    pub effective: bool,
}

impl FileCapabilities {
    /// Reads the value of the attribute, version 2 or 3; nothing if it is neither.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let word = |index: usize| {
            let bytes = value.get(4 * index..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        let magic = word(0)?;
        if !matches!((magic >> 24, value.len()), (2, 20) | (3, 24)) {
            return None;
        }
        let set = |low: usize, high: usize| {
            let bits = u64::from(word(low)?) | u64::from(word(high)?) << 32;
            Some(CapabilitySet::from_bits_truncate(bits))
        };
        Some(Self {
            permitted: set(1, 3)?,
            inheritable: set(2, 4)?,
            effective: magic & 1 != 0,
        })
    }
}

/// `SECBIT_NOROOT`: user 0 is nobody special.
const NO_ROOT: u32 = 1;
/// `SECBIT_NO_SETUID_FIXUP`: a change of user does not change capabilities.
const NO_FIX: u32 = 1 << 2;
/// `SECBIT_KEEP_CAPS`: capabilities stay when the user changes, until the next `exec`.
pub(crate) const KEEP_CAPABILITIES: u32 = 1 << 4;
/// All `SECBIT_*`.
pub(crate) const SECURE_BITS: u32 = 0xff;

/// What is about files: it follows the user id for files.
const ABOUT_FILES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::LINUX_IMMUTABLE)
    .union(CapabilitySet::MAC_OVERRIDE);

impl Who {
    /// What a change of user does to capabilities.
    pub fn user_changed(&mut self, before: Four) {
        if self.secure_bits & NO_FIX != 0 {
            return;
        }
        let is_root = |four: &Four| [four.real, four.effective, four.saved].contains(&0);
        if is_root(&before) && !is_root(&self.user) {
            if self.secure_bits & KEEP_CAPABILITIES == 0 {
                self.permitted = CapabilitySet::empty();
                self.effective = CapabilitySet::empty();
            }
            self.ambient = CapabilitySet::empty();
        }
        if before.effective == 0 && self.user.effective != 0 {
            self.effective = CapabilitySet::empty();
        }
        if before.effective != 0 && self.user.effective == 0 {
            self.effective = self.permitted;
        }
    }

    /// What a change of the user for files alone does to capabilities.
    pub fn file_user_changed(&mut self, before: u32) {
        if self.secure_bits & NO_FIX != 0 {
            return;
        }
        match (before == 0, self.user.file == 0) {
            (true, false) => self.effective -= ABOUT_FILES,
            (false, true) => self.effective |= self.permitted & ABOUT_FILES,
            _ => {}
        }
    }

    /// Who a process is after it has executed such a program, and whether the program should trust its surroundings
    /// less than usual: credentials(7) and capabilities(7).
    pub fn after_exec(&self, program: &SetIds) -> (Self, bool) {
        let mut who = self.clone();
        let own = SetIds::default();
        let program = if self.no_new_privileges { &own } else { program };
        who.user.effective = program.user.unwrap_or(who.user.effective);
        who.group.effective = program.group.unwrap_or(who.group.effective);
        for four in [&mut who.user, &mut who.group] {
            four.saved = four.effective;
            four.file = four.effective;
        }
        let changed = who.user.effective != who.user.real || who.group.effective != who.group.real;
        let all = CapabilitySet::all();
        let root = self.secure_bits & NO_ROOT == 0 && (who.user.real == 0 || who.user.effective == 0);
        let none = FileCapabilities {
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
            effective: false,
        };
        let file = if root {
            FileCapabilities {
                permitted: all,
                inheritable: all,
                effective: who.user.effective == 0,
            }
        } else {
            program.capabilities.clone().unwrap_or(none)
        };
        if changed || program.capabilities.is_some() {
            who.ambient = CapabilitySet::empty();
        }
        who.permitted = (who.inheritable & file.inheritable) | (file.permitted & who.bounding) | who.ambient;
        who.effective = if file.effective {
            who.permitted
        } else {
            who.ambient
        };
        who.secure_bits &= !KEEP_CAPABILITIES;
        let secure = changed || (!root && program.capabilities.is_some() && !who.permitted.is_empty());
        (who, secure)
    }
}
