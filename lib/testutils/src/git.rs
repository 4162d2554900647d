//! Git repositories in a temporary directory, served on a port of the loopback interface, for tests of what fetches.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use tempfile::TempDir;

use crate::{
    need, skip,
    web::{Reply, WebServer},
};

/// Serves repositories with git's own daemon; it ends when this is dropped.
pub struct GitServer {
    directory: TempDir,
    address: SocketAddr,
    served: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

/// A repository with a work tree.
pub struct Repository {
    directory: PathBuf,
}

impl GitServer {
    /// A server without repositories; `None` where there is no git, and then the test returns.
    pub fn start() -> Option<Self> {
        let git = need("git")?;
        let exec_path = Command::new(&git).arg("--exec-path").output().ok()?;
        let exec_path = PathBuf::from(String::from_utf8_lossy(&exec_path.stdout).trim());
        if !exec_path.join("git-daemon").is_file() {
            skip("git has no daemon");
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on 127.0.0.1");
        let server = Self {
            directory: TempDir::new().expect("a temporary directory"),
            address: listener.local_addr().expect("the address of a bound socket"),
            served: Arc::default(),
            stopped: Arc::default(),
        };
        let (served, stopped) = (server.served.clone(), server.stopped.clone());
        let root = server.directory.path().to_owned();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                served.fetch_add(1, Ordering::SeqCst);
                serve(&root, connection);
            }
        });
        Some(server)
    }

    /// A new repository, to be found at [`url`](Self::url) by its name.
    pub fn repository(&self, name: &str) -> Repository {
        let directory = self.directory.path().join(name);
        fs::create_dir_all(&directory).expect("a directory for a repository");
        let repository = Repository { directory };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// `git://127.0.0.1:PORT/NAME`
    pub fn url(&self, name: &str) -> String {
        format!("git://{}/{name}", self.address)
    }

    /// How many connections there were since this was last called.
    pub fn served(&self) -> usize {
        self.served.swap(0, Ordering::SeqCst)
    }

    /// A web server that knows nothing of git and has its files: `/NAME/.git/…`. Prepare repositories with
    /// [`publish`](Repository::publish).
    pub fn plain_files(&self) -> WebServer {
        let root = self.directory.path().to_owned();
        WebServer::start(move |asked| {
            let path = asked.target.split('?').next().unwrap_or_default();
            match fs::read(root.join(path.trim_start_matches('/'))) {
                Ok(bytes) => Reply::ok(bytes),
                Err(_) => Reply::status(404, ""),
            }
        })
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then lets go of the port.
        drop(TcpStream::connect(self.address));
    }
}

/// One connection, as inetd would have it.
fn serve(root: &Path, connection: TcpStream) {
    let output = connection.try_clone().map(OwnedFd::from);
    let mut command = clean();
    command
        .args(["daemon", "--inetd", "--export-all"])
        .arg(format!("--base-path={}", root.display()))
        .arg(root)
        .stdin(OwnedFd::from(connection))
        .stdout(output.map_or_else(|_| Stdio::null(), Stdio::from))
        .stderr(Stdio::null());
    if let Ok(mut child) = command.spawn() {
        thread::spawn(move || child.wait());
    }
}

impl Repository {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Runs git in it, and gives what it wrote.
    ///
    /// # Panics
    /// If git fails.
    pub fn git(&self, arguments: &[&str]) -> String {
        let mut command = clean();
        let output = command.current_dir(&self.directory).args(arguments).output();
        let output = output.expect("git runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Puts a file into the work tree.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> &Self {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&self.directory)).expect("a directory for a file");
        fs::write(path, content).expect("a file in a work tree");
        self
    }

    /// Commits the whole work tree, and says the commit.
    ///
    /// # Panics
    /// If git fails.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Makes the files that plain web servers are asked for.
    ///
    /// # Panics
    /// If git fails.
    pub fn publish(&self) {
        self.git(&["repack", "-a", "-d", "--quiet"]);
        self.git(&["update-server-info"]);
    }
}

/// The git program, with an identity, and without this machine's configuration.
fn clean() -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_COUNT", "2")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("GIT_CONFIG_KEY_1", "protocol.file.allow")
        .env("GIT_CONFIG_VALUE_1", "always")
        .env("GIT_AUTHOR_NAME", "somebody")
        .env("GIT_AUTHOR_EMAIL", "somebody@example.com")
        .env("GIT_COMMITTER_NAME", "somebody")
        .env("GIT_COMMITTER_EMAIL", "somebody@example.com")
        .env("GIT_AUTHOR_DATE", "1000000000 +0000")
        .env("GIT_COMMITTER_DATE", "1000000000 +0000");
    command
}
