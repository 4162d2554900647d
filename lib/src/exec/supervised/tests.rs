//! Runs with the simplest names there are: those of one directory, by the kernel.

use std::{
    fs,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
};

use rbuild_testutils::{
    cages::{Cage, inside},
    need,
};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

use super::{
    Family, Process, Program, Programs, SetIds, Shared,
    run::{Place, run},
};
use crate::exec::{Cancel, Error, Network, Outcome, RunSpec, User};

#[derive(Debug)]
struct Plain(OwnedFd);

pub(super) fn open_in(root: impl AsFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    openat2(
        root,
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT,
    )
}

impl Programs for Plain {
    fn named(&self, _: &Process, directory: &OwnedFd, path: &[u8], _: bool) -> Result<Program, Errno> {
        let base = if path.starts_with(b"/") {
            &self.0
        } else {
            directory
        };
        let file = open_in(base, path, OFlags::PATH)?;
        let stat = rustix::fs::fstat(&file)?;
        if stat.st_mode & 0o170_111 <= 0o100_000 {
            return Err(Errno::ACCESS);
        }
        Ok(Program {
            file,
            path: path.to_vec(),
            set_ids: SetIds {
                user: (stat.st_mode & 0o4000 != 0).then_some(0),
                ..SetIds::default()
            },
        })
    }

    fn open(&self, _: &Process, file: OwnedFd) -> Result<Program, Errno> {
        Ok(Program {
            file,
            path: b"/nameless".to_vec(),
            set_ids: SetIds::default(),
        })
    }
}

struct Bench {
    root: PathBuf,
    room: PathBuf,
}

struct Ran {
    result: Result<Outcome, Error>,
    stdout: String,
    stderr: String,
}

impl Bench {
    fn new(room: &Path) -> Self {
        let root = room.join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::copy(need("busybox").unwrap(), root.join("bin/busybox")).unwrap();
        Self {
            root,
            room: room.to_owned(),
        }
    }

    fn file(&self, path: &str, mode: u32, text: &str) {
        let path = self.root.join(path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn run(&self, argv: &[&str], user: User) -> Ran {
        let programs = tempfile::tempdir_in(&self.room).unwrap();
        let open = || rustix::fs::open(&self.root, OFlags::PATH, Mode::empty()).unwrap();
        let shared = Shared {
            family: Family::default(),
            programs: Box::new(Plain(open())),
            hostname: "bench".to_owned(),
        };
        let spec = RunSpec {
            lowers: Vec::new(),
            upper: PathBuf::new(),
            work: PathBuf::new(),
            spare: PathBuf::new(),
            farm: None,
            argv: argv.iter().map(Into::into).collect(),
            env: vec!["PATH=/bin".into()],
            cwd: "/".into(),
            user,
            mounts: Vec::new(),
            network: Network::Host,
            hostname: "bench".to_owned(),
        };
        let place = Place {
            shared: &shared,
            root: open(),
            programs: programs.path(),
        };
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let result = run(
            &spec,
            place,
            &Cancel::new().unwrap(),
            &mut |stream, bytes| match stream {
                crate::event::Stream::Stdout => stdout.extend_from_slice(bytes),
                crate::event::Stream::Stderr => stderr.extend_from_slice(bytes),
            },
        );
        let text = |bytes| String::from_utf8(bytes).unwrap();
        assert!(shared.family.threads().is_empty());
        Ran {
            result,
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }

    fn prints(&self, script: &str) -> String {
        self.run(&["/bin/busybox", "sh", "-c", script], User::default())
            .ok()
    }
}

impl Ran {
    fn ok(self) -> String {
        assert!(
            matches!(self.result, Ok(Outcome::Exited(0))) && self.stderr.is_empty(),
            "{:?} {:?} {:?}",
            self.result,
            self.stdout,
            self.stderr
        );
        self.stdout
    }
}

fn on_a_bench(check: impl Fn(&Bench)) {
    if need("busybox").is_none() {
        return;
    }
    inside(Cage::Restricted, |room| check(&Bench::new(room)));
}

#[test]
fn ids() {
    on_a_bench(|bench| {
        assert_eq!(bench.prints("/bin/busybox id -u; /bin/busybox id -G"), "0\n0\n");
    });
}

#[test]
fn pipelines_and_scripts() {
    on_a_bench(|bench| {
        bench.file(
            "bin/s",
            0o755,
            "#!/bin/busybox sh\necho $0 \"$@\"; exec /bin/busybox cat\n",
        );
        bench.file("bin/t", 0o755, "#!/bin/s  an option \n");
        assert_eq!(
            bench.prints("/bin/busybox echo hello | /bin/busybox cat | /bin/s a 'b c'"),
            "/bin/s a b c\nhello\n"
        );
        assert_eq!(
            bench.prints(": | /bin/t x; echo $?"),
            "/bin/s an option /bin/t x\n0\n"
        );
    });
}
