//! `rbuild serve`: a build machine, spoken to over its socket.
//!
//! - `client`: requests as OpenRun sends them
//! - `builds`: what is built, logged and counted; callers that leave; signals
//! - `refusals`: what is not let in, and that nothing is left of it

mod builds;
pub mod client;
mod refusals;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rbuild_testutils::web::{Reply, WebServer};
use serde_json::{Value, json};

use crate::common::Place;
use client::{Answer, Form};

/// What callers must show.
pub const TOKEN: &str = "let me in";

/// A running server; it is killed when this is dropped, if it has not ended by then.
pub struct Server {
    child: Child,
    pub address: String,
    pub place: Place,
}

impl Server {
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_in(Place::new(), arguments)
    }

    pub fn start_in(place: Place, arguments: &[&str]) -> Self {
        let mut command = place.command(["serve", "--listen", "127.0.0.1:0"]);
        command.args(arguments).env("RBUILD_SERVE_TOKEN", TOKEN);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let address = first
            .strip_prefix("listening on http://")
            .expect(&first)
            .to_owned();
        // What is not read would block the server in the end.
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| eprintln!("server: {line}"))
        });
        Self {
            child,
            address,
            place,
        }
    }

    pub fn post(&self, form: &Form) -> Answer {
        client::send(&self.address, &form.request(Some(TOKEN)))
    }

    pub fn get(&self, path: &str) -> Answer {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        );
        client::send(&self.address, head.as_bytes())
    }

    /// A value of the metrics.
    pub fn metric(&self, name: &str) -> String {
        let text = self.get("/metrics").body;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name} is not in {text}"))
            .to_owned()
    }

    /// Waits until a value of the metrics is this.
    pub fn wait_for(&self, name: &str, value: &str) {
        eventually(&format!("{name} {value}"), || self.metric(name) == value);
    }

    /// The most memory that it has had so far, in bytes.
    pub fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        kilobytes << 10
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Asks it to end, and waits until it has; nothing of any request is left then.
    pub fn end(mut self) -> ExitStatus {
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        assert_eq!(files(&self.place.path("store/tmp")), Vec::<String>::new());
        status
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for what must come.
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what} does not come");
        thread::sleep(Duration::from_millis(10));
    }
}

/// All files below a directory, but for the locks of its users.
pub fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ if entry.file_name() == "lock" => {}
            _ => found.push(entry.path().display().to_string()),
        }
    }
    found
}

/// What OpenRun says of a build that goes to a registry.
pub fn meta(host: &str, image: &str) -> Value {
    json!({
        "ImageTag": image,
        "ContainerFile": "Containerfile",
        "ContainerArgs": { "VERSION": "7" },
        "RegistryConfig": { "URL": host, "Project": "apps", "Type": "", "Username": "", "Password": "",
            "PasswordFile": "", "CAFile": "", "ClientCertFile": "", "ClientKeyFile": "", "Insecure": false,
            "AWSRegion": "" },
    })
}

/// A server whose answers come when they are let go: builds that ADD from it wait so long.
pub struct Gate {
    server: WebServer,
    open: std::sync::Arc<(std::sync::Mutex<bool>, std::sync::Condvar)>,
}

impl Gate {
    pub fn closed() -> Self {
        let open = std::sync::Arc::<(std::sync::Mutex<bool>, std::sync::Condvar)>::default();
        let wait = open.clone();
        let server = WebServer::start(move |_| {
            let (open, changed) = &*wait;
            drop(changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
            Reply::ok("behind the gate")
        });
        Self { server, open }
    }

    pub fn open(&self) {
        let (open, changed) = &*self.open;
        *open.lock().unwrap() = true;
        changed.notify_all();
    }

    /// A context whose build waits.
    pub fn context(&self) -> Vec<u8> {
        let text = format!("FROM scratch\nADD {} /f\n", self.server.url("/f"));
        client::tar_gz(&[("Containerfile", &text)])
    }

    /// Waits until somebody stands before it.
    pub fn wait(&self) {
        eventually("a request", || !self.server.asked().is_empty());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}
