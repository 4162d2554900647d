//! What a run sees, and what it leaves behind; as root and as an ordinary user.

mod ids;
mod leftovers;
mod mounts;
mod probe;
mod process;
mod view;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use rbuild_testutils::{
    cages::{Cage, in_each_cage},
    need,
};

use super::{
    Cancel, Engine, Error, Mount, MountKind, Network, Outcome, ProbeConfig, RunSpec, User, Whiteouts,
};

/// A machine with an engine and a base layer that holds busybox.
pub(crate) struct Bench {
    pub cage: Cage,
    pub engine: Engine,
    pub room: PathBuf,
}

/// What came of a run.
pub(crate) struct Ran {
    pub result: Result<Outcome, Error>,
    pub stdout: String,
    pub stderr: String,
    pub upper: PathBuf,
}

/// Checks something in each cage.
pub(crate) fn on_each_bench(check: impl Fn(&Bench)) {
    if need("busybox").is_none() {
        return;
    }
    in_each_cage(|cage, room| {
        let engine = Engine::probe(&ProbeConfig::new(room)).expect("an engine");
        let bench = Bench {
            cage,
            engine,
            room: room.to_owned(),
        };
        bench.make_base();
        check(&bench);
        bench
            .engine
            .remove_tree(&room.join("runs"))
            .expect("runs removed");
    });
}

impl Bench {
    pub fn base(&self) -> PathBuf {
        self.room.join("base")
    }

    fn make_base(&self) {
        let base = self.base();
        for directory in ["bin", "etc", "root", "tmp", "home", "usr/bin"] {
            fs::create_dir_all(base.join(directory)).unwrap();
        }
        let mode = |path: &str, mode| {
            fs::set_permissions(base.join(path), fs::Permissions::from_mode(mode)).unwrap()
        };
        mode("tmp", 0o1777);
        fs::copy(need("busybox").unwrap(), base.join("bin/busybox")).unwrap();
        let applets = "sh cat ls id touch mkdir rm rmdir mv ln chown chmod sleep kill stat readlink env true false \
                       hostname umask tty sort sed grep mknod mount head wc dd setsid su ps test echo ip chroot \
                       printf find tr cut mkfifo";
        for applet in applets.split_whitespace() {
            symlink("busybox", base.join("bin").join(applet)).unwrap();
        }
        fs::write(base.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        fs::create_dir(self.room.join("runs")).unwrap();
    }

    /// A run of a shell script on the base.
    pub fn script(&self, script: &str) -> RunSpec {
        self.spec(&["/bin/sh", "-c", script])
    }

    pub fn spec(&self, argv: &[&str]) -> RunSpec {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let run = self.room.join(format!("runs/{number}"));
        for directory in ["upper", "work", "spare"] {
            fs::create_dir_all(run.join(directory)).unwrap();
        }
        RunSpec {
            lowers: vec![self.base()],
            farm: None,
            upper: run.join("upper"),
            work: run.join("work"),
            spare: run.join("spare"),
            argv: argv.iter().map(Into::into).collect(),
            env: vec!["PATH=/usr/bin:/bin".into()],
            cwd: "/".into(),
            user: User::default(),
            mounts: Vec::new(),
            network: Network::Host,
            hostname: "bench".to_owned(),
        }
    }

    pub fn run(&self, spec: &RunSpec) -> Ran {
        self.run_with(spec, &Cancel::new().unwrap())
    }

    pub fn run_with(&self, spec: &RunSpec, cancel: &Cancel) -> Ran {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let result = self.engine.run(spec, cancel, &mut |stream, bytes| match stream {
            crate::event::Stream::Stdout => stdout.extend_from_slice(bytes),
            crate::event::Stream::Stderr => stderr.extend_from_slice(bytes),
        });
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran {
            result,
            stdout: text(stdout),
            stderr: text(stderr),
            upper: spec.upper.clone(),
        }
    }

    /// What a script on the base prints; it must succeed and print no errors.
    pub fn prints(&self, script: &str) -> String {
        self.run(&self.script(script)).ok()
    }
}

impl Ran {
    /// Standard output of a run that succeeded without a word on standard error.
    pub fn ok(self) -> String {
        assert!(
            matches!(self.result, Ok(Outcome::Exited(0))) && self.stderr.is_empty(),
            "{:?} {:?} {:?}",
            self.result,
            self.stdout,
            self.stderr
        );
        self.stdout
    }

    /// Names in the upper directory, those of directories with a slash.
    pub fn written(&self) -> Vec<String> {
        let mut names = Vec::new();
        list(&self.upper, "", &mut names);
        names.sort();
        names
    }
}

fn list(directory: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            names.push(format!("{name}/"));
            list(&entry.path(), &format!("{name}/"), names);
        } else {
            names.push(name);
        }
    }
}
