//! What the flags of every command say: which store, and how to talk to registries.

use std::{
    io::{self, Read as _},
    path::PathBuf,
    sync::OnceLock,
};

use anyhow::{Context as _, Result, bail, ensure};
use rbuild::{
    Locator, copy,
    registry::{Builder, Chain, CloudKeychain, DockerKeychain, Explicit, Keychain, Registry},
    store::Store,
};

use super::shared::open_store;
use crate::cli::{Creds, RegistryFlags};

/// The surroundings of a command.
pub struct Session {
    root: Option<PathBuf>,
    flags: RegistryFlags,
    registry: OnceLock<Registry>,
}

impl Session {
    /// Nothing is opened or read before it is needed.
    pub fn new(root: Option<PathBuf>, flags: RegistryFlags) -> Self {
        Self {
            root,
            flags,
            registry: OnceLock::new(),
        }
    }

    /// How to talk to registries, as it was said.
    pub fn flags(&self) -> &RegistryFlags {
        &self.flags
    }

    /// The store that the user means.
    pub fn store(&self) -> Result<Store> {
        open_store(self.root.as_deref())
    }

    /// Who asks registries.
    pub fn registry(&self) -> Result<Registry> {
        if let Some(registry) = self.registry.get() {
            return Ok(registry.clone());
        }
        let made = self.make_registry()?;
        Ok(self.registry.get_or_init(|| made).clone())
    }

    /// Who asks registries for a command that asks several, and not all on the user's word.
    pub fn registry_for_build(&self) -> Result<Registry> {
        self.check_creds()?;
        self.registry()
    }

    /// Whether each of `--creds` is for one registry.
    pub fn check_creds(&self) -> Result<()> {
        ensure!(
            self.flags.creds.iter().all(|creds| creds.host.is_some()),
            "a build asks several registries: say which one --creds is for, as in --creds HOST=USER"
        );
        Ok(())
    }

    /// The same with another login.
    pub fn registry_with(&self, keychain: impl Keychain + 'static) -> Registry {
        self.builder().keychain(keychain).build()
    }

    fn make_registry(&self) -> Result<Registry> {
        Ok(self.builder().keychain(self.keychain()?).build())
    }

    /// The logins that the flags and the environment have.
    pub fn keychain(&self) -> Result<Chain> {
        let flags = &self.flags;
        let mut keychains: Vec<Box<dyn Keychain>> = Vec::new();
        for creds in &flags.creds {
            keychains.push(Box::new(self.login(creds)?));
        }
        keychains.push(Box::new(match &flags.authfile {
            Some(file) => DockerKeychain::new(vec![file.clone()]),
            None => DockerKeychain::from_environment(),
        }));
        keychains.push(Box::new(CloudKeychain));
        Ok(Chain::new(keychains))
    }

    /// How to talk to registries, but for the logins.
    pub fn builder(&self) -> Builder {
        let flags = &self.flags;
        let mut builder = Registry::builder();
        for host in &flags.insecure {
            builder = builder.insecure(host);
        }
        if let Some(directory) = &flags.cert_dir {
            builder = builder.certificates_for_all(directory);
        }
        if let Some(file) = &flags.registries_conf {
            builder = builder.registries_conf(file);
        }
        builder
    }

    fn login(&self, creds: &Creds) -> Result<Explicit> {
        let password = match (&creds.password, self.flags.password_stdin) {
            (Some(password), _) => password.clone(),
            (None, true) => self.password()?,
            (None, false) => bail!("--creds {} has no password: say --password-stdin", creds.user),
        };
        let login = Explicit::new(
            creds.host.as_deref().unwrap_or_default(),
            &creds.user,
            &password,
            "--creds",
        );
        Ok(if creds.host.is_some() {
            login
        } else {
            login.for_any_host()
        })
    }

    /// The password on standard input.
    pub fn password(&self) -> Result<String> {
        ensure!(
            self.flags.password_stdin,
            "the password is read from standard input: say --password-stdin"
        );
        let mut password = String::new();
        io::stdin()
            .read_to_string(&mut password)
            .context("cannot read the password from standard input")?;
        let password = password.trim_end_matches(['\r', '\n']);
        ensure!(!password.is_empty(), "there is no password on standard input");
        Ok(password.to_owned())
    }

    /// What a copy among these places needs.
    pub fn copy_options(&self, places: &[&Locator]) -> Result<copy::Options> {
        let options = copy::Options::new();
        match places.iter().any(|place| matches!(place, Locator::Store(_))) {
            true => Ok(options.store(&self.store()?)),
            false => Ok(options),
        }
    }
}
