//! `/dev`, `/proc` and `/sys` as a container has them.
//!
//! What is hidden and what can only be read follows the defaults of the OCI runtimes: these files speak of the whole
//! machine, and root of a container may be its root.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rbuild_sys::{MountAttributes, set_mount_attributes};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, makedev, mknodat},
    io::Errno,
    mount::MountAttrFlags,
};

use super::{
    place::Places,
    root::{attach, bind, file_system, is_directory, make_directory, open_place},
};
use crate::exec::{
    Network,
    child::{Doing, Report},
};

const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

const MASKED_IN_PROC: [&str; 10] = [
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];
const READ_ONLY_IN_PROC: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];
const MASKED_IN_SYS: [&str; 2] = ["firmware", "devices/virtual/powercap"];

fn quiet() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC
}

/// Mounts `/dev`, and gives its root. No device node that the run makes there can be opened.
pub(super) fn devices(places: &mut Places, scaffold: BorrowedFd<'_>) -> Result<OwnedFd, Report> {
    let options = [("mode", "0755"), ("size", "65536k")];
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let dev = file_system("tmpfs", &options, attributes)?;
    let place = places.lasting("/dev").doing(|| "make /dev".to_owned())?;
    attach(&dev, place.as_fd()).doing(|| "mount /dev".to_owned())?;
    let nodes = make_directory(scaffold, "nodes")?;
    for (name, major, minor) in DEVICES {
        let show = || {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            rustix::fs::openat(&dev, name, flags, Mode::from_raw_mode(0o666))?;
            attach(
                bind(device(&nodes, name, major, minor)?)?,
                open_in(dev.as_fd(), name)?.as_fd(),
            )
        };
        show().doing(|| format!("make /dev/{name}"))?;
    }
    for (name, target) in DEVICE_LINKS {
        rustix::fs::symlinkat(target, &dev, name).doing(|| format!("make /dev/{name}"))?;
    }
    let pts = make_directory(&dev, "pts")?;
    let terminals = terminals()?;
    attach(&terminals, pts.as_fd()).doing(|| "mount /dev/pts".to_owned())?;
    let shm = make_directory(&dev, "shm")?;
    let memory = file_system("tmpfs", &[("mode", "1777"), ("size", "65536k")], quiet())?;
    attach(&memory, shm.as_fd()).doing(|| "mount /dev/shm".to_owned())?;
    // A kernel may be built without message queues.
    let mqueue = make_directory(&dev, "mqueue")?;
    if let Ok(queues) = file_system("mqueue", &[], quiet()) {
        attach(&queues, mqueue.as_fd()).doing(|| "mount /dev/mqueue".to_owned())?;
    }
    Ok(dev)
}

/// A device node: a new one, or that of this machine where none may be made.
fn device(nodes: &OwnedFd, name: &str, major: u32, minor: u32) -> std::io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(0o666);
    match mknodat(
        nodes,
        name,
        FileType::CharacterDevice,
        mode,
        makedev(major, minor),
    ) {
        Ok(()) => open_in(nodes.as_fd(), name),
        Err(Errno::PERM) => {
            let path = format!("/dev/{name}");
            Ok(rustix::fs::open(
                path,
                OFlags::PATH | OFlags::CLOEXEC,
                Mode::empty(),
            )?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Pseudo terminals of its own. Group 5 is `tty` in every distribution; it may be beyond the ids of a user namespace.
fn terminals() -> Result<OwnedFd, Report> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let options = [("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    file_system("devpts", &options, attributes).or_else(|_| file_system("devpts", &options[..2], attributes))
}

/// Mounts `/sys`, read-only.
pub(super) fn system(places: &mut Places, network: Network, null: &OwnedFd) -> Result<(), Report> {
    // Only the owner of a network namespace may mount the sysfs that shows it; others see that of this machine.
    let sys = match file_system("sysfs", &[], quiet() | MountAttrFlags::MOUNT_ATTR_RDONLY) {
        Ok(sys) => sys,
        Err(_) => {
            let sys = bind(open_place(Path::new("/sys"))?).doing(|| format!("show /sys ({network:?})"))?;
            let attributes = MountAttributes {
                read_only: true,
                no_suid: true,
                no_dev: true,
                no_exec: true,
            };
            set_mount_attributes(&sys, attributes).doing(|| "make /sys read-only".to_owned())?;
            sys
        }
    };
    let place = places.lasting("/sys").doing(|| "make /sys".to_owned())?;
    attach(&sys, place.as_fd()).doing(|| "mount /sys".to_owned())?;
    mask(sys.as_fd(), &MASKED_IN_SYS, null)
}

/// Mounts `/proc`, which shows the process id namespace of the caller.
pub(super) fn processes(place: BorrowedFd<'_>, null: &OwnedFd) -> Result<(), Report> {
    let proc = file_system("proc", &[], quiet())?;
    attach(&proc, place).doing(|| "mount /proc".to_owned())?;
    for name in READ_ONLY_IN_PROC {
        let Ok(file) = open_in(proc.as_fd(), name) else {
            continue;
        };
        let protect = || {
            let same = bind(&file)?;
            set_mount_attributes(
                &same,
                MountAttributes {
                    read_only: true,
                    ..Default::default()
                },
            )?;
            attach(same, file.as_fd())
        };
        protect().doing(|| format!("make /proc/{name} read-only"))?;
    }
    mask(proc.as_fd(), &MASKED_IN_PROC, null)
}

/// Hides files behind `/dev/null` and directories behind empty ones.
fn mask(root: BorrowedFd<'_>, names: &[&str], null: &OwnedFd) -> Result<(), Report> {
    for name in names {
        let Ok(place) = open_in(root, name) else { continue };
        let cover = if is_directory(&place) {
            file_system(
                "tmpfs",
                &[("size", "0")],
                quiet() | MountAttrFlags::MOUNT_ATTR_RDONLY,
            )?
        } else {
            bind(null).doing(|| format!("show {name} as /dev/null"))?
        };
        attach(&cover, place.as_fd()).doing(|| format!("hide {name}"))?;
    }
    Ok(())
}

fn open_in(root: BorrowedFd<'_>, name: &str) -> std::io::Result<OwnedFd> {
    let place = rustix::fs::openat(
        root,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::fs::statat(&place, "", AtFlags::EMPTY_PATH)?;
    Ok(place)
}
