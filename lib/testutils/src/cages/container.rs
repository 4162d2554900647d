//! Containers as their runtimes make them, without one.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{Gid, Uid, getuid, setgroups, setresgid, setresuid},
};
use rbuild_sys::{MountAttributes, seccomp::Filter, set_mount_attributes};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::profile;

/// The user of the `restricted` cage, who has no passwd entry.
pub(super) const NOBODY_KNOWN: u32 = 12_345;

const NONE: Option<&Path> = None;

/// What runtimes hide from containers, and what they make read-only.
const HIDDEN_FILES: [&str; 6] = [
    "kcore",
    "keys",
    "interrupts",
    "latency_stats",
    "timer_list",
    "sched_debug",
];
const HIDDEN_DIRECTORIES: [&str; 2] = ["acpi", "scsi"];
const READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// The capabilities that containers have unless told otherwise.
const USUAL: CapabilitySet = CapabilitySet::AUDIT_WRITE
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SYS_CHROOT);

/// A container to be entered by a child process.
pub(super) struct Container {
    capabilities: CapabilitySet,
    filter: Filter,
    room: PathBuf,
}

impl Container {
    /// Root with the usual capabilities.
    pub fn pod_root(room: &Path) -> Result<Self> {
        Self::new(room, USUAL)
    }

    /// An unknown user without capabilities, on a read-only file system but for `room`.
    pub fn restricted(room: &Path) -> Result<Self> {
        if getuid().is_root() {
            chown(room, Some(NOBODY_KNOWN), Some(0))?;
        }
        Self::new(room, CapabilitySet::empty())
    }

    fn new(room: &Path, capabilities: CapabilitySet) -> Result<Self> {
        Ok(Self {
            capabilities,
            filter: profile::filter(capabilities)?,
            room: room.to_owned(),
        })
    }

    /// Puts this process into it. Who is not root keeps the ids and mounts that it has.
    pub fn enter(&self) -> Result<()> {
        let restricted = self.capabilities.is_empty();
        if getuid().is_root() {
            unshare(CloneFlags::CLONE_NEWNS).context("unshare")?;
            mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
            if restricted {
                read_only_but(&self.room)?;
            }
            hide_parts_of_proc()?;
            drop_from_bounding_set(self.capabilities)?;
        }
        if restricted {
            rustix::thread::set_no_new_privs(true)?;
        }
        // The filter allows what is still to be done, and root may install it now without no_new_privs.
        self.filter.install().context("cannot install the filter")?;
        if getuid().is_root() {
            let uid = Uid::from_raw(if restricted { NOBODY_KNOWN } else { 0 });
            let gid = Gid::from_raw(0);
            setgroups(&[])?;
            setresgid(gid, gid, gid)?;
            setresuid(uid, uid, uid)?;
        }
        let capabilities = CapabilitySets {
            effective: self.capabilities,
            permitted: self.capabilities,
            inheritable: CapabilitySet::empty(),
        };
        rustix::thread::set_capabilities(None, capabilities).context("capset")?;
        // A change of identity hides a process from others of its user; a new program would not be hidden.
        nix::sys::prctl::set_dumpable(true)?;
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        Ok(())
    }
}

/// Makes all mounts read-only, but for one directory, and `/proc`, where only some parts are.
fn read_only_but(room: &Path) -> Result<()> {
    mount(Some(room), room, NONE, MsFlags::MS_BIND, NONE).context("bind the room")?;
    let read_only = MountAttributes {
        read_only: true,
        ..MountAttributes::default()
    };
    set_mount_attributes(fs::File::open("/")?, read_only).context("make / read-only")?;
    for writable in [room, Path::new("/proc")] {
        remount(writable, MsFlags::empty())?;
    }
    Ok(())
}

fn hide_parts_of_proc() -> Result<()> {
    let existing = |names: &'static [&'static str]| {
        let paths = names.iter().map(|name| Path::new("/proc").join(name));
        paths.filter(|path| path.exists())
    };
    for file in existing(&HIDDEN_FILES) {
        bind(Path::new("/dev/null"), &file)?;
    }
    for directory in existing(&HIDDEN_DIRECTORIES) {
        let tmpfs = Some("tmpfs");
        mount(tmpfs, &directory, tmpfs, MsFlags::MS_RDONLY, NONE)
            .with_context(|| directory.display().to_string())?;
    }
    for path in existing(&READ_ONLY) {
        bind(&path, &path)?;
        remount(&path, MsFlags::MS_RDONLY)?;
    }
    Ok(())
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    mount(Some(from), to, NONE, MsFlags::MS_BIND, NONE).with_context(|| to.display().to_string())
}

fn remount(path: &Path, flags: MsFlags) -> Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags;
    mount(NONE, path, NONE, flags, NONE).with_context(|| format!("remount {}", path.display()))
}

fn drop_from_bounding_set(kept: CapabilitySet) -> Result<()> {
    for capability in CapabilitySet::all().difference(kept).iter() {
        // The kernel may know fewer than this list.
        if rustix::thread::capability_is_in_bounding_set(capability).unwrap_or(false) {
            rustix::thread::remove_capability_from_bounding_set(capability)?;
        }
    }
    Ok(())
}
