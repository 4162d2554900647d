//! Certificates of single hosts, laid out as the library reads them: a directory for each host.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// What a certificate is for.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// Those who may vouch for the host.
    Authorities,
    /// Who we are.
    Client,
    /// The key to that.
    ClientKey,
}

/// A directory of certificates.
pub struct Certificates(PathBuf);

impl Certificates {
    /// In this directory, which the caller removes.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// Adds a file in PEM form for a host. Nobody else may read it.
    pub fn add(&self, host: &str, role: Role, pem: &[u8]) -> Result<()> {
        let place = self.0.join(host);
        fs::create_dir_all(&place).with_context(|| format!("cannot create {}", place.display()))?;
        let file = place.join(match role {
            Role::Authorities => "registry.crt",
            Role::Client => "client.cert",
            Role::ClientKey => "client.key",
        });
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut out| out.write_all(pem))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}
