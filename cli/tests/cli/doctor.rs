//! `rbuild doctor`, and what a build says, in each kind of place.

use rbuild_testutils::{
    cages::{Cage, inside},
    skip,
};

use crate::common::{Place, Ran, program};

/// What differs between kernels, and what the tests need not have, whatever the place.
const OF_THE_KERNEL: [&str; 8] = [
    "kernel",
    "max_user_namespaces",
    "unprivileged_userns_clone",
    "AppArmor restricts user namespaces",
    "Yama ptrace_scope",
    "overlay lowerdir+",
    "synchronous wake-up",
    "qemu-user",
];

/// What differs between machines, where it is not part of the place.
const OF_THE_MACHINE: [&str; 4] = ["newuidmap", "newgidmap", "subuid", "subgid"];

/// Runs the command in a cage and compares what it prints, but for these lines and for numbers of mounts.
#[track_caller]
fn says(cage: Cage, but: &[&str], expected: &str) {
    if cage == Cage::Restricted && !is_root() {
        return skip("only root can make the whole of the cage Restricted");
    }
    program();
    inside(cage, |room| {
        let place = Place::within(room);
        let ran = match cage {
            Cage::Root => place.run(["doctor"]),
            _ => run_copy(&place, &["doctor"]),
        };
        let stdout = ran.succeeded().stdout;
        let but = [&OF_THE_KERNEL, but].concat();
        let lines = stdout.lines().map(|line| normal(line, &but) + "\n");
        assert_eq!(lines.collect::<String>(), expected);
    });
}

pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Runs the command from where everyone may. For processes without threads: a child of another thread could have the
/// copy open for writing, and then it cannot be run.
fn run_copy(place: &Place, arguments: &[&str]) -> Ran {
    let program = place.copy_of_program();
    place.finish(&place.command_through(program, arguments).output().unwrap())
}

fn normal(line: &str, but: &[&str]) -> String {
    let is_about = |name: &&&str| {
        line.strip_prefix(**name)
            .is_some_and(|rest| rest.starts_with("  "))
    };
    if let Some(name) = but.iter().find(is_about) {
        return format!("{name}  [MACHINE]");
    }
    let word = |word: &str| match word.parse::<u32>() {
        Ok(_) if line.starts_with("masked /proc") => "[NUMBER]".to_owned(),
        _ => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn root() {
    says(Cage::Root, &OF_THE_MACHINE, include_str!("doctor/root.txt"));
}

#[test]
fn pod_root() {
    says(
        Cage::PodRoot,
        &OF_THE_MACHINE,
        include_str!("doctor/pod-root.txt"),
    );
}

#[test]
fn rootless() {
    says(Cage::Rootless, &[], include_str!("doctor/rootless.txt"));
}

#[test]
fn rootless_single() {
    says(
        Cage::RootlessSingle,
        &[],
        include_str!("doctor/rootless-single.txt"),
    );
}

#[test]
fn restricted() {
    says(
        Cage::Restricted,
        &OF_THE_MACHINE,
        include_str!("doctor/restricted.txt"),
    );
}

#[test]
fn json_has_the_same() {
    let place = Place::new();
    let text = place.run(["doctor"]).succeeded().stdout;
    let json = place.run(["doctor", "--json"]).succeeded().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let (table, verdict) = text.split_once("\n\n").unwrap();
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(findings.len(), table.lines().count());
    for (finding, line) in findings.iter().zip(table.lines()) {
        assert!(line.starts_with(finding["name"].as_str().unwrap()), "{line}");
        let state = match finding["state"].as_bool() {
            Some(true) => " yes",
            Some(false) => " no",
            None => " -",
        };
        assert!(line.contains(state), "{line}");
        assert!(line.ends_with(finding["detail"].as_str().unwrap()), "{line}");
    }
    for part in ["isolation", "why", "cost"] {
        let expected = json["run"][part].as_str().unwrap_or("impossible");
        assert!(verdict.contains(expected), "{expected}");
    }
}

#[test]
fn isolation_that_is_not_there_is_an_error() {
    program();
    let outside = Place::new();
    outside.open_to_everyone();
    let base = format!("busybox=oci-layout://{}", outside.copy_of_busybox().display());
    inside(Cage::Restricted, |room| {
        let place = Place::within(room);
        place.write("app/Containerfile", "FROM busybox\nRUN true\n");
        let arguments = [
            "build",
            "-q",
            "--isolation",
            "mounts",
            "--build-context",
            &base,
            "app",
        ];
        let expected = "\
error: isolation by mounts is not available in this environment: user namespaces are not available (a seccomp filter is active, as in most containers)
  caused by: Operation not permitted (os error 1)
 --> app/Containerfile:2:1
  |
2 | RUN true
  | [CARETS]
hint: run as root with CAP_SYS_ADMIN, or allow user namespaces: sysctl user.max_user_namespaces (must not be 0), \
                 kernel.unprivileged_userns_clone=1 (Debian), kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)
";
        run_copy(&place, &arguments).failed(125, expected);
    });
}
