//! Docker's own registry as a process, for tests against the real thing.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::need;

/// A running docker-registry on a port of the loopback interface; it is killed when this is dropped.
pub struct DockerRegistry {
    process: Child,
    host: String,
    _directory: tempfile::TempDir,
}

impl DockerRegistry {
    /// A registry without TLS and login; none if it is not installed, and then the test returns.
    pub fn start() -> Option<Self> {
        Self::start_with(json!({}), json!({}))
    }

    /// A registry with these entries in its `http` section, and this `auth` section.
    pub fn start_with(http: Value, auth: Value) -> Option<Self> {
        let program = need("docker-registry")?;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let host = address.expect("a free port on 127.0.0.1").to_string();
        let data = directory.path().join("data");
        let mut config = json!({
            "version": "0.1",
            "log": { "level": "error" },
            "storage": { "filesystem": { "rootdirectory": data }, "delete": { "enabled": true } },
            "http": http,
            "auth": auth,
        });
        config["http"]["addr"] = host.clone().into();
        // JSON is YAML.
        let file = directory.path().join("config.yml");
        fs::write(&file, config.to_string()).expect("to write in a temporary directory");
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = command.spawn().expect("docker-registry to run");
        let registry = Self {
            process,
            host,
            _directory: directory,
        };
        registry.wait();
        Some(registry)
    }

    fn wait(&self) {
        let begun = Instant::now();
        while TcpStream::connect(&self.host).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "docker-registry does not come up"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// `127.0.0.1:PORT`, to put before a repository.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
