//! Runs the command in surroundings of its own, and makes what it prints the same everywhere.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use rbuild_testutils::{registry::TestRegistry, write_program};
use tempfile::TempDir;

/// The small base image of the tests, an OCI layout.
pub const BUSYBOX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/busybox");

/// The command under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_rbuild");

/// The command's bytes. A cage may hide the checkout, if it is for root's eyes only; so this is asked for before.
pub fn program() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| fs::read(PROGRAM).unwrap())
}

/// A home, a store and a place for contexts, all gone at the end.
pub struct Place {
    dir: TempDir,
}

/// What a command printed, and what it exited with.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        Self::of(TempDir::new().unwrap())
    }

    /// Where only this directory can be written to.
    pub fn within(room: &Path) -> Self {
        Self::of(TempDir::new_in(room).unwrap())
    }

    fn of(dir: TempDir) -> Self {
        fs::create_dir(dir.path().join("home")).unwrap();
        Self { dir }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, with its directories.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Lets every user write here.
    pub fn open_to_everyone(&self) {
        for path in [self.path("."), self.path("home")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        }
    }

    /// The command where every user may run it.
    pub fn copy_of_program(&self) -> PathBuf {
        let copy = self.path("rbuild");
        write_program(&copy, program());
        copy
    }

    /// The base image where every user may read it.
    pub fn copy_of_busybox(&self) -> PathBuf {
        let blobs = self.path("busybox/blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        for name in ["index.json", "oci-layout"] {
            fs::copy(Path::new(BUSYBOX).join(name), self.path("busybox").join(name)).unwrap();
        }
        for blob in fs::read_dir(Path::new(BUSYBOX).join("blobs/sha256"))
            .unwrap()
            .map(Result::unwrap)
        {
            fs::copy(blob.path(), blobs.join(blob.file_name())).unwrap();
        }
        self.path("busybox")
    }

    /// The command, here, with an environment of its own.
    pub fn command<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Command {
        self.command_through(PROGRAM, arguments)
    }

    /// Any program, here, with an environment of its own.
    pub fn command_through<I: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = I>,
    ) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", self.path("home"))
            .env("RBUILD_ROOT", self.path("store"));
        command
    }

    /// Runs the command to its end.
    pub fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>) -> Ran {
        self.finish(&self.command(arguments).output().unwrap())
    }

    /// Runs a command with this on its standard input.
    pub fn feed(&self, mut command: Command, input: &[u8]) -> Ran {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        self.finish(&child.wait_with_output().unwrap())
    }

    /// What a command came to, without what differs from run to run.
    pub fn finish(&self, output: &Output) -> Ran {
        let text = |bytes: &[u8]| normal(&String::from_utf8_lossy(bytes), self.dir.path());
        Ran {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Ran {
    /// Fails the test with everything that was printed, unless the command succeeded.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless the command failed with this code and this text.
    #[track_caller]
    pub fn failed(self, code: i32, stderr: &str) {
        assert_eq!(self.stderr, stderr);
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""));
    }
}

/// Puts the base image into a registry as `busybox:latest`.
pub fn push_busybox(registry: &TestRegistry) {
    let read = |path: &str| fs::read(Path::new(BUSYBOX).join(path)).unwrap();
    let blob = |descriptor: &serde_json::Value| {
        read(&format!(
            "blobs/{}",
            descriptor["digest"].as_str().unwrap().replace(':', "/")
        ))
    };
    let index: serde_json::Value = serde_json::from_slice(&read("index.json")).unwrap();
    let manifest = blob(&index["manifests"][0]);
    let parsed: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    registry.put_blob("busybox", &blob(&parsed["config"]));
    for layer in parsed["layers"].as_array().unwrap() {
        registry.put_blob("busybox", &blob(layer));
    }
    registry.put_manifest(
        "busybox",
        "latest",
        index["manifests"][0]["mediaType"].as_str().unwrap(),
        &manifest,
    );
}

/// The text with `[DIR]`, `[PORT]`, `[TIME]` and `[CARETS]` in place of what differs from run to run.
fn normal(text: &str, dir: &Path) -> String {
    let text = text
        .replace(&*dir.to_string_lossy(), "[DIR]")
        .replace(BUSYBOX, "[BUSYBOX]");
    text.split_inclusive([' ', '\n', '/']).map(normal_word).collect()
}

fn normal_word(word: &str) -> String {
    if word.ends_with("^\n") {
        return "[CARETS]\n".to_owned();
    }
    let bare = word.trim_end_matches([' ', '\n', '/', ':', ',', '`', ';']);
    let rest = &word[bare.len()..];
    let number = bare.strip_suffix('s').unwrap_or(bare);
    let is_time = number
        .split_once('.')
        .is_some_and(|(whole, fraction)| digits(whole) && digits(fraction));
    let host = bare
        .rsplit_once(':')
        .filter(|(host, port)| host.ends_with("127.0.0.1") && digits(port));
    match host {
        Some((host, _)) => format!("{host}:[PORT]{rest}"),
        None if is_time => format!("[TIME]{rest}"),
        None => word.to_owned(),
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn what_differs_is_replaced() {
    let text = "#3 0.412 done in 1.3s\n/tmp/x/a and http://127.0.0.1:5000/app: 1.2.3";
    let expected = "#3 [TIME] done in [TIME]\n[DIR]/a and http://127.0.0.1:[PORT]/app: 1.2.3";
    assert_eq!(normal(text, Path::new("/tmp/x")), expected);
}
