//! How a build talks to registries: to the one that its caller named in the caller's way, and to all others in ours.
//!
//! A caller may name files of this machine, as its password and its certificates. Of all files of this machine those are
//! only the ones in the directory that `--registry-files` names; without it there are none.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail, ensure};
use rbuild::registry::{Builder, Chain, Credentials, Explicit, Keychain, KeychainError, Registry};

use super::order::Order;
use crate::certificates::{Certificates, Role};

/// A password, or certificates, have no more bytes than that.
const MAX_FILE: u64 = 1 << 20;

/// The files that callers may name.
pub struct Files(Option<PathBuf>);

impl Files {
    /// Those in this directory.
    pub fn new(directory: Option<&Path>) -> Result<Self> {
        let real = directory.map(|directory| {
            fs::canonicalize(directory)
                .with_context(|| format!("--registry-files: cannot use {}", directory.display()))
        });
        Ok(Self(real.transpose()?))
    }

    /// The bytes of one; nothing if none is named.
    pub fn read(&self, field: &str, name: &str) -> Result<Option<Vec<u8>>> {
        if name.is_empty() {
            return Ok(None);
        }
        let Some(directory) = &self.0 else {
            bail!(
                "{field} names a file of the build machine, and callers may name none: \
                 it was started without --registry-files"
            );
        };
        // The same words for all of them: what is elsewhere is nobody's business.
        let refused = || format!("{field} {name:?} is no file in the directory of --registry-files");
        let real = fs::canonicalize(directory.join(name)).with_context(refused)?;
        ensure!(real.starts_with(directory) && real.is_file(), refused());
        let mut bytes = Vec::new();
        File::open(&real)
            .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
            .with_context(refused)?;
        ensure!(bytes.len() as u64 <= MAX_FILE, "{field} {name:?} is too large");
        Ok(Some(bytes))
    }
}

/// What an order says of its registry, with the files read that it names.
pub struct Access {
    host: String,
    insecure: bool,
    login: Option<Explicit>,
    /// This machine's own login is used.
    is_ecr: bool,
    certificates: Vec<(Role, Vec<u8>)>,
}

impl Access {
    /// Reads the files.
    pub fn of(order: &Order, files: &Files) -> Result<Self> {
        let registry = &order.registry;
        let host = order.image.host().to_owned();
        let mut certificates = Vec::new();
        if let Some(pem) = files.read("ca_file", &registry.ca_file)? {
            certificates.push((Role::Authorities, pem));
        }
        let client = files.read("client_cert_file", &registry.client_cert_file)?;
        let key = files.read("client_key_file", &registry.client_key_file)?;
        // One without the other is passed over, as OpenRun does.
        if let (Some(certificate), Some(key)) = (client, key) {
            certificates.extend([(Role::Client, certificate), (Role::ClientKey, key)]);
        }
        let password = match registry.password.is_empty() {
            false => registry.password.clone(),
            true => {
                let bytes = files.read("password_file", &registry.password_file)?;
                let text = String::from_utf8(bytes.unwrap_or_default());
                text.context("password_file is not text")?.trim().to_owned()
            }
        };
        let has_login = !registry.username.is_empty() && !password.is_empty();
        let login = || Explicit::new(&host, &registry.username, &password, "RegistryConfig");
        Ok(Self {
            login: has_login.then(login),
            is_ecr: registry.is_ecr(),
            insecure: registry.insecure,
            certificates,
            host,
        })
    }

    /// The registries as this build sees them; its certificates go into a directory that is there until it ends.
    pub fn registry(self, ours: Builder, logins: Arc<Chain>, directory: PathBuf) -> Result<Registry> {
        let certificates = Certificates::new(directory);
        for (role, pem) in &self.certificates {
            certificates.add(&self.host, *role, pem)?;
        }
        let mut builder = ours;
        if !self.certificates.is_empty() {
            builder = builder.certificates(certificates.directory());
        }
        if self.insecure {
            builder = builder.insecure(&self.host);
        }
        let keychain = Logins {
            theirs: (!self.is_ecr).then_some((self.host, self.login)),
            ours: logins,
        };
        Ok(builder.keychain(keychain).build())
    }
}

/// The caller's login for its registry, and ours for all others: nobody pushes in our name.
struct Logins {
    theirs: Option<(String, Option<Explicit>)>,
    ours: Arc<Chain>,
}

impl Keychain for Logins {
    fn credentials(&self, host: &str, repository: &str) -> Result<Option<Credentials>, KeychainError> {
        match &self.theirs {
            Some((theirs, login)) if theirs == host => match login {
                Some(login) => login.credentials(host, repository),
                None => Ok(None),
            },
            _ => self.ours.credentials(host, repository),
        }
    }

    fn looks_in(&self) -> Vec<String> {
        vec!["RegistryConfig".to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_files_of_the_directory_can_be_named() {
        let room = tempfile::tempdir().unwrap();
        let at = |name: &str| room.path().join(name);
        fs::create_dir_all(at("files/deep")).unwrap();
        fs::write(at("files/deep/ca"), "inside").unwrap();
        fs::write(at("secret"), "outside").unwrap();
        fs::write(at("files/large"), vec![0; 2 << 20]).unwrap();
        symlink("deep/ca", at("files/link")).unwrap();
        symlink("../secret", at("files/out")).unwrap();
        symlink("/etc", at("files/etc")).unwrap();
        let files = Files::new(Some(&at("files"))).unwrap();
        let read = |name: &str| {
            files
                .read("ca_file", name)
                .map(|bytes| bytes.map(|bytes| String::from_utf8(bytes).unwrap()))
        };
        let absolute = at("files/deep/ca");
        for name in ["deep/ca", "link", "./deep/../link", absolute.to_str().unwrap()] {
            assert_eq!(read(name).unwrap().as_deref(), Some("inside"), "{name}");
        }
        assert_eq!(read("").unwrap(), None);
        let outside = at("secret");
        let none = read("nothing").unwrap_err().to_string().replace("nothing", "");
        for name in [
            "../secret",
            "out",
            "etc/passwd",
            "deep",
            "/etc/passwd",
            outside.to_str().unwrap(),
        ] {
            let error = read(name).unwrap_err().to_string();
            assert_eq!(error.replace(name, ""), none, "{name}");
        }
        assert!(read("large").unwrap_err().to_string().ends_with("is too large"));
        let error = Files::new(None).unwrap().read("ca_file", "deep/ca").unwrap_err();
        assert!(error.to_string().contains("--registry-files"));
        assert!(Files::new(Some(&at("nowhere"))).is_err());
    }

    #[test]
    fn our_login_is_not_for_the_caller_s_registry() {
        let ours = || {
            Arc::new(Chain::new(vec![Box::new(
                Explicit::new("", "we", "secret", "").for_any_host(),
            )]))
        };
        let user = |logins: &Logins, host: &str| {
            let found = logins.credentials(host, "app").unwrap();
            found.map(|found| match found.secret {
                rbuild::registry::Secret::Password { username, .. } => username,
                other => panic!("{other:?}"),
            })
        };
        let of = |theirs| Logins { theirs, ours: ours() };
        let they = Explicit::new("r.example", "they", "x", "");
        let logins = of(Some(("r.example".to_owned(), Some(they))));
        assert_eq!(user(&logins, "r.example").as_deref(), Some("they"));
        assert_eq!(user(&logins, "docker.io").as_deref(), Some("we"));
        let logins = of(Some(("r.example".to_owned(), None)));
        assert_eq!(user(&logins, "r.example"), None);
        assert_eq!(user(&of(None), "r.example").as_deref(), Some("we"));
    }
}
