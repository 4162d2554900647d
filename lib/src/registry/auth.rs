//! Logging in to one host: what it wants is learnt from its first 401, tokens are kept until they expire.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{
    StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde::Deserialize;
use tokio::{sync::Mutex, time::timeout};

use super::{
    Cause, Credentials, Error, Reference, Registry, Secret,
    challenge::{self, Challenge},
    host::Host,
    http,
    retry::{Again, Failure, after_status},
};

/// How long a token lives that does not say (docker's token specification).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// A token is not used in its last seconds, so that it does not expire on its way.
const MARGIN: Duration = Duration::from_secs(10);
/// More than any token server says.
const MAX_TOKEN_BODY: usize = 1 << 20;

/// What a request must be allowed to do: `repository:NAME:ACTIONS`, one for each repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Access(Vec<String>);

impl Access {
    /// Only to be let in.
    pub(super) fn nothing() -> Self {
        Self(Vec::new())
    }

    pub(super) fn pull(at: &Reference) -> Self {
        Self(vec![format!("repository:{}:pull", at.repository())])
    }

    pub(super) fn push(at: &Reference) -> Self {
        Self(vec![format!("repository:{}:pull,push", at.repository())])
    }

    pub(super) fn delete(at: &Reference) -> Self {
        Self(vec![format!("repository:{}:pull,push,delete", at.repository())])
    }

    /// And reading this repository of the same host.
    pub(super) fn and_pull(mut self, repository: &str) -> Self {
        self.0.push(format!("repository:{repository}:pull"));
        self
    }
}

/// The login state of one host. Locked while a token is fetched, so that parallel transfers fetch it once.
#[derive(Default)]
pub(super) struct Auth {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    challenge: Option<Challenge>,
    tokens: HashMap<Access, Token>,
    logins: HashMap<String, Login>,
}

struct Token {
    header: HeaderValue,
    expires: Instant,
}

/// What the keychain said about a repository.
#[derive(Clone)]
enum Login {
    As(Credentials),
    /// Why there is none.
    Anonymous(String),
}

impl Auth {
    /// The `Authorization` to send; none if no login is wanted, or none is to be had.
    pub(super) async fn authorization(
        &self,
        registry: &Registry,
        host: &Host,
        at: &Reference,
        access: &Access,
    ) -> Result<Option<HeaderValue>, Failure> {
        let mut state = self.state.lock().await;
        let Some(challenge) = state.challenge.clone() else {
            return Ok(None);
        };
        let (realm, service) = match challenge {
            Challenge::Basic => return Ok(state.login(registry, at).await.basic()),
            Challenge::Bearer { realm, service } => (realm, service),
        };
        if let Some(token) = state
            .tokens
            .get(access)
            .filter(|token| token.expires > Instant::now())
        {
            return Ok(Some(token.header.clone()));
        }
        let login = state.login(registry, at).await;
        let asked = Instant::now();
        let wanted = Wanted {
            realm,
            service,
            scopes: access.0.clone(),
        };
        let grant = registry.fetch_token(host, at, &login, wanted).await?;
        let expires = asked + grant.lifetime().saturating_sub(MARGIN);
        let header = grant.header(at)?;
        state.tokens.insert(
            access.clone(),
            Token {
                header: header.clone(),
                expires,
            },
        );
        Ok(Some(header))
    }

    /// Takes note of a 401; says whether the same request with another login may go better.
    pub(super) async fn challenged(
        &self,
        headers: &HeaderMap,
        used: Option<HeaderValue>,
        access: &Access,
    ) -> bool {
        let mut state = self.state.lock().await;
        let Some(challenge) = challenge::of_response(headers) else {
            return false;
        };
        let password_refused = challenge == Challenge::Basic && used.is_some();
        state.challenge = Some(challenge);
        // Another transfer may have renewed the token meanwhile.
        if state
            .tokens
            .get(access)
            .is_some_and(|token| Some(&token.header) == used.as_ref())
        {
            state.tokens.remove(access);
        }
        !password_refused
    }

    /// For the error after a 401: what was tried, and what to do.
    ///
    /// Registries with tokens answer so for what does not exist, too, lest strangers learn what does.
    pub(super) async fn why_unauthorized(&self, registry: &Registry, at: &Reference) -> String {
        let mut state = self.state.lock().await;
        let login = state.login(registry, at).await;
        match (&login, &state.challenge) {
            (Login::Anonymous(_), Some(Challenge::Bearer { .. })) => {
                format!("there is no such repository, or {}", login.why_refused(at))
            }
            _ => login.why_refused(at),
        }
    }

    /// For the error after a 403: who was denied.
    pub(super) async fn who(&self, registry: &Registry, at: &Reference) -> String {
        match self.state.lock().await.login(registry, at).await {
            Login::As(credentials) => format!("{} may not do this", credentials.describe()),
            Login::Anonymous(why) => format!("without a login, and {why}"),
        }
    }
}

impl State {
    /// Asks the keychain, once for each repository.
    async fn login(&mut self, registry: &Registry, at: &Reference) -> Login {
        if let Some(login) = self.logins.get(at.repository()) {
            return login.clone();
        }
        let keychain = Arc::clone(&registry.inner.keychain);
        let (host, repository) = (at.host().to_owned(), at.repository().to_owned());
        let ask = move || match keychain.credentials(&host, &repository) {
            Ok(Some(credentials)) => Login::As(credentials),
            Ok(None) => Login::Anonymous(format!(
                "there are no credentials for {host} in {}",
                list(&keychain.looks_in())
            )),
            Err(error) => Login::Anonymous(format!("the credentials for {host} cannot be had: {error}")),
        };
        let asked = tokio::task::spawn_blocking(ask).await;
        let login = asked.unwrap_or_else(|error| Login::Anonymous(format!("the keychain failed: {error}")));
        self.logins.insert(at.repository().to_owned(), login.clone());
        login
    }
}

fn list(places: &[String]) -> String {
    if places.is_empty() {
        "an empty keychain".to_owned()
    } else {
        places.join(", ")
    }
}

impl Login {
    fn basic(&self) -> Option<HeaderValue> {
        match self {
            Self::As(Credentials {
                secret: Secret::Password { username, password },
                ..
            }) => secret_header(&format!(
                "Basic {}",
                BASE64_STANDARD.encode(format!("{username}:{password}"))
            )),
            Self::As(Credentials {
                secret: Secret::RegistryToken(token),
                ..
            }) => secret_header(&format!("Bearer {token}")),
            _ => None,
        }
    }

    fn why_refused(&self, at: &Reference) -> String {
        match self {
            Self::As(credentials) => format!("{} was not accepted; {}", credentials.describe(), advice(at)),
            Self::Anonymous(why) => format!("it wants a login, and {why}; {}", advice(at)),
        }
    }
}

/// What to do about a login that is missing or wrong.
fn advice(at: &Reference) -> String {
    format!("log in with `rbuild login {}`", at.host())
}

fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// What to ask the token server for.
struct Wanted {
    realm: String,
    service: Option<String>,
    scopes: Vec<String>,
}

/// What a token server answers: docker's name for the token, OAuth2's name, or both.
#[derive(Default, Deserialize)]
struct Grant {
    token: Option<String>,
    access_token: Option<String>,
    /// In seconds.
    expires_in: Option<u64>,
}

impl Grant {
    fn lifetime(&self) -> Duration {
        self.expires_in.map_or(DEFAULT_LIFETIME, |seconds| {
            Duration::from_secs(seconds).max(DEFAULT_LIFETIME)
        })
    }

    fn header(&self, at: &Reference) -> Result<HeaderValue, Error> {
        let mut tokens = self.token.iter().chain(&self.access_token);
        let token = tokens.find(|token| !token.is_empty());
        token
            .and_then(|token| secret_header(&format!("Bearer {token}")))
            .ok_or_else(|| {
                Error::new(
                    at,
                    Cause::Protocol("the token server sends no usable token".to_owned()),
                )
            })
    }
}

impl Registry {
    async fn fetch_token(
        &self,
        host: &Host,
        at: &Reference,
        login: &Login,
        wanted: Wanted,
    ) -> Result<Grant, Failure> {
        if let Login::As(Credentials {
            secret: Secret::RegistryToken(token),
            ..
        }) = login
        {
            return Ok(Grant {
                token: Some(token.clone()),
                ..Grant::default()
            });
        }
        let failed = |message: String| {
            let tried = login.why_refused(at);
            Error::new(
                at,
                Cause::Login {
                    realm: wanted.realm.clone(),
                    tried,
                    message,
                },
            )
        };
        let url = Url::parse(&wanted.realm).map_err(|error| failed(error.to_string()))?;
        if url.scheme() != "https" && host.base.scheme() == "https" && matches!(login, Login::As(_)) {
            return Err(failed("it is not reached by TLS, so no password is sent to it".to_owned()).into());
        }
        let idle = self.inner.settings.idle_timeout;
        let answer = timeout(idle, token_request(host, url.clone(), login, &wanted).send()).await;
        let response = match answer {
            Ok(answer) => answer.map_err(|error| http::failure(at, error))?,
            Err(_) => return Err(http::silent(at, &url, idle)),
        };
        if response.status() != StatusCode::OK {
            let (status, again) = (
                response.status(),
                after_status(response.status(), response.headers()),
            );
            let message = self.message(response).await;
            let error = match again {
                Again::No => failed(format!("{status} {message}").trim_end().to_owned()),
                _ => Error::new(
                    at,
                    Cause::Status {
                        status,
                        message: format!("from {}: {message}", wanted.realm),
                    },
                ),
            };
            return Err(Failure { error, again });
        }
        let body = self.body(response, at, MAX_TOKEN_BODY).await?;
        let no_token = |error| Error::new(at, Cause::Protocol(format!("{url} gives no token: {error}")));
        Ok(serde_json::from_slice(&body).map_err(no_token)?)
    }
}

/// GET with a password or nothing, POST with an identity token (docker's token and OAuth2 specifications).
fn token_request(host: &Host, mut url: Url, login: &Login, wanted: &Wanted) -> reqwest::RequestBuilder {
    let service = wanted.service.iter().map(|service| ("service", service.clone()));
    if let Login::As(Credentials {
        secret: Secret::IdentityToken(token),
        ..
    }) = login
    {
        let fixed = [
            ("grant_type", "refresh_token"),
            ("client_id", "rbuild"),
            ("refresh_token", token),
        ];
        let fixed = fixed.map(|(key, value)| (key, value.to_owned()));
        let scope = [("scope", wanted.scopes.join(" "))];
        return host
            .client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form(url, fixed.into_iter().chain(service).chain(scope)));
    }
    let scopes = wanted.scopes.iter().map(|scope| ("scope", scope.clone()));
    url.query_pairs_mut().extend_pairs(service.chain(scopes));
    let request = host.client.get(url);
    match login.basic() {
        Some(password) => request.header(reqwest::header::AUTHORIZATION, password),
        None => request,
    }
}

/// The pairs as a form is sent, which is as a query is written.
fn form(mut url: Url, pairs: impl Iterator<Item = (&'static str, String)>) -> String {
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}
