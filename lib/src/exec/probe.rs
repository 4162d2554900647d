//! Tries what this machine allows.

use std::{
    fs, io,
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::Path,
    sync::OnceLock,
};

use rbuild_sys::Keep;
use rustix::{
    mount::MountAttrFlags,
    process::{geteuid, getpid},
    thread::{CapabilitySet, UnshareFlags},
};
use tempfile::TempDir;

use super::{
    Engine, Error, Missing, Whiteouts,
    child::{Doing, Report, Task, die_with},
    ids::{Ids, count_own, map_ids, mapping_name, what_forbids_namespaces},
    inside::root::{Writes, file_system, open_in_root, overlay, private_mounts, scaffold},
    survey,
};

/// What works here.
#[derive(Debug)]
pub(super) struct Found {
    pub ids: Ids,
    pub whiteouts: Whiteouts,
    /// How many users and groups a run can have, from 0 on.
    pub count: u32,
    /// Names layers on disk that were made with these ids and whiteouts.
    pub format: String,
    /// Why it is not something faster.
    pub instead_of: Option<Missing>,
    /// What can do all that this one cannot, if it is needed.
    pub instead: OnceLock<Option<Engine>>,
}

impl Found {
    /// What works, and nothing better was looked for.
    pub(super) fn new(ids: Ids, whiteouts: Whiteouts, format: String) -> Self {
        Self {
            ids,
            whiteouts,
            count: u32::MAX,
            format,
            instead_of: None,
            instead: OnceLock::new(),
        }
    }
}

/// Finds out by doing it: namespaces, mounts, and an overlay on the file system of `scratch`.
pub(super) fn probe(scratch: &Path) -> Result<Found, Error> {
    if geteuid().is_root() && has_cap_sys_admin() {
        let whiteouts = whiteouts_of_root(scratch)?;
        try_all(scratch, &Ids::Own, whiteouts)?;
        return Ok(Found {
            count: count_own(),
            ..Found::new(Ids::Own, whiteouts, own_format(whiteouts))
        });
    }
    let mapped = map_ids()?;
    let ids = Ids::Mapped(mapped.namespace);
    try_all(scratch, &ids, Whiteouts::User)?;
    Ok(Found {
        count: mapped.count,
        ..Found::new(ids, Whiteouts::User, mapping_name(&mapped.mapping))
    })
}

/// Finds out whether system calls of other processes can be answered.
pub(super) fn probe_supervision() -> Result<Found, Error> {
    let missing = survey::supervision::tried()
        .into_iter()
        .find(|finding| finding.state == Some(false) && finding.name != survey::supervision::OPTIONAL);
    match missing {
        Some(finding) => Err(Error::Unavailable(Missing::Supervision {
            what: finding.name,
            reason: finding.detail,
        })),
        None => Ok(Found::new(Ids::Emulated, Whiteouts::User, "plain".to_owned())),
    }
}

pub(super) fn has_cap_sys_admin() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Root of a user namespace may not set `trusted` attributes.
pub(super) fn whiteouts_of_root(scratch: &Path) -> Result<Whiteouts, Error> {
    let trial = trial_directory(scratch)?;
    let set = rustix::fs::setxattr(
        trial.path(),
        "trusted.overlay.opaque",
        b"y",
        rustix::fs::XattrFlags::empty(),
    );
    Ok(if set.is_ok() {
        Whiteouts::Trusted
    } else {
        Whiteouts::User
    })
}

fn own_format(whiteouts: Whiteouts) -> String {
    match whiteouts {
        Whiteouts::Trusted => "root".to_owned(),
        Whiteouts::User => {
            let map = |file| fs::read_to_string(file).unwrap_or_default();
            mapping_name(&format!(
                "within {}{}",
                map("/proc/self/uid_map"),
                map("/proc/self/gid_map")
            ))
        }
    }
}

/// A directory that goes away again.
pub(super) fn trial_directory(scratch: &Path) -> Result<TempDir, Error> {
    let failed = |source| Error::Setup {
        what: format!("make a directory in {}", scratch.display()),
        source,
    };
    tempfile::Builder::new()
        .prefix("probe-")
        .tempdir_in(scratch)
        .map_err(failed)
}

/// Does in a child what a run does, short of the run.
fn try_all(scratch: &Path, ids: &Ids, whiteouts: Whiteouts) -> Result<(), Error> {
    let trial = trial_directory(scratch)?;
    let parent = getpid();
    let launching = rbuild_sys::launching();
    let task = Task::spawn(&launching, Keep::All, |reporter| {
        ids.enter()?;
        die_with(parent)?;
        try_namespaces()?;
        reporter.send(&Report::Done);
        try_overlay(trial.path(), whiteouts)?;
        Ok(Report::Done)
    });
    drop(launching);
    let failed = |source| Error::Setup {
        what: "try what this machine allows".to_owned(),
        source,
    };
    let mut task = task.map_err(failed)?;
    match task.next_report().map_err(failed)? {
        Some(Report::Done) => {}
        Some(Report::Setup { what, errno }) => return Err(no_mounts(ids, &what, errno)),
        Some(other) => return Err(other.into_error()),
        None => {
            return Err(Error::WithIds(
                "a child process ended without a report".to_owned(),
            ));
        }
    }
    match task.join().map_err(failed)? {
        Report::Done => Ok(()),
        Report::Setup { what, errno } => {
            let reason = format!("cannot {what}: {}", io::Error::from_raw_os_error(errno));
            Err(no_overlay(scratch, reason))
        }
        Report::Failed(reason) => Err(no_overlay(scratch, reason)),
        other => Err(other.into_error()),
    }
}

fn no_mounts(ids: &Ids, what: &str, errno: i32) -> Error {
    let why = match ids {
        Ids::Own | Ids::Emulated => String::new(),
        Ids::Mapped(_) => format!(" in a user namespace ({})", what_forbids_namespaces(errno)),
    };
    let source = io::Error::from_raw_os_error(errno);
    Error::Unavailable(Missing::Mounts {
        what: format!("{what}{why}"),
        source,
    })
}

fn no_overlay(scratch: &Path, reason: String) -> Error {
    Error::Unavailable(Missing::Overlay {
        path: scratch.to_owned(),
        reason,
    })
}

pub(super) fn try_namespaces() -> Result<(), Report> {
    let flags = UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    rbuild_sys::unshare(flags).doing(|| "make namespaces".to_owned())?;
    private_mounts()?;
    // Only a process of the new process id namespace can mount its proc.
    let task = Task::spawn_within(Keep::All, |_| {
        file_system("proc", &[], MountAttrFlags::empty()).map(|_| Report::Done)
    });
    match task
        .and_then(Task::join)
        .doing(|| "start a process in a namespace".to_owned())?
    {
        Report::Done => Ok(()),
        failure => Err(failure),
    }
}

/// Mounts an overlay, removes a directory and replaces another in it, and looks at what this leaves.
pub(super) fn try_overlay(directory: &Path, whiteouts: Whiteouts) -> Result<(), Report> {
    let result = look_at_overlay(directory, whiteouts);
    // Overlayfs leaves directories without permissions there, which an ordinary user cannot remove.
    let _ = fs::remove_dir_all(directory.join("work"));
    result
}

fn look_at_overlay(directory: &Path, whiteouts: Whiteouts) -> Result<(), Report> {
    let path = |name: &str| directory.join(name);
    let make = || {
        for name in ["lower", "lower/gone", "lower/new", "upper", "work", "mounts"] {
            fs::create_dir(path(name))?;
        }
        io::Result::Ok(())
    };
    make().doing(|| "make directories".to_owned())?;
    let scaffold = scaffold(&path("mounts"))?;
    let (upper, work) = (path("upper"), path("work"));
    let writes = Writes {
        upper: &upper,
        work: &work,
    };
    let root = overlay(
        scaffold.as_fd(),
        "root",
        &[path("lower")],
        Some(writes),
        whiteouts,
    )?;
    let change = || {
        use rustix::fs::{AtFlags, Mode};
        rustix::fs::unlinkat(&root, "gone", AtFlags::REMOVEDIR)?;
        rustix::fs::unlinkat(&root, "new", AtFlags::REMOVEDIR)?;
        rustix::fs::mkdirat(&root, "new", Mode::from_raw_mode(0o755))
    };
    change().doing(|| "change directories of an overlay".to_owned())?;
    open_in_root(&root, Path::new("new")).doing(|| "read an overlay".to_owned())?;
    let attribute = match whiteouts {
        Whiteouts::Trusted => "trusted.overlay.opaque",
        Whiteouts::User => "user.overlay.opaque",
    };
    let mut value = [0];
    let opaque = rustix::fs::getxattr(upper.join("new"), attribute, &mut value);
    if opaque != Ok(1) || value != *b"y" {
        return Err(Report::Failed(format!(
            "it does not keep the attribute {attribute}"
        )));
    }
    let gone = fs::symlink_metadata(upper.join("gone")).doing(|| "find a whiteout".to_owned())?;
    if gone.file_type().is_char_device() && gone.rdev() == 0 {
        return Ok(());
    }
    Err(Report::Failed("it does not keep whiteouts".to_owned()))
}
