//! Each cage is what it says.

use std::{
    collections::HashMap,
    fs,
    io::ErrorKind,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
    process::Command,
};

use nix::{errno::Errno, mount::MsFlags, sched::CloneFlags, unistd::getuid};
use rbuild_testutils::cages::{Cage, USER, inside};

/// The fields of `/proc/self/status`.
fn status() -> HashMap<String, String> {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(field).collect()
}

fn mount_somewhere(room: &Path) -> nix::Result<()> {
    nix::mount::mount(Some("tmpfs"), room, Some("tmpfs"), MsFlags::empty(), None::<&str>)
}

#[test]
fn restricted_allows_nothing() {
    let was_root = getuid().is_root();
    inside(Cage::Restricted, |room| {
        let status = status();
        if was_root {
            assert_eq!(status["Uid"], "12345\t12345\t12345\t12345");
            assert_eq!((&*status["Gid"], &*status["Groups"]), ("0\t0\t0\t0", ""));
            assert_eq!(u64::from_str_radix(&status["CapBnd"], 16), Ok(0));
            let written = fs::write("/somewhere", "").unwrap_err();
            assert_eq!(written.kind(), ErrorKind::ReadOnlyFilesystem);
            let passwd = fs::read_to_string("/etc/passwd").unwrap();
            assert!(!passwd.contains(":12345:"), "{passwd}");
        }
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(u64::from_str_radix(&status[set], 16), Ok(0), "{set}");
        }
        assert_eq!((&*status["NoNewPrivs"], &*status["Seccomp"]), ("1", "2"));
        assert_eq!(mount_somewhere(room), Err(Errno::EPERM));
        for namespace in [CloneFlags::CLONE_NEWUSER, CloneFlags::CLONE_NEWNS] {
            assert_eq!(nix::sched::unshare(namespace), Err(Errno::EPERM));
        }
        assert_eq!(nix::unistd::chroot(room), Err(Errno::EPERM));
        fs::write(room.join("file"), "here it is allowed").unwrap();
        chown(room.join("file"), Some(1), None).unwrap_err();
    });
}

#[test]
fn ordinary_programs_run_in_restricted() {
    inside(Cage::Restricted, |room| {
        let script = "echo $(cat /proc/self/comm) | tee said; mkdir -p a/b; ls /proc/self/fd >/dev/null";
        let output = Command::new("/bin/sh")
            .args(["-ec", script])
            .current_dir(room)
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, b"cat\n");
        assert!(room.join("a/b").is_dir());
    });
}

#[test]
fn root_of_a_pod_is_root_without_mounts() {
    inside(Cage::PodRoot, |room| {
        let status = status();
        assert_eq!(status["Uid"], "0\t0\t0\t0");
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(status[set], "00000000a80425fb", "{set}");
        }
        assert_eq!((&*status["NoNewPrivs"], &*status["Seccomp"]), ("0", "2"));
        assert_eq!(mount_somewhere(room), Err(Errno::EPERM));
        assert_eq!(nix::sched::unshare(CloneFlags::CLONE_NEWUSER), Err(Errno::EPERM));
        let given = room.join("given");
        fs::write(&given, "").unwrap();
        chown(&given, Some(33), Some(44)).unwrap();
        let seen = fs::metadata(&given).unwrap();
        assert_eq!((seen.uid(), seen.gid()), (33, 44));
        assert!(fs::write("/proc/sys/kernel/hostname", "other").is_err());
        assert_eq!(fs::read("/proc/timer_list").unwrap_or_default(), b"");
    });
}

#[test]
fn a_single_user_has_namespaces_but_no_range() {
    inside(Cage::RootlessSingle, |room| {
        assert_eq!(status()["Uid"], [USER; 4].map(|id| id.to_string()).join("\t"));
        assert!(!Path::new("/usr/bin/newuidmap").is_file());
        nix::sched::unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).unwrap();
        fs::write("/proc/self/uid_map", format!("0 {USER} 1")).unwrap();
        assert!(getuid().is_root());
        mount_somewhere(room).unwrap();
    });
}

#[test]
fn what_fails_in_a_cage_fails_outside() {
    for cage in [Cage::Restricted, Cage::PodRoot] {
        if cage == Cage::PodRoot && !getuid().is_root() {
            continue;
        }
        let failed = std::panic::catch_unwind(|| inside(cage, |_| panic!("from within")));
        let panic = failed.unwrap_err();
        let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        assert!(message.contains("from within"), "{message}");
    }
}
