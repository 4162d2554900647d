//! The client itself: its settings, and one connection pool for each host it has met.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::sync::OnceCell;

use super::{
    Cause, Chain, CloudKeychain, Error, Keychain, ParseReferenceError, Reference, Retry,
    docker_config::DockerKeychain, host::Host, registries::Registries, retry::Failure,
};

/// A client for all registries; cheap to clone, and its clones share connections and logins.
///
/// Nothing is read and no connection is made before a registry is needed. Its futures run on any tokio runtime that has I/O and time
/// enabled, with one thread or many.
#[derive(Clone)]
pub struct Registry {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) keychain: Arc<dyn Keychain>,
    hosts: Mutex<HashMap<String, Arc<OnceCell<Arc<Host>>>>>,
    /// Clients for downloads, by `HOST[:PORT]`.
    pub(super) sites: Mutex<HashMap<String, reqwest::Client>>,
}

pub(super) struct Settings {
    pub(super) insecure: Vec<String>,
    pub(super) mirrors: Vec<(String, String)>,
    pub(super) only_mirrors: bool,
    pub(super) certificates: Vec<PathBuf>,
    pub(super) certificates_for_all: Vec<PathBuf>,
    pub(super) retry: Retry,
    pub(super) connect_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) chunk_size: Option<usize>,
    registries_conf: Option<PathBuf>,
    registries: OnceLock<Result<Registries, String>>,
}

impl Settings {
    /// The directories with certificates for a host.
    pub(super) fn certificates_of(&self, host: &str) -> Vec<PathBuf> {
        let of_host = self.certificates.iter().map(|directory| directory.join(host));
        of_host.chain(self.certificates_for_all.iter().cloned()).collect()
    }

    /// `registries.conf`, read when it is first needed.
    pub(super) fn registries(&self) -> Result<&Registries, &str> {
        let read = || match &self.registries_conf {
            Some(file) => Registries::read(std::slice::from_ref(file), &[]),
            None => Registries::from_environment(),
        };
        self.registries.get_or_init(read).as_ref().map_err(String::as_str)
    }
}

/// Settings for a [`Registry`].
pub struct Builder {
    settings: Settings,
    keychain: Arc<dyn Keychain>,
}

impl Registry {
    /// A client that finds credentials, certificates and proxies where docker and podman do.
    pub fn from_environment() -> Self {
        Self::builder().build()
    }

    /// Begins with what [`from_environment`](Self::from_environment) has.
    pub fn builder() -> Builder {
        Builder {
            settings: Settings {
                insecure: Vec::new(),
                mirrors: Vec::new(),
                only_mirrors: false,
                certificates: certificate_directories(),
                certificates_for_all: Vec::new(),
                retry: Retry::default(),
                connect_timeout: Duration::from_secs(30),
                idle_timeout: Duration::from_secs(60),
                chunk_size: None,
                registries_conf: None,
                registries: OnceLock::new(),
            },
            keychain: Arc::new(Chain::new(vec![
                Box::new(DockerKeychain::from_environment()),
                Box::new(CloudKeychain),
            ])),
        }
    }

    /// Where to look for an image, in this order: its mirrors, and its own registry.
    pub(crate) fn places(&self, of: &Reference) -> Result<Vec<Reference>, ParseReferenceError> {
        let settings = &self.inner.settings;
        let mut places = Vec::new();
        for (_, mirror) in settings.mirrors.iter().filter(|(host, _)| host == of.host()) {
            let mark = if of.digest().is_some() { '@' } else { ':' };
            let mirror = mirror.trim_end_matches('/');
            places.push(format!("{mirror}/{}{mark}{}", of.repository(), of.selector()).parse()?);
        }
        if places.is_empty() || !settings.only_mirrors {
            places.push(of.clone());
        }
        Ok(places)
    }

    /// What a name may mean that may lack its registry, the likeliest first: by the aliases and the registries to search in
    /// `registries.conf`, else docker's own. At least one.
    ///
    /// # Errors
    /// If it is no name, the file is not valid, or wants names to be clear and this one is not.
    pub fn candidates(&self, name: &str) -> Result<Vec<Reference>, Error> {
        let found = self.registries(name)?.candidates(name);
        found.map_err(|cause| Error::new(name, cause))
    }

    /// The first of the [`candidates`](Self::candidates) that a registry has. A single one is not asked for.
    ///
    /// # Errors
    /// Those of `candidates`, and what all registries said if none gives it.
    pub async fn locate(&self, name: &str) -> Result<Reference, Error> {
        let mut candidates = self.candidates(name)?;
        if candidates.len() == 1
            && let Some(only) = candidates.pop()
        {
            return Ok(only);
        }
        let mut errors = Vec::new();
        for candidate in candidates {
            match self.must_digest(&candidate).await {
                Ok(_) => return Ok(candidate),
                // Many say "not allowed" about what they do not have.
                Err(error) => errors.push(error),
            }
        }
        Err(Error::new(name, Cause::Nowhere(errors)))
    }

    fn registries(&self, at: &(impl std::fmt::Display + ?Sized)) -> Result<&Registries, Error> {
        let wrong = |why: &str| Error::new(at, Cause::Configuration(why.to_owned()));
        self.inner.settings.registries().map_err(wrong)
    }

    /// Where an image is to be pulled from: mirrors first, the registry itself last.
    pub(super) fn sources(&self, at: &Reference) -> Result<Vec<Reference>, Error> {
        self.registries(at)?.sources(at)
    }

    /// The host of a reference, met now if it was not before.
    pub(super) async fn host(&self, at: &Reference) -> Result<Arc<Host>, Failure> {
        if self.registries(at)?.is_blocked(at) {
            return Err(Error::new(at, Cause::Blocked).into());
        }
        let cell = {
            let mut hosts = self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(hosts.entry(at.host().to_owned()).or_default())
        };
        cell.get_or_try_init(|| async { Host::meet(at, &self.inner.settings).await.map(Arc::new) })
            .await
            .cloned()
    }
}

impl Builder {
    /// Who has the credentials.
    pub fn keychain(mut self, keychain: impl Keychain + 'static) -> Self {
        self.keychain = Arc::new(keychain);
        self
    }

    /// Talk to this host (`HOST` or `HOST:PORT`) without checking its certificate, and in plain HTTP if it knows no TLS.
    ///
    /// Hosts on the loopback interface get plain HTTP without being named here. `*` stands for every host.
    pub fn insecure(mut self, host: impl Into<String>) -> Self {
        self.settings.insecure.push(host.into());
        self
    }

    /// Look for base images of `host` at `mirror` (`HOST[:PORT][/PATH]`) first; may be called several times, and they are
    /// asked in that order.
    pub fn mirror(mut self, host: impl Into<String>, mirror: impl Into<String>) -> Self {
        self.settings.mirrors.push((host.into(), mirror.into()));
        self
    }

    /// What has mirrors is not asked itself.
    pub fn only_mirrors(mut self) -> Self {
        self.settings.only_mirrors = true;
        self
    }

    /// A directory like `/etc/docker/certs.d` to look in for certificates.
    pub fn certificates(mut self, directory: impl Into<PathBuf>) -> Self {
        self.settings.certificates.push(directory.into());
        self
    }

    /// A directory whose certificates are for all hosts: `*.crt` are authorities, `NAME.cert` with `NAME.key` is ours.
    pub fn certificates_for_all(mut self, directory: impl Into<PathBuf>) -> Self {
        self.settings.certificates_for_all.push(directory.into());
        self
    }

    /// This file, in the place of `registries.conf` and what is beside it.
    pub fn registries_conf(mut self, file: impl Into<PathBuf>) -> Self {
        self.settings.registries_conf = Some(file.into());
        self
    }

    /// How often to try again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.settings.retry = retry;
        self
    }

    /// How long a connection may take to be made; 30 seconds unless said otherwise.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// How long nothing may come before a request counts as failed; 60 seconds unless said otherwise.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.idle_timeout = timeout;
        self
    }

    /// Push blobs in chunks of this many bytes, each in a request of its own; in one request if never called.
    pub fn chunk_size(mut self, bytes: usize) -> Self {
        self.settings.chunk_size = Some(bytes.max(1));
        self
    }

    /// The client.
    pub fn build(self) -> Registry {
        let Self { settings, keychain } = self;
        Registry {
            inner: Arc::new(Inner {
                settings,
                keychain,
                hosts: Mutex::default(),
                sites: Mutex::default(),
            }),
        }
    }
}

/// Where docker and podman look for certificates of single hosts.
fn certificate_directories() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let own = home.map(|home| home.join(".config/containers/certs.d"));
    own.into_iter()
        .chain(["/etc/containers/certs.d".into(), "/etc/docker/certs.d".into()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, event, image::Descriptor, image::MediaType, image::Platform};

    #[test]
    fn mirrors_come_first() {
        let places = |registry: &Registry, name: &str| -> Vec<String> {
            let places = registry.places(&name.parse().unwrap()).unwrap();
            places.iter().map(ToString::to_string).collect()
        };
        let with = || {
            Registry::builder()
                .mirror("docker.io", "mirror.example/hub/")
                .mirror("docker.io", "127.0.0.1:5000")
        };
        let registry = with().build();
        assert_eq!(
            places(&registry, "busybox"),
            [
                "mirror.example/hub/library/busybox:latest",
                "127.0.0.1:5000/library/busybox:latest",
                "docker.io/library/busybox"
            ]
        );
        let digest = Digest::of("");
        assert_eq!(
            places(&registry, &format!("me/app@{digest}"))[0],
            format!("mirror.example/hub/me/app@{digest}")
        );
        let registry = with().only_mirrors().build();
        assert_eq!(places(&registry, "busybox:1").len(), 2);
        assert_eq!(places(&registry, "quay.io/a/b:1"), ["quay.io/a/b:1"]);
    }

    /// Compiles only if work on a registry can be given to any thread of a runtime.
    #[allow(dead_code)]
    fn futures_can_move_between_threads(registry: &Registry, at: &Reference) {
        fn check(_: impl Send) {}
        let (platform, sink) = (Platform::host(), event::ignore());
        let blob = Descriptor::of(MediaType::ImageLayer, b"");
        let mut out = Vec::new();
        check(registry.resolve(at, &platform));
        check(registry.digest(at));
        check(registry.pull_blob(at, &blob, &mut out, &sink));
        check(registry.has_blob(at, blob.digest));
        check(registry.mount_blob(at, Digest::of(""), "a"));
        check(registry.push_blob(at, &blob, None, &|| Ok(Box::new(std::io::empty())), &sink));
        check(registry.push_manifest(at, &blob.media_type, bytes::Bytes::new()));
        check(registry.locate(""));
        check(registry.tags(at));
        check(registry.referrers(at, None));
        check(registry.download("", None, || Ok(Vec::new()), &sink));
        check(registry.delete(at));
    }
}
