//! A docker-registry of our own, on loopback, for as long as the comparison runs.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// A running registry; dropping it stops it.
pub struct Registry {
    address: String,
    process: Child,
}

impl Registry {
    /// Starts one that keeps its images under `dir`.
    pub fn start(dir: &Path) -> Result<Self> {
        // A port that is free now is most likely still free in a moment.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let storage = dir.join("registry");
        let config = dir.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {storage:?}}}}}\n\
             http: {{addr: \"{address}\"}}\n"
        );
        fs::write(&config, text).with_context(|| config.display().to_string())?;
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run docker-registry")?;
        let registry = Self { address, process };
        registry.wait()?;
        Ok(registry)
    }

    /// The name of a repository of this registry.
    pub fn name(&self, repository: &str) -> String {
        format!("{}/{repository}", self.address)
    }

    fn wait(&self) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            if start.elapsed() > Duration::from_secs(10) {
                bail!("docker-registry does not listen on {}", self.address);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
