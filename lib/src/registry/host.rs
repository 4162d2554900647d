//! One host that speaks the registry protocol: where exactly, in plain HTTP or TLS, and who is logged in.

use std::net::{Ipv4Addr, Ipv6Addr};

use reqwest::{Client, RequestBuilder, StatusCode, Url};
use tokio::{sync::OnceCell, time::timeout};

use super::{
    Cause, Error, Reference,
    auth::Auth,
    client::Settings,
    http,
    retry::Failure,
    tls::{self, HostCertificates},
};

/// Where the API of docker.io really is.
const DOCKER_HUB: &str = "registry-1.docker.io";
/// What servers know us by.
pub(super) const USER_AGENT: &str = concat!("rbuild/", env!("CARGO_PKG_VERSION"));

/// A registry that has been met: how to talk to it is known.
pub(super) struct Host {
    /// `https://registry-1.docker.io`
    pub(super) base: Url,
    pub(super) client: Client,
    pub(super) auth: Auth,
    /// Its certificate counts only if somebody who is trusted vouches for it.
    pub(super) verify: bool,
    /// For what oci-client does, made when it is first needed.
    pub(super) oci: OnceCell<oci_client::Client>,
}

/// One way to talk to a host.
#[derive(Clone, Copy)]
struct Way {
    scheme: &'static str,
    verify: bool,
}

impl Host {
    /// Finds out how to talk to the host of `at`; asks it only where that is in doubt.
    pub(super) async fn meet(at: &Reference, settings: &Settings) -> Result<Self, Failure> {
        let name = if at.host() == "docker.io" {
            DOCKER_HUB
        } else {
            at.host()
        };
        let mut ways = ways(at.host(), settings);
        loop {
            let Some(way) = ways.next() else {
                return Err(
                    Error::new(at, Cause::Protocol("it speaks neither HTTP nor TLS".to_owned())).into(),
                );
            };
            let base = Url::parse(&format!("{}://{name}", way.scheme))
                .map_err(|error| Error::new(at, Cause::Protocol(format!("bad host name: {error}"))))?;
            let client = client(at.host(), settings, way.verify).map_err(|cause| Error::new(at, cause))?;
            let host = Self {
                base,
                client,
                auth: Auth::default(),
                verify: way.verify,
                oci: OnceCell::new(),
            };
            if ways.len() == 0 || host.answers(at, settings).await? {
                return Ok(host);
            }
        }
    }

    /// Whether this way of talking is understood; an error if the host cannot be reached at all.
    async fn answers(&self, at: &Reference, settings: &Settings) -> Result<bool, Failure> {
        match timeout(settings.idle_timeout, self.get("/v2/").send()).await {
            // What TLS servers answer to plain HTTP.
            Ok(Ok(response)) => Ok(response.status() != StatusCode::BAD_REQUEST),
            Ok(Err(error)) if http::is_unreachable(&error) => Err(http::failure(at, error)),
            Ok(Err(_)) => Ok(false),
            Err(_) => Err(http::silent(at, &self.base, settings.idle_timeout)),
        }
    }

    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(path);
        url.set_query(query);
        url
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    /// Whether requests to `url` may carry this host's login.
    pub(super) fn owns(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Where a `Location` leads. A registry behind a proxy that ends TLS may call itself `http`, which is put right.
    pub(super) fn follow(&self, location: &str) -> Option<Url> {
        let mut url = self.base.join(location).ok()?;
        if self.base.scheme() == "https" && url.scheme() == "http" && url.host_str() == self.base.host_str() {
            url.set_scheme("https").ok()?;
            url.set_port(self.base.port()).ok()?;
        }
        Some(url)
    }
}

/// The ways to try, best first. Plain HTTP is tried first on loopback, where it crosses no network and TLS is rare.
fn ways(host: &str, settings: &Settings) -> std::vec::IntoIter<Way> {
    let insecure = is_insecure(host, settings);
    let plain = Way {
        scheme: "http",
        verify: true,
    };
    let tls = Way {
        scheme: "https",
        verify: !insecure,
    };
    match (is_loopback(host), insecure) {
        (true, _) => vec![plain, tls],
        (false, true) => vec![tls, plain],
        (false, false) => vec![tls],
    }
    .into_iter()
}

/// Whether the host's certificate need not be checked.
pub(super) fn is_insecure(host: &str, settings: &Settings) -> bool {
    let names = [host, without_port(host)];
    let listed = settings.insecure.iter();
    listed
        .clone()
        .any(|listed| listed == "*" || names.contains(&listed.as_str()))
        || settings
            .registries()
            .is_ok_and(|registries| registries.is_insecure(host))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

pub(super) fn is_loopback(host: &str) -> bool {
    let name = without_port(host);
    let in_brackets = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    name == "localhost"
        || name.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        || in_brackets
            .and_then(|text| text.parse().ok())
            .is_some_and(|address: Ipv6Addr| address.is_loopback())
}

/// The client for a host (`HOST[:PORT]`): whom it trusts, and whether there may be a proxy.
pub(super) fn client(name: &str, settings: &Settings, verify: bool) -> Result<Client, Cause> {
    let tls_error = |reason| Cause::Tls {
        host: name.to_owned(),
        reason,
    };
    let certificates = HostCertificates::read(&settings.certificates_of(name)).map_err(tls_error)?;
    let tls = tls::client_config(certificates, verify).map_err(tls_error)?;
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(settings.connect_timeout)
        .user_agent(USER_AGENT);
    // A proxy could not reach this machine's own loopback interface.
    let builder = if is_loopback(name) {
        builder.no_proxy()
    } else {
        builder
    };
    builder.build().map_err(|error| tls_error(http::reason(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_loopback() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1",
            "127.8.9.1:80",
            "[::1]",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.example",
            "10.0.0.1",
            "[::2]:1",
            "docker.io",
            "128.0.0.1:80",
            "[::1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
