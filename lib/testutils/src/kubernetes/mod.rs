//! A Kubernetes cluster in this process, on a port of the loopback interface: the API as clients of Jobs use it, over HTTP and
//! WebSocket, and what a cluster does with a Job, as a [`Script`] says.
//!
//! - `api`: requests and answers; `stream`: answers without an end; `socket`: standard input of pods
//! - `state`: what the cluster holds
//! - `kubelet`: what becomes of a Job and its pod; a container can be run as a process of this machine
//! - `schema`: whether objects are what the API says, and pods what `restricted` admits

mod api;
mod kubelet;
mod schema;
mod socket;
mod state;
mod stream;

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread,
};

use serde_json::{Value, json};

pub use schema::{faults, violations};
use state::{Shared, text};

/// Who may ask.
const TOKEN: &str = "a-token-of-the-tests";

/// What becomes of the pod of a Job.
#[derive(Clone, Debug)]
pub enum Fate {
    /// The container runs as a process of this machine: this program, with the container's arguments.
    Runs(PathBuf),
    /// It reads all of its standard input, says this, and exits.
    Says {
        /// Lines of its log.
        lines: Vec<String>,
        /// What it exits with.
        code: i32,
        /// What it leaves to be read.
        message: String,
    },
    /// The same, but it uses too much memory.
    OutOfMemory(Vec<String>),
    /// It says this, and goes on for ever.
    Hangs(Vec<String>),
    /// It says this, and then the pod is deleted.
    Deleted(Vec<String>),
    /// It says this, and then the Job's time is up.
    Late(Vec<String>),
    /// The pod gets no node: why.
    NoNode(String),
    /// The pod's image cannot be pulled: why.
    NoImage(String),
    /// There is no such image: why.
    BadImageName(String),
    /// The pod lacks a volume: why.
    NoVolume(String),
    /// The node has no room for the pod any more: why.
    Evicted(String),
    /// There is not even a pod: why.
    NoPod(String),
}

/// How the cluster behaves.
#[derive(Debug)]
pub struct Script {
    /// What becomes of pods.
    pub fate: Fate,
    /// What `attach` speaks.
    pub protocol: &'static str,
    /// So many requests to attach fail before one does not.
    pub failing_attaches: usize,
    /// Standard input is cut off after so many bytes.
    pub input_ends_after: Option<usize>,
    /// Logs that are followed are cut off after so many lines: the last of these first.
    pub logs_end_after: Vec<usize>,
    /// A log that is asked for again has lost all lines before this one.
    pub log_begins_at: usize,
    /// Watches end after so many changes, as too old: the last of these first.
    pub watches_end_after: Vec<usize>,
    /// The kind of object that nobody may create.
    pub forbidden: Option<String>,
}

impl Script {
    /// A cluster in which all is well but for the fate of pods.
    pub fn new(fate: Fate) -> Self {
        Self {
            fate,
            protocol: "v5.channel.k8s.io",
            failing_attaches: 0,
            input_ends_after: None,
            logs_end_after: Vec::new(),
            log_begins_at: 0,
            watches_end_after: Vec::new(),
            forbidden: None,
        }
    }
}

/// A running cluster; it ends when this is dropped. Its one namespace is `builds`.
pub struct Cluster {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Cluster {
    /// A cluster that behaves so.
    pub fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on 127.0.0.1");
        let address = listener.local_addr().expect("the address of a bound socket");
        let shared = Arc::new(Shared::new(script));
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for connection in listener.incoming() {
                if of_thread.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                let serve = move |connection: TcpStream| {
                    connection.set_nodelay(true)?;
                    api::serve(&connection, &shared)
                };
                // An error is the end of the connection, whoever ended it.
                thread::spawn(move || connection.and_then(serve));
            }
        });
        Self { address, shared }
    }

    /// A kubeconfig, whose current context is this cluster and its namespace.
    pub fn kubeconfig(&self) -> String {
        kubeconfig(&format!("http://{}", self.address), &json!({}))
    }

    /// Kinds and names of what is there, but for events.
    pub fn objects(&self) -> Vec<String> {
        let name =
            |object: &Value| format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]));
        self.shared.look(|state| {
            let objects = state.objects.iter().filter(|object| object["kind"] != "Event");
            objects.map(name).collect()
        })
    }

    /// All objects of a kind that ever were, as they were made.
    pub fn made(&self, kind: &str) -> Vec<Value> {
        self.shared.look(|state| {
            let made = state.changes.iter().filter(|(change, _)| *change == "ADDED");
            made.map(|(_, object)| object.clone())
                .filter(|object| object["kind"] == kind)
                .collect()
        })
    }

    /// Method and path of each request.
    pub fn asked(&self) -> Vec<String> {
        self.shared.look(|state| state.asked.clone())
    }

    /// Waits until a pod has said a line with this in it. False if the cluster has ended before.
    pub fn wait_for_log(&self, part: &str) -> bool {
        let said = |log: &state::Log| log.lines.iter().any(|line| line.contains(part));
        let heard = self
            .shared
            .wait(|state| state.logs.values().any(said).then_some(()));
        heard.is_some()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shared.stop();
        // Wakes the accepting thread, which then lets go of the port.
        drop(TcpStream::connect(self.address));
    }
}

/// A kubeconfig for one server, with what else is to be known of it.
pub fn kubeconfig(server: &str, more: &Value) -> String {
    let mut cluster = json!({ "server": server });
    for (name, value) in more.as_object().into_iter().flatten() {
        cluster[name] = value.clone();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{ "name": "test", "cluster": cluster }],
        "users": [{ "name": "test", "user": { "token": TOKEN } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": "builds" } }],
    })
    .to_string()
}
