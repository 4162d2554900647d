//! Namespaces, mounts and overlays, each tried in a child that then ends.

use std::{fs, io, path::Path};

use rbuild_sys::Keep;
use rustix::{
    mount::{FsOpenFlags, fsconfig_set_string, fsopen},
    process::{getgid, getuid},
    thread::UnshareFlags,
};

use super::Finding;
use crate::exec::{
    child::{Doing, Report, Task},
    ids::what_forbids_namespaces,
    inside::root::private_mounts,
    probe::{has_cap_sys_admin, trial_directory, try_namespaces, try_overlay, whiteouts_of_root},
};
use crate::layer::Whiteouts;

/// As root by itself where that is so, else as root of a user namespace with a single id.
pub(super) fn namespaces_and_mounts(scratch: &Path) -> Vec<Finding> {
    let own = has_cap_sys_admin();
    let place = if own { "as root" } else { "in a user namespace" };
    let whiteouts = match own {
        true => whiteouts_of_root(scratch).unwrap_or(Whiteouts::User),
        false => Whiteouts::User,
    };
    let become_root = || if own { Ok(()) } else { new_user_namespace() };
    let namespaces = trial(|| {
        become_root()?;
        try_namespaces()
    });
    let overlay = trial_directory(scratch).map_err(|error| error.to_string());
    let overlay = overlay.and_then(|directory| {
        trial(|| {
            become_root()?;
            rbuild_sys::unshare(UnshareFlags::NEWNS).doing(|| "make a mount namespace".to_owned())?;
            private_mounts()?;
            try_overlay(directory.path(), whiteouts)
        })
    });
    let many_layers = trial(|| {
        become_root()?;
        rbuild_sys::unshare(UnshareFlags::NEWNS).doing(|| "make a mount namespace".to_owned())?;
        one_by_one(scratch)
    });
    vec![
        user_namespaces(),
        Finding::tried("mounts", namespaces.map(|()| place)),
        Finding::tried("overlay", overlay.map(|()| place)),
        Finding::tried("overlay lowerdir+", many_layers.map(|()| "any number of layers")),
    ]
}

fn user_namespaces() -> Finding {
    let tried = run(|| rbuild_sys::unshare(UnshareFlags::NEWUSER).doing(|| "unshare".to_owned()));
    Finding::tried(
        "user namespaces",
        tried.map(|()| "").map_err(|report| match report {
            Report::Setup { errno, .. } => what_forbids_namespaces(errno),
            other => words(other),
        }),
    )
}

/// Makes this process root of a user namespace in which nobody else has an id.
fn new_user_namespace() -> Result<(), Report> {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    rbuild_sys::unshare(UnshareFlags::NEWUSER).doing(|| "make a user namespace".to_owned())?;
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {uid} 1")),
        ("gid_map", format!("0 {gid} 1")),
    ] {
        fs::write(Path::new("/proc/self").join(file), text).doing(|| format!("write {file}"))?;
    }
    Ok(())
}

/// Names a layer the way that has no limit.
fn one_by_one(directory: &Path) -> Result<(), Report> {
    let name = || {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "lowerdir+", directory)
    };
    name().doing(|| "name layers one by one".to_owned())
}

fn trial(work: impl FnOnce() -> Result<(), Report>) -> Result<(), String> {
    run(work).map_err(words)
}

/// Does something in a child, and gives back why it failed.
fn run(work: impl FnOnce() -> Result<(), Report>) -> Result<(), Report> {
    let launching = rbuild_sys::launching();
    let task = Task::spawn(&launching, Keep::All, |_| work().map(|()| Report::Done));
    drop(launching);
    match task.and_then(Task::join).doing(|| "start a process".to_owned())? {
        Report::Done => Ok(()),
        failure => Err(failure),
    }
}

/// A failure in words.
pub(super) fn words(report: Report) -> String {
    match report {
        Report::Setup { what, errno } => {
            let error = io::Error::from_raw_os_error(errno);
            format!("cannot {what}: {error}")
        }
        Report::Failed(reason) => reason,
        other => other.into_error().to_string(),
    }
}
