//! Flags of `docker build`, `docker buildx build`, `podman build` and `buildah bud` that `rbuild build` does not have.

use std::ffi::OsString;

/// What becomes of a flag.
#[derive(Clone, Copy)]
enum Verdict {
    /// It asks for what is so in any case.
    Fine,
    /// It is taken and changes nothing, for this reason.
    Nothing(&'static str),
    /// It cannot be had, for this reason.
    No(&'static str),
    /// As `Fine` with one of these values, and otherwise it cannot be had.
    Only(&'static [&'static str], &'static str),
}

use Verdict::{Fine, No, Nothing, Only};

const LIMITS: &str = "a RUN has the limits of this process";
const CONFINED: &str = "what a RUN may do is for the isolation to say: see `rbuild doctor`";
const NAMESPACES: &str = "a RUN has namespaces of its own where there are any";
const ATTEST: &str = "attestations are not made";

/// Name, letter, whether it takes a value, what becomes of it.
const FLAGS: [(&str, &str, bool, Verdict); 67] = [
    (
        "add-host",
        "",
        true,
        No("a RUN sees the hosts file of this machine's resolver and its own name"),
    ),
    (
        "allow",
        "",
        true,
        Only(&["network.host"], "a RUN gets no privileges"),
    ),
    (
        "annotation",
        "",
        true,
        No("use --label, or `rbuild config --annotation` on the image"),
    ),
    ("arch", "", true, No("use --platform OS/ARCH")),
    (
        "attest",
        "",
        true,
        Only(
            &["type=provenance,disabled=true", "type=sbom,disabled=true"],
            ATTEST,
        ),
    ),
    ("blob-cache", "", true, Nothing("the store keeps blobs")),
    ("builder", "", true, Nothing("there is no builder to choose")),
    ("cap-add", "", true, Nothing(CONFINED)),
    ("cap-drop", "", true, Nothing(CONFINED)),
    ("cgroup-parent", "", true, Nothing(LIMITS)),
    ("cgroupns", "", true, Nothing(NAMESPACES)),
    ("compress", "", false, Fine),
    ("cpu-period", "", true, Nothing(LIMITS)),
    ("cpu-quota", "", true, Nothing(LIMITS)),
    ("cpu-shares", "c", true, Nothing(LIMITS)),
    ("cpuset-cpus", "", true, Nothing(LIMITS)),
    ("cpuset-mems", "", true, Nothing(LIMITS)),
    ("debug", "D", false, Nothing("there is nothing to debug with")),
    (
        "decryption-key",
        "",
        true,
        No("encrypted images are not supported"),
    ),
    ("device", "", true, No("a RUN gets no devices of the machine")),
    ("disable-compression", "", false, No("use --compression=none")),
    ("dns", "", true, No("a RUN sees this machine's resolver")),
    ("dns-option", "", true, No("a RUN sees this machine's resolver")),
    ("dns-search", "", true, No("a RUN sees this machine's resolver")),
    (
        "env",
        "",
        true,
        No("say it in the Containerfile: ENV, or ARG with --build-arg"),
    ),
    ("force-rm", "", false, Fine),
    (
        "format",
        "",
        true,
        Only(
            &["oci"],
            "images are of the OCI's format; -o type=docker makes an archive for docker",
        ),
    ),
    (
        "from",
        "",
        true,
        No("use --build-context NAME=docker-image://IMAGE"),
    ),
    ("group-add", "", true, Nothing(CONFINED)),
    ("hooks-dir", "", true, Nothing("no hooks are run")),
    ("http-proxy", "", false, Fine),
    (
        "ignorefile",
        "",
        true,
        No("put it beside the Containerfile, as FILE.dockerignore"),
    ),
    ("ipc", "", true, Nothing(NAMESPACES)),
    (
        "jobs",
        "",
        true,
        Nothing("stages that can be built side by side are"),
    ),
    ("layers", "", false, Fine),
    ("load", "", false, Fine),
    ("logfile", "", true, No("redirect standard error")),
    ("log-rusage", "", false, Nothing("what a RUN used is not counted")),
    (
        "manifest",
        "",
        true,
        No("use `rbuild index` on the images of single platforms"),
    ),
    ("memory", "m", true, Nothing(LIMITS)),
    ("memory-swap", "", true, Nothing(LIMITS)),
    (
        "network",
        "",
        true,
        Only(
            &["default", "host"],
            "say it where it is meant: RUN --network=none",
        ),
    ),
    ("no-cache-filter", "", true, No("use --no-cache")),
    (
        "no-hostname",
        "",
        false,
        Nothing("files that are mounted for a RUN never get into the image"),
    ),
    (
        "no-hosts",
        "",
        false,
        Nothing("files that are mounted for a RUN never get into the image"),
    ),
    (
        "omit-history",
        "",
        false,
        No("history is part of what is compared and found again"),
    ),
    ("os", "", true, No("use --platform OS/ARCH")),
    ("pid", "", true, Nothing(NAMESPACES)),
    ("provenance", "", true, Only(&["false"], ATTEST)),
    (
        "retry",
        "",
        true,
        Nothing("what fails and may work later is tried again"),
    ),
    (
        "retry-delay",
        "",
        true,
        Nothing("what fails and may work later is tried again"),
    ),
    ("rm", "", false, Fine),
    ("runtime", "", true, Nothing("no other program runs a RUN")),
    ("runtime-flag", "", true, Nothing("no other program runs a RUN")),
    ("sbom", "", true, Only(&["false"], ATTEST)),
    ("security-opt", "", true, Nothing(CONFINED)),
    ("shm-size", "", true, Nothing(LIMITS)),
    ("sign-by", "", true, No("images are not signed")),
    ("skip-unused-stages", "", false, Fine),
    ("squash-all", "", false, No("use `rbuild squash` on the image")),
    (
        "tls-verify",
        "",
        true,
        Only(
            &["true"],
            "registries on the loopback interface need no TLS, others do",
        ),
    ),
    ("ulimit", "", true, Nothing(LIMITS)),
    ("unsetenv", "", true, No("say it in the Containerfile")),
    ("userns", "", true, Nothing(NAMESPACES)),
    ("uts", "", true, Nothing(NAMESPACES)),
    ("variant", "", true, No("use --platform OS/ARCH/VARIANT")),
    ("volume", "v", true, No("use RUN --mount in the Containerfile")),
];

/// Takes out what this command does not have, and gives what it has by another name.
pub fn translate(arguments: &mut Vec<OsString>, notices: &mut Vec<String>) -> Result<(), String> {
    let mut kept: Vec<OsString> = arguments.drain(..2.min(arguments.len())).collect();
    let mut rest = std::mem::take(arguments).into_iter();
    while let Some(argument) = rest.next() {
        let Some(text) = argument.to_str() else {
            kept.push(argument);
            continue;
        };
        if text == "--" {
            kept.push(argument);
            kept.extend(rest.by_ref());
            break;
        }
        let (name, value) = split(text);
        if let Some(renamed) = renamed(text) {
            kept.extend(renamed.iter().map(OsString::from));
            continue;
        }
        let Some((long, _, takes, verdict)) = FLAGS.iter().find(|(long, letter, ..)| {
            name.is_some_and(|name| name == *long || (!letter.is_empty() && name == *letter))
        }) else {
            kept.push(argument);
            continue;
        };
        let value = match (value, takes) {
            (Some(value), _) => value.to_owned(),
            (None, true) => rest.next().unwrap_or_default().to_string_lossy().into_owned(),
            (None, false) => String::new(),
        };
        match verdict {
            Fine => {}
            Nothing(why) => notices.push(format!("--{long} changes nothing: {why}")),
            Only(values, _) if values.contains(&value.as_str()) => {}
            Only(_, why) => return Err(format!("--{long} {value}: {why}")),
            No(why) => return Err(format!("--{long} cannot be had: {why}")),
        }
    }
    *arguments = kept;
    Ok(())
}

/// A flag's name, and the value behind `=`.
fn split(text: &str) -> (Option<&str>, Option<&str>) {
    let name = match text.strip_prefix("--") {
        Some(long) => Some(long),
        None => text.strip_prefix('-').filter(|letter| letter.len() == 1),
    };
    match name.and_then(|name| name.split_once('=')) {
        Some((name, value)) => (Some(name), Some(value)),
        None => (name, None),
    }
}

/// Flags that are here by another name, or with other values.
fn renamed(text: &str) -> Option<&'static [&'static str]> {
    Some(match text {
        "--pull=always" | "--pull=newer" | "--pull=ifnewer" | "--pull-always" => &["--pull"],
        "--pull=missing" | "--pull=ifmissing" | "--pull=never" | "--pull-never" | "--load=true" => &[],
        "--progress=quiet" => &["--quiet"],
        "--progress=rawjson" => &["--progress=json"],
        "--call=build" => &[],
        "--call=check" => &["--check"],
        "--isolation=oci" | "--isolation=rootless" | "--isolation=chroot" | "--isolation=default" => &[],
        _ => return None,
    })
}
