//! The last steps of a child on its way to become the payload.

use std::{
    convert::Infallible,
    ffi::{CString, OsStr, OsString},
    fs::File,
    io::Read,
    os::{
        fd::BorrowedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid},
    io::Errno,
    process::{Resource, Rlimit, Signal, getrlimit, setrlimit},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
        set_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::exec::{
    RunSpec, User,
    child::{Doing, Report},
    foreign::machine_of,
    spec::CAPABILITIES,
};

/// Programs that walk all possible descriptors should not take minutes for it.
const MOST_DESCRIPTORS: u64 = 1 << 20;

/// Turns this process, which is in its root already, into the payload. `monitor` is a handle of the process that
/// watches it.
pub(super) fn become_payload(
    spec: &RunSpec,
    output: [BorrowedFd<'_>; 2],
    monitor: BorrowedFd<'_>,
) -> Result<Infallible, Report> {
    let words = Words::of(spec)?;
    let _ = rbuild_sys::new_session_keyring();
    rustix::process::chdir(&spec.cwd)
        .doing(|| format!("change to the working directory {}", spec.cwd.display()))?;
    streams(output, &spec.user)?;
    limits().doing(|| "set resource limits".to_owned())?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    become_user(&spec.user)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .doing(|| "ask to end with the parent process".to_owned())?;
    if super::is_ready(monitor) {
        return Err(Report::Failed("the parent process is gone".to_owned()));
    }
    rbuild_sys::default_signals(&[]);
    execute(spec, &words)
}

/// Arguments and environment as `exec` wants them.
pub(in crate::exec) struct Words {
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl Words {
    pub fn of(spec: &RunSpec) -> Result<Self, Report> {
        let (argv, env) = (c_strings(&spec.argv)?, c_strings(&spec.env)?);
        Ok(Self { argv, env })
    }
}

fn c_strings(strings: &[OsString]) -> Result<Vec<CString>, Report> {
    let c_string = |string: &OsString| {
        CString::new(string.as_bytes()).map_err(|_| Report::Start {
            code: 126,
            reason: format!("{string:?} has a NUL character in it"),
        })
    };
    strings.iter().map(c_string).collect()
}

/// Standard input is empty. The output pipes belong to the user, who could not open `/dev/stdout` otherwise.
fn streams(output: [BorrowedFd<'_>; 2], user: &User) -> Result<(), Report> {
    for pipe in output {
        rustix::fs::fchown(pipe, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))
            .map_err(|error| not_that_user(user, error))?;
    }
    let redirect = || {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(null)?;
        rustix::stdio::dup2_stdout(output[0])?;
        rustix::stdio::dup2_stderr(output[1])
    };
    redirect().doing(|| "set up standard input and output".to_owned())
}

fn not_that_user(user: &User, error: Errno) -> Report {
    let User { uid, gid, groups } = user;
    match error {
        Errno::INVAL => Report::Failed(format!(
            "user {uid}:{gid} {groups:?} has ids beyond the range that /etc/subuid and /etc/subgid give to this user"
        )),
        error => Report::Setup {
            what: format!("become user {uid}:{gid} {groups:?}"),
            errno: error.raw_os_error(),
        },
    }
}

pub(in crate::exec) fn limits() -> rustix::io::Result<()> {
    let files = getrlimit(Resource::Nofile);
    let hard = files.maximum.unwrap_or(MOST_DESCRIPTORS).min(MOST_DESCRIPTORS);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(hard),
            maximum: Some(hard),
        },
    )?;
    let core = getrlimit(Resource::Core);
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: core.maximum,
        },
    )
}

/// Gives up all that the user should not have. Root keeps the capabilities of a container; `exec` gives it those that
/// are left in the bounding set, and takes all from the others.
fn become_user(user: &User) -> Result<(), Report> {
    for capability in CapabilitySet::all().difference(CAPABILITIES).iter() {
        match remove_capability_from_bounding_set(capability) {
            // This kernel is older than the capability.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => return Err(error).doing(|| "give up capabilities".to_owned()),
        }
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    set_thread_groups(&groups)
        .and_then(|()| set_thread_res_gid(gid, gid, gid))
        .and_then(|()| set_thread_res_uid(uid, uid, uid))
        .doing(|| {
            format!(
                "become user {}:{} with groups {:?}",
                user.uid, user.gid, user.groups
            )
        })?;
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    let kept = if user.uid == 0 { CAPABILITIES } else { none };
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: none,
        },
    )
    .doing(|| "give up capabilities".to_owned())
}

/// Starts the program: as named where the name has a slash, else the first of that name in `PATH`. The current
/// directory is not searched, whatever `PATH` says.
pub(in crate::exec) fn execute(spec: &RunSpec, words: &Words) -> Result<Infallible, Report> {
    let Some(program) = spec.argv.first().filter(|name| !name.is_empty()) else {
        return Err(Report::Start {
            code: 127,
            reason: "there is no program to run".to_owned(),
        });
    };
    let found = if program.as_bytes().contains(&b'/') {
        program.into()
    } else {
        search(program, &spec.env)?
    };
    let path = CString::new(found.as_os_str().as_bytes()).unwrap_or_default();
    let Err(error) = nix::unistd::execve(&path, &words.argv, &words.env);
    Err(why_not(&found, Errno::from_raw_os_error(error as i32)))
}

fn search(program: &OsStr, env: &[OsString]) -> Result<PathBuf, Report> {
    let path = env
        .iter()
        .rev()
        .find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="));
    let path = path.unwrap_or_default();
    let mut denied = None;
    for directory in path
        .split(|byte| *byte == b':')
        .filter(|directory| directory.starts_with(b"/"))
    {
        let candidate = Path::new(OsStr::from_bytes(directory)).join(program);
        let Ok(stat) = rustix::fs::stat(&candidate) else {
            continue;
        };
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            continue;
        }
        match rustix::fs::accessat(CWD, &candidate, Access::EXEC_OK, AtFlags::EACCESS) {
            Ok(()) => return Ok(candidate),
            Err(_) => denied = denied.or(Some(candidate)),
        }
    }
    Err(match denied {
        Some(found) => why_not(&found, Errno::ACCESS),
        None => {
            let path = String::from_utf8_lossy(path);
            Report::Start {
                code: 127,
                reason: format!("not found in PATH ({path})"),
            }
        }
    })
}

/// What a shell would say, and its code.
fn why_not(path: &Path, error: Errno) -> Report {
    let shown = path.display();
    if matches!(error, Errno::NOEXEC | Errno::NOENT)
        && let Some(machine) = machine_of(path)
    {
        return Report::Foreign {
            machine: machine.name().to_owned(),
        };
    }
    let (code, reason) = match error {
        Errno::NOENT if rustix::fs::lstat(path).is_err() => (127, format!("{shown} does not exist")),
        Errno::NOENT => (127, format!("{shown} exists, but {}", missing_helper(path))),
        Errno::NOTDIR => (127, format!("{shown} does not exist")),
        Errno::ACCESS => (126, format!("{shown} cannot be executed: permission denied")),
        Errno::NOEXEC => (
            126,
            format!("{shown} is not a program that this machine can execute"),
        ),
        Errno::TOOBIG => (126, "arguments and environment are too long".to_owned()),
        error => (126, format!("{shown}: {}", std::io::Error::from(error))),
    };
    Report::Start { code, reason }
}

/// A program that exists and yet is not found lacks what should load it.
fn missing_helper(path: &Path) -> String {
    let mut start = [0; 256];
    let read = File::open(path)
        .and_then(|mut file| file.read(&mut start))
        .unwrap_or_default();
    let line = start[..read]
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    match line.strip_prefix(b"#!") {
        Some(interpreter) => {
            let interpreter = interpreter
                .trim_ascii()
                .split(|byte| *byte == b' ')
                .next()
                .unwrap_or_default();
            let interpreter = OsString::from_vec(interpreter.to_vec());
            format!("its interpreter {} does not", Path::new(&interpreter).display())
        }
        None => "its dynamic loader does not, or it is a dangling link".to_owned(),
    }
}
