//! Watches on files.
//!
//! Nobody can take a descriptor from another process here, and the kernel would look for names in the machine's root.
//! So instances are made here, a copy of each is kept, and what a process has open is known by a *marker*: the first
//! watch of each instance, on a file where nothing ever happens. What is written through descriptors is told by the
//! kernel, and so is what the supervisor does to names. Watches of a run are on files that nobody else has; those on what
//! belongs to the machine, devices and `/proc`, never tell anything.
//!
//! The first watch that a process adds is number 2: the marker is number 1.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::libc;
use rustix::{
    fs::inotify::{CreateFlags, WatchFlags, add_watch, init},
    io::Errno,
};

use super::Table;
use crate::exec::supervised::{Answer, Asked, Reply, errno};

pub(crate) const TABLE: Table = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_inotify_init, |asked| make(asked, CreateFlags::empty())),
    (libc::SYS_inotify_init1, |asked| {
        let flags = CreateFlags::from_bits(asked.number_at(0)).ok_or(Errno::INVAL)?;
        make(asked, flags)
    }),
    (libc::SYS_inotify_add_watch, watch),
];

/// The number of a marker among the watches of its instance. Nobody can remove it, says the filter.
pub(crate) const MARKER: i32 = 1;

/// The instances that processes of a run have open, by the inodes of their markers as the kernel prints them.
#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<HashMap<String, Arc<OwnedFd>>>);

impl Watches {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<OwnedFd>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that a descriptor refers to.
    fn of(&self, asked: &Asked<'_>, descriptor: i32) -> Result<Arc<OwnedFd>, Errno> {
        let file = PathBuf::from(asked.descriptor_path(descriptor));
        let link = fs::read_link(&file).map_err(|_| Errno::BADF)?;
        if !is_instance(&link) {
            return Err(Errno::INVAL);
        }
        let known = self.known();
        // There is no other that it could be.
        if known.len() == 1
            && let Some(only) = known.values().next()
        {
            return Ok(Arc::clone(only));
        }
        let marker = marker(&file).ok_or(Errno::INVAL)?;
        asked.still()?;
        known.get(&marker).cloned().ok_or(Errno::INVAL)
    }

    /// Those that no process has open any more come to their end: a user can have few.
    fn forget_closed(&self, asked: &Asked<'_>) {
        let files = asked.shared().family.open_files();
        let instances = files
            .iter()
            .filter(|file| fs::read_link(file).is_ok_and(|link| is_instance(&link)));
        let open: HashSet<String> = instances.filter_map(|file| marker(file)).collect();
        self.known().retain(|marker, _| open.contains(marker));
    }
}

/// Whether what a link in `/proc` says is an instance.
fn is_instance(link: &Path) -> bool {
    let link = link.as_os_str();
    link == "anon_inode:inotify" || link == "anon_inode:[inotify]"
}

/// The marker of the instance that a link in `/proc` leads to.
fn marker(file: &Path) -> Option<String> {
    let infos = file.parent()?.with_file_name("fdinfo");
    let info = fs::read_to_string(infos.join(file.file_name()?)).ok()?;
    let first = format!("inotify wd:{MARKER} ino:");
    let inode = info.lines().find_map(|line| line.strip_prefix(&first))?;
    inode.split_whitespace().next().map(str::to_owned)
}

/// `inotify_init1`
fn make(asked: &Asked<'_>, flags: CreateFlags) -> Reply {
    let watches = &asked.shared().watches;
    watches.forget_closed(asked);
    let instance = init(flags | CreateFlags::CLOEXEC)?;
    let place = asked.shared().view.quiet_place()?;
    if add_watch(&instance, &place, WatchFlags::MOVE_SELF)? != MARKER {
        return Err(Errno::IO);
    }
    let path = format!("/proc/self/fd/{}", instance.as_raw_fd());
    let marker = marker(Path::new(&path)).ok_or(Errno::NOSYS)?;
    let copy = instance.try_clone().map_err(errno)?;
    watches.known().insert(marker, Arc::new(copy));
    Ok(Answer::Descriptor {
        file: instance,
        close_on_exec: flags.contains(CreateFlags::CLOEXEC),
    })
}

/// `inotify_add_watch`
fn watch(asked: &Asked<'_>) -> Reply {
    let flags = WatchFlags::from_bits_retain(asked.number_at(2));
    let instance = asked.shared().watches.of(asked, asked.int(0))?;
    let named = asked.named(None, 1)?;
    let node = named.find(!flags.contains(WatchFlags::DONT_FOLLOW))?;
    if flags.contains(WatchFlags::ONLYDIR) && !node.is_directory() {
        return Err(Errno::NOTDIR);
    }
    let watched = named.view.to_watch(&named.asker, &node)?;
    let path = format!("/proc/self/fd/{}", watched.as_raw_fd());
    // It was followed already, or else what is watched is the link itself; and it is a directory if it must be one.
    let flags = flags.difference(WatchFlags::DONT_FOLLOW | WatchFlags::ONLYDIR);
    let number = add_watch(&*instance, path, flags)?;
    Ok(Answer::Value(number.into()))
}
