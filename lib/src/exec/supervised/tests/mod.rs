//! Runs in a root with nothing but busybox in it.

mod families;
mod files;
mod hostile;
mod surroundings;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use tempfile::TempDir;

use rbuild_testutils::{
    cages::{Cage, inside},
    need,
};

use super::{
    Family, Shared,
    run::{Place, run},
};
use crate::{
    exec::{
        Cancel, Error, Network, Outcome, RunSpec, User,
        farm::{Contents, Farm, View},
    },
    tree::{Content, Kind, Metadata, Node, Origin, Tree},
};

/// A directory as a tree, owned by root.
fn tree_of(root: &Path) -> Tree {
    let mut tree = Tree::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry.unwrap();
        let stat = entry.metadata().unwrap();
        let metadata = Metadata {
            mode: stat.permissions().mode() & 0o7777,
            ..Metadata::default()
        };
        let kind = match stat.file_type() {
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_symlink() => Kind::Symlink(fs::read_link(entry.path()).unwrap().into()),
            _ => Kind::File(Content {
                size: stat.len(),
                digest: None,
                origin: Origin::Disk(entry.path().into()),
            }),
        };
        let path = entry.path().strip_prefix(root).unwrap();
        tree.insert(path, Node { metadata, kind }).unwrap();
    }
    tree
}

struct Bench {
    network: Network,
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
            network: Network::Host,
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
        self.run_with(argv, user, &Cancel::new().unwrap())
    }

    fn run_with(&self, argv: &[&str], user: User, cancel: &Cancel) -> Ran {
        let programs = tempfile::tempdir_in(&self.room).unwrap();
        let tree = tree_of(&self.root);
        let farm = Arc::new(Farm::make(programs.path(), &tree, &Contents::new()).unwrap());
        let spec = RunSpec {
            lowers: Vec::new(),
            farm: Some(farm.clone()),
            upper: PathBuf::new(),
            work: PathBuf::new(),
            spare: PathBuf::new(),
            argv: argv.iter().map(Into::into).collect(),
            env: vec!["PATH=/bin".into()],
            cwd: "/".into(),
            user,
            mounts: Vec::new(),
            network: self.network,
            hostname: "bench".to_owned(),
        };
        let mut view = View::new(farm.clone()).unwrap();
        view.mount_all(&spec).unwrap();
        let shared = Shared {
            family: Family::default(),
            view: Arc::new(view),
            hostname: "bench".to_owned(),
            sockets: Default::default(),
            ipc: Default::default(),
            watches: Default::default(),
            processors: Default::default(),
        };
        let place = Place {
            shared: &shared,
            programs: &farm.private().unwrap(),
        };
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let result = run(&spec, place, cancel, &mut |stream, bytes| match stream {
            crate::event::Stream::Stdout => stdout.extend_from_slice(bytes),
            crate::event::Stream::Stderr => stderr.extend_from_slice(bytes),
        });
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

/// A program of this directory, and the one that it is made in.
fn compiled(source: &str, options: &[&str]) -> (TempDir, PathBuf) {
    let made = tempfile::tempdir().unwrap();
    fs::set_permissions(made.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = made.path().join("program");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/exec/supervised/tests");
    let mut compiler = Command::new("cc");
    compiler.args(options).args(["-pthread", "-O1", "-o"]);
    let status = compiler.arg(&program).arg(sources.join(source)).status();
    assert!(status.unwrap().success());
    (made, program)
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
