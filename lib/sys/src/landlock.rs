//! Landlock: a process gives up what it could do with files, for good.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

const EXECUTE: u64 = 1;
const READ_FILE: u64 = 1 << 2;

/// Rights by the version that brought them, from the first: how many bits there are.
const RIGHTS: [u32; 5] = [13, 14, 15, 15, 16];

/// Versions that know of the network, and of sockets without names and signals.
const WITH_NETWORK: libc::c_long = 4;
const WITH_SCOPES: libc::c_long = 6;

/// Sockets without names, and signals: only within.
const SCOPES: u64 = 3;

/// `LANDLOCK_CREATE_RULESET_VERSION`
const ASK_FOR_VERSION: libc::c_ulong = 1;
/// `LANDLOCK_RULE_PATH_BENEATH`
const BENEATH: libc::c_ulong = 1;

#[repr(C)]
struct Ruleset {
    files: u64,
    network: u64,
    scopes: u64,
}

#[repr(C, packed)]
struct Rule {
    rights: u64,
    directory: i32,
}

/// The calling thread, and all that it starts from now on, opens no file any more but to execute what is in these
/// directories; what is open already stays so. Where the kernel can, it sends no signals to other processes, and does
/// not connect to their sockets that have no names.
///
/// # Errors
/// ENOSYS or EOPNOTSUPP if this kernel has no Landlock; EPERM without no_new_privs.
pub fn give_up_files(programs: &[BorrowedFd<'_>]) -> io::Result<()> {
    // SAFETY: with this flag the kernel wants neither a pointer nor a size.
    let version = checked(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<Ruleset>(),
            0_usize,
            ASK_FOR_VERSION,
        )
    })?;
    let index = usize::try_from(version - 1)
        .unwrap_or_default()
        .min(RIGHTS.len() - 1);
    let ruleset = Ruleset {
        files: (1 << RIGHTS[index]) - 1,
        network: 0,
        scopes: if version >= WITH_SCOPES { SCOPES } else { 0 },
    };
    let size = match version {
        ..WITH_NETWORK => 8,
        WITH_NETWORK..WITH_SCOPES => 16,
        _ => size_of::<Ruleset>(),
    };
    // SAFETY: the pointer is to a structure of at least this size, which the call reads.
    let descriptor = checked(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const ruleset,
            size,
            0 as libc::c_ulong,
        )
    })?;
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it, and nobody else knows it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    for directory in programs {
        allow(descriptor.as_fd(), *directory)?;
    }
    // SAFETY: no pointers.
    checked(unsafe {
        libc::syscall(
            libc::SYS_landlock_restrict_self,
            descriptor.as_raw_fd(),
            0 as libc::c_ulong,
        )
    })
    .map(drop)
}

fn allow(ruleset: BorrowedFd<'_>, directory: BorrowedFd<'_>) -> io::Result<()> {
    let rule = Rule {
        rights: EXECUTE | READ_FILE,
        directory: directory.as_raw_fd(),
    };
    // SAFETY: the pointer is to the structure that rules of this kind are, which the call reads.
    checked(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            BENEATH,
            &raw const rule,
            0 as libc::c_ulong,
        )
    })
    .map(drop)
}

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::{Ended, Keep, fork};

    #[test]
    fn only_programs_are_left() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "text").unwrap();
        let opened = File::open(directory.path()).unwrap();
        let mut child = fork(Keep::All, || {
            rustix::thread::set_no_new_privs(true).unwrap();
            match give_up_files(&[opened.as_fd()]) {
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EOPNOTSUPP)) => {
                    return 77;
                }
                other => other.unwrap(),
            }
            let read = fs::read(directory.path().join("file")).is_ok();
            let wrote = fs::write(directory.path().join("file"), "other").is_ok();
            let elsewhere = File::open("/proc/self/status").is_ok();
            let parent = rustix::process::getppid().unwrap();
            let signalled = rustix::process::test_kill_process(parent).is_ok();
            i32::from(read) | i32::from(wrote) << 1 | i32::from(elsewhere) << 2 | i32::from(signalled) << 3
        })
        .unwrap();
        match child.wait().unwrap() {
            // Signals are kept in by Linux 6.12 and later only.
            Ended::Exited(77 | 1 | 9) => {}
            other => panic!("{other:?}"),
        }
    }
}
