//! What can be read.

use std::{fs, path::Path};

use rustix::{
    process::{getgid, getuid},
    thread::CapabilitySet,
};

use super::Finding;
use crate::exec::{
    foreign::Machine,
    ids::{find, subordinate_ranges, user_name},
};

/// Who this process is, and what stands around it.
pub(super) fn read() -> Vec<Finding> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let status = |name: &str| field(&status, name).map(str::to_owned);
    let mut findings = vec![
        Finding::new(
            "kernel",
            None,
            rustix::system::uname().release().to_string_lossy(),
        ),
        user(),
        capability(),
        flag(
            "no_new_privs",
            status("NoNewPrivs"),
            "1",
            "set-user-id programs gain nothing",
        ),
        flag(
            "seccomp filter",
            status("Seccomp"),
            "2",
            "some system calls are refused",
        ),
        masked_proc(),
        setting("max_user_namespaces", "/proc/sys/user/max_user_namespaces"),
        setting(
            "unprivileged_userns_clone",
            "/proc/sys/kernel/unprivileged_userns_clone",
        ),
        setting(
            "AppArmor restricts user namespaces",
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        ),
        setting("Yama ptrace_scope", "/proc/sys/kernel/yama/ptrace_scope"),
    ];
    findings.extend(["newuidmap", "newgidmap"].map(program));
    findings.extend([("subuid", "/etc/subuid"), ("subgid", "/etc/subgid")].map(ranges));
    findings.push(emulators());
    findings.push(Finding::new("cgroups", None, "not needed"));
    findings
}

/// A field of `/proc/self/status`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let lines = status.lines().filter_map(|line| line.split_once(':'));
    lines
        .filter(|(found, _)| *found == name)
        .map(|(_, value)| value.trim())
        .next()
}

fn user() -> Finding {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let name = user_name(uid);
    let name = if name == uid.to_string() {
        "without a passwd entry".to_owned()
    } else {
        format!("named {name}")
    };
    Finding::new("user", None, format!("uid {uid}, gid {gid}, {name}"))
}

fn capability() -> Finding {
    let sets = rustix::thread::capabilities(None);
    let held = sets.is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    Finding::new("CAP_SYS_ADMIN", Some(held), "")
}

fn flag(name: &'static str, value: Option<String>, set: &str, meaning: &str) -> Finding {
    let Some(value) = value else {
        return Finding::new(name, None, "not told by /proc/self/status");
    };
    let is_set = value == set;
    Finding::new(name, Some(is_set), if is_set { meaning } else { "" })
}

/// Container runtimes hide parts of `/proc` under mounts; a new proc can then not be mounted in a user namespace.
fn masked_proc() -> Finding {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hidden = masked_parts(&table);
    let detail = if hidden == 0 {
        String::new()
    } else {
        format!("{hidden} mounts hide or protect parts of it")
    };
    Finding::new("masked /proc", Some(hidden > 0), detail)
}

/// How many mounts there are below `/proc`. What the kernel itself mounts there on demand hides nothing.
fn masked_parts(table: &str) -> usize {
    let places = table.lines().filter_map(|line| line.split(' ').nth(4));
    places
        .filter(|place| place.starts_with("/proc/") && *place != "/proc/sys/fs/binfmt_misc")
        .count()
}

fn setting(name: &'static str, path: &str) -> Finding {
    match fs::read_to_string(path) {
        Ok(value) => Finding::new(name, None, value.trim()),
        Err(_) => Finding::new(name, None, "this kernel has no such setting"),
    }
}

fn program(name: &'static str) -> Finding {
    match find(name) {
        Some(path) => Finding::new(name, Some(true), path.display().to_string()),
        None => Finding::new(name, Some(false), "not installed"),
    }
}

fn ranges((name, file): (&'static str, &'static str)) -> Finding {
    let uid = getuid().as_raw();
    let user = user_name(uid);
    let text = fs::read_to_string(Path::new(file)).unwrap_or_default();
    let ranges = subordinate_ranges(&text, &user, uid);
    if ranges.is_empty() {
        return Finding::new(name, Some(false), format!("{file} has no range for {user}"));
    }
    let words = ranges
        .iter()
        .map(|(start, count)| format!("{count} ids from {start}"));
    Finding::new(name, Some(true), words.collect::<Vec<_>>().join(", "))
}

/// What runs programs of other machines.
fn emulators() -> Finding {
    let found = Machine::others().filter(|machine| machine.emulator().is_some());
    let found: Vec<_> = found.map(|machine| machine.architecture).collect();
    let detail = match found.is_empty() {
        true => "package qemu-user-static: RUN for other platforms".to_owned(),
        false => format!("RUN for {}", found.join(", ")),
    };
    Finding::new("qemu-user", Some(!found.is_empty()), detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let status = "Name:\ttest\nNoNewPrivs:\t1\nSeccomp:\t0\n";
        assert_eq!(field(status, "NoNewPrivs"), Some("1"));
        assert_eq!(field(status, "Seccomp"), Some("0"));
        assert_eq!(field(status, "Sec"), None);
        let table = "22 1 0:20 / / rw - ext4 /dev/vda rw\n\
                     23 22 0:21 / /proc rw - proc proc rw\n\
                     24 23 0:22 / /proc/sys/fs/binfmt_misc rw - binfmt_misc none rw\n\
                     25 23 0:5 /null /proc/kcore rw - devtmpfs dev rw\n\
                     26 23 0:21 /sys /proc/sys ro - proc proc rw\n";
        assert_eq!(masked_parts(table), 2);
    }

    #[test]
    fn flags_are_told_apart_from_silence() {
        assert_eq!(
            flag("x", Some("1".to_owned()), "1", "so"),
            Finding::new("x", Some(true), "so")
        );
        assert_eq!(
            flag("x", Some("0".to_owned()), "1", "so"),
            Finding::new("x", Some(false), "")
        );
        assert_eq!(flag("x", None, "1", "so").state, None);
    }
}
