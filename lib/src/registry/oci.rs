//! The part of the protocol that oci-client speaks for us: questions with small answers.
//!
//! It gets its login and its settings from here, and its errors leave as ours. Where a client certificate is needed, which
//! it cannot show, or the registry asks to wait, which it does not hear, `lists` asks in its stead. Three of its habits are
//! guarded against:
//!
//! - It asks for tokens itself where it has none, and swallows it when it gets none. So it is handed those of [`Auth`].
//! - It always makes one client more than it was asked for, with rustls' default provider and the system's certificates, and
//!   panics where one of them is missing. So a provider is installed, unless the process has one, and certificates are
//!   looked for first.
//! - It panics over tokens that do not fit into a header. So it works in a task of its own.
//!
//! [`Auth`]: super::auth::Auth

use base64::{Engine as _, prelude::BASE64_STANDARD};
use oci_client::{
    Client, RegistryOperation,
    client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol},
    errors::{OciDistributionError as Refused, OciEnvelope, OciErrorCode},
    secrets::RegistryAuth,
    token_cache::{RegistryToken, RegistryTokenType},
};
use reqwest::{StatusCode, header::HeaderValue};
use tokio::task::JoinSet;

use super::{
    Cause, Error, Kind, Reference, Registry,
    auth::Access,
    client::Settings,
    host::{self, Host},
    http,
    retry::{Again, Failure, is_transient},
    tls::HostCertificates,
};

/// A question to oci-client about a repository.
pub(super) struct Question {
    pub(super) client: Client,
    pub(super) about: oci_client::Reference,
}

impl Registry {
    /// Has oci-client ask a question, again where that makes sense. `at` with a digest is about that manifest, and else
    /// about the repository.
    pub(super) async fn ask<T, F>(&self, at: &Reference, question: impl Fn(Question) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Refused>> + Send + 'static,
    {
        let retry = self.inner.settings.retry;
        retry.run(at, || self.ask_once(at, &question)).await
    }

    async fn ask_once<T, F>(&self, at: &Reference, question: &impl Fn(Question) -> F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Refused>> + Send + 'static,
    {
        let host = self.host(at).await?;
        let client = host.oci.get_or_try_init(|| self.introduce(&host, at)).await?;
        let mut renewed = false;
        loop {
            let about = reference(&host, at);
            self.lend_login(&host, at, client, &about).await?;
            let client = client.clone();
            let answer = apart(at, question(Question { client, about })).await?;
            match answer {
                Ok(answer) => return Ok(answer),
                // The token has expired, or the registry changed its mind about logins.
                Err(Refused::UnauthorizedError { .. }) if !renewed => self.greet(at).await?,
                Err(error) => return Err(self.in_our_words(error, &host, at).await),
            }
            renewed = true;
        }
    }

    /// The first question to a host.
    async fn introduce(&self, host: &Host, at: &Reference) -> Result<Client, Failure> {
        self.greet(at).await?;
        let config = config(&self.inner.settings, host, at)?;
        // Fails only if the process has one, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificates = || rustls_native_certs::load_native_certs().certs;
        let trusts = tokio::task::spawn_blocking(move || !certificates().is_empty()).await;
        if !trusts.unwrap_or(false) {
            let reason =
                "this machine has no certificates of authorities, and none are named by SSL_CERT_FILE";
            return Err(tls_error(at, reason.to_owned()).into());
        }
        Client::try_from(config).map_err(|error| tls_error(at, error.to_string()).into())
    }

    /// Learns what login the host wants, and gets it; nothing else comes of it.
    async fn greet(&self, at: &Reference) -> Result<(), Failure> {
        let get = |host: &Host| host.get("/v2/");
        self.request(at, &Access::pull(at), get).await.map(drop)
    }

    async fn lend_login(
        &self,
        host: &Host,
        at: &Reference,
        client: &Client,
        about: &oci_client::Reference,
    ) -> Result<(), Failure> {
        let login = host.auth.authorization(self, host, at, &Access::pull(at)).await?;
        if let Some(token) = login.as_ref().and_then(token) {
            // Tokens count only for registries of which it knows the login.
            let registry = about.resolve_registry();
            client
                .store_auth_if_needed(registry, &RegistryAuth::Anonymous)
                .await;
            client.tokens.insert(about, RegistryOperation::Pull, token).await;
        }
        Ok(())
    }

    async fn in_our_words(&self, error: Refused, host: &Host, at: &Reference) -> Failure {
        let (status, message) = match error {
            Refused::RequestError(error) => return http::failure(at, error),
            Refused::UnauthorizedError { .. } => (Some(StatusCode::UNAUTHORIZED), String::new()),
            Refused::ServerError { code, message, .. } => {
                let message = http::in_words(message.as_bytes());
                (StatusCode::from_u16(code).ok(), message)
            }
            Refused::RegistryError { envelope, .. } => (status_of(&envelope), http::words_of(&envelope)),
            other => return Error::new(at, Cause::Protocol(other.to_string())).into(),
        };
        let again = match status {
            // How long to wait is said in a header, which is not passed on: `lists` asks again.
            Some(StatusCode::TOO_MANY_REQUESTS) => Again::No,
            Some(status) if is_transient(status) => Again::Yes,
            _ => Again::No,
        };
        let cause = match status {
            Some(StatusCode::NOT_FOUND) => Cause::NotFound {
                kind: Kind::Repository,
                message,
            },
            Some(StatusCode::UNAUTHORIZED) => Cause::Unauthorized {
                tried: host.auth.why_unauthorized(self, at).await,
                message,
            },
            Some(StatusCode::FORBIDDEN) => Cause::Denied {
                tried: host.auth.who(self, at).await,
                message,
            },
            Some(status) => Cause::Status { status, message },
            None => Cause::Refused(message),
        };
        Failure {
            error: Error::new(at, cause),
            again,
        }
    }
}

/// Our settings as oci-client's.
fn config(settings: &Settings, host: &Host, at: &Reference) -> Result<ClientConfig, Error> {
    let certificates =
        HostCertificates::read(&settings.certificates_of(at.host())).map_err(|why| tls_error(at, why))?;
    let authorities = certificates.authorities().iter().map(|authority| Certificate {
        encoding: CertificateEncoding::Der,
        data: authority.to_vec(),
    });
    let protocol = match host.base.scheme() {
        "http" => ClientProtocol::Http,
        _ => ClientProtocol::Https,
    };
    let mut config = ClientConfig {
        protocol,
        accept_invalid_certificates: !host.verify,
        extra_root_certificates: authorities.collect(),
        read_timeout: Some(settings.idle_timeout),
        connect_timeout: Some(settings.connect_timeout),
        user_agent: host::USER_AGENT,
        ..ClientConfig::default()
    };
    if host::is_loopback(at.host()) {
        // There is no switch for "no proxy", but a proxy that is not for the one host does it.
        let name = host.base.host_str().unwrap_or_default();
        config.http_proxy = Some("http://127.0.0.1".to_owned());
        config.no_proxy = Some(name.trim_matches(['[', ']']).to_owned());
    }
    Ok(config)
}

pub(super) fn tls_error(at: &Reference, reason: String) -> Error {
    let host = at.host().to_owned();
    Error::new(at, Cause::Tls { host, reason })
}

/// The same name for oci-client, put together and not parsed: its parser takes 40 ms the first time.
fn reference(host: &Host, at: &Reference) -> oci_client::Reference {
    let (registry, repository) = (http::authority(&host.base), at.repository().to_owned());
    match at.digest() {
        Some(digest) => oci_client::Reference::with_digest(registry, repository, digest.to_string()),
        None => oci_client::Reference::with_tag(registry, repository, "latest".to_owned()),
    }
}

/// What an `Authorization` header says.
fn token(login: &HeaderValue) -> Option<RegistryTokenType> {
    match login.to_str().ok()?.split_once(' ')? {
        ("Bearer", token) => Some(RegistryTokenType::Bearer(RegistryToken::Token {
            token: token.to_owned(),
        })),
        ("Basic", encoded) => {
            let pair = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
            let (user, password) = pair.split_once(':')?;
            Some(RegistryTokenType::Basic(user.to_owned(), password.to_owned()))
        }
        _ => None,
    }
}

/// The status that goes with an error's code (OCI distribution-spec, error codes); oci-client keeps only the code.
fn status_of(envelope: &OciEnvelope) -> Option<StatusCode> {
    match envelope.errors.first()?.code {
        OciErrorCode::NameUnknown | OciErrorCode::NotFound | OciErrorCode::ManifestUnknown => {
            Some(StatusCode::NOT_FOUND)
        }
        OciErrorCode::Unauthorized => Some(StatusCode::UNAUTHORIZED),
        OciErrorCode::Denied => Some(StatusCode::FORBIDDEN),
        OciErrorCode::Toomanyrequests => Some(StatusCode::TOO_MANY_REQUESTS),
        _ => None,
    }
}

/// Does work in a task of its own, which ends with this future; should it panic, only that task dies.
async fn apart<T: Send + 'static>(
    at: &Reference,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Error> {
    let mut tasks = JoinSet::new();
    tasks.spawn(work);
    match tasks.join_next().await {
        Some(Ok(value)) => Ok(value),
        _ => Err(Error::new(
            at,
            Cause::Protocol("the answer cannot be worked with".to_owned()),
        )),
    }
}
