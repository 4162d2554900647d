//! What a machine lacks is found out and named.

use std::path::Path;

use rbuild_sys::{Ended, Keep};
use rbuild_testutils::{
    cages::{Lacking, as_user, in_each_cage, rootless},
    need,
};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::UnshareFlags,
};

use super::{Engine, Error, ProbeConfig, Whiteouts, on_each_bench};
use crate::exec::{Isolation, Missing};

fn probe(scratch: &Path) -> Result<Engine, Error> {
    Engine::probe(&ProbeConfig::new(scratch))
}

fn probe_mounts(scratch: &Path) -> Result<Engine, Error> {
    Engine::probe(&ProbeConfig {
        isolation: Isolation::Mounts,
        ..ProbeConfig::new(scratch)
    })
}

fn missing(scratch: &Path) -> Missing {
    match probe_mounts(scratch) {
        Err(Error::NoMounts(missing)) => missing,
        other => panic!("{other:?}"),
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn formats_tell_engines_apart() {
    on_each_bench(|bench| match bench.engine.whiteouts() {
        Whiteouts::Trusted => assert_eq!(bench.engine.format(), "root"),
        Whiteouts::User => {
            assert!(bench.engine.format().starts_with("mapped-"));
            assert_eq!(probe(&bench.room).unwrap().format(), bench.engine.format());
        }
    });
}

#[test]
fn a_probe_leaves_nothing_behind() {
    in_each_cage(|_, room| {
        probe(room).unwrap();
        assert_eq!(std::fs::read_dir(room).unwrap().count(), 0);
    });
}

#[test]
fn users_without_a_range_are_told_so() {
    let room = tempfile::tempdir().unwrap();
    if is_root() && need("newuidmap").is_some() {
        as_user(room.path(), Lacking::SubordinateIds, || {
            let missing = missing(room.path());
            assert_eq!(missing.to_string(), "/etc/subuid has no range for cage");
            assert_eq!(
                missing.hint(),
                "as root, add a range: echo cage:100000:65536 >> /etc/subuid"
            );
        });
    }
}

#[test]
fn missing_programs_are_named() {
    let room = tempfile::tempdir().unwrap();
    if is_root() && need("newuidmap").is_some() {
        as_user(room.path(), Lacking::IdMapPrograms, || {
            assert_eq!(missing(room.path()).to_string(), "newuidmap is not installed");
        });
    }
}

#[test]
fn refusals_of_newuidmap_are_passed_on() {
    rootless(|room| {
        rustix::thread::set_no_new_privs(true).unwrap();
        let missing = missing(room);
        let Missing::IdMapRefused {
            program: "newuidmap",
            message,
        } = &missing
        else {
            panic!("{missing:?}")
        };
        assert!(message.contains("uid_map"), "{message}");
        assert!(missing.hint().contains("no_new_privs"));
    });
}

#[test]
fn machines_without_user_namespaces_are_told_which_sysctl() {
    rootless(|room| {
        // The number that a user namespace allows below it can be set by its root.
        let engine = probe(room).unwrap();
        let deny = |engine: &Engine| {
            engine.0.ids.enter().map_err(|report| format!("{report:?}"))?;
            std::fs::write("/proc/sys/user/max_user_namespaces", "0").map_err(|error| error.to_string())
        };
        let launching = rbuild_sys::launching();
        let child = rbuild_sys::fork(Keep::All, || {
            drop(launching);
            if deny(&engine).is_err() {
                return 1;
            }
            let everything = rustix::thread::CapabilitySets {
                effective: rustix::thread::CapabilitySet::empty(),
                permitted: rustix::thread::CapabilitySet::empty(),
                inheritable: rustix::thread::CapabilitySet::empty(),
            };
            if rustix::thread::set_capabilities(None, everything).is_err() {
                return 2;
            }
            match probe_mounts(room) {
                Err(Error::NoMounts(missing @ Missing::UserNamespaces { .. })) => {
                    let told = "user namespaces are not available (sysctl user.max_user_namespaces is 0)";
                    if missing.to_string() == told && missing.hint().contains("max_user_namespaces") {
                        0
                    } else {
                        3
                    }
                }
                _ => 4,
            }
        });
        assert_eq!(child.unwrap().wait().unwrap(), Ended::Exited(0));
    });
}

#[test]
fn file_systems_that_cannot_hold_layers_are_named() {
    if !is_root() {
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let launching = rbuild_sys::launching();
    let child = rbuild_sys::fork(Keep::All, || {
        drop(launching);
        let ramfs = || {
            rbuild_sys::unshare(UnshareFlags::NEWNS)?;
            mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
            std::io::Result::Ok(mount("ramfs", room.path(), "ramfs", MountFlags::empty(), None)?)
        };
        if ramfs().is_err() {
            return 1;
        }
        match probe_mounts(room.path()) {
            Err(Error::NoMounts(missing @ Missing::Overlay { .. })) => {
                let named = missing.to_string().contains(&room.path().display().to_string());
                if named && missing.hint().contains("--root") {
                    0
                } else {
                    2
                }
            }
            _ => 3,
        }
    });
    assert_eq!(child.unwrap().wait().unwrap(), Ended::Exited(0));
}
