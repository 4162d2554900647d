//! One request: with the login it needs, and with every way it can go wrong put into words.

use std::{error::Error as _, fmt, io, time::Duration};

use bytes::{Bytes, BytesMut};
use oci_client::errors::OciEnvelope;
use reqwest::{
    Request, RequestBuilder, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderValue},
};
use tokio::time::timeout;

use super::{
    Cause, Error, Kind, Reference, Registry,
    auth::Access,
    host::Host,
    retry::{Again, Failure, after_status},
};

/// How much of an error's body is looked at.
const MAX_ERROR_BODY: usize = 64 << 10;
/// How much of a registry's own words is passed on.
const MAX_MESSAGE: usize = 300;

impl Registry {
    /// Makes a request without a body, twice if the registry wants a login first, and gives back any answer but 401.
    pub(super) async fn request(
        &self,
        at: &Reference,
        access: &Access,
        make: impl Fn(&Host) -> RequestBuilder,
    ) -> Result<Response, Failure> {
        let host = self.host(at).await?;
        let idle = self.inner.settings.idle_timeout;
        let mut logged_in = false;
        loop {
            let (request, login) = self.prepare(&host, at, access, make(&host)).await?;
            let answer = timeout(idle, host.client.execute(request)).await;
            let response = match answer {
                Ok(answer) => answer.map_err(|error| failure(at, error))?,
                Err(_) => return Err(silent(at, &host.base, idle)),
            };
            if response.status() != StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
            let another = host.auth.challenged(response.headers(), login, access).await;
            if logged_in || !another {
                return Err(self.refusal(response, &host, at, Kind::Image).await);
            }
            logged_in = true;
        }
    }

    /// A request that carries the login, if one is known to be needed, and that login.
    pub(super) async fn prepare(
        &self,
        host: &Host,
        at: &Reference,
        access: &Access,
        request: RequestBuilder,
    ) -> Result<(Request, Option<HeaderValue>), Failure> {
        let mut request = request.build().map_err(|error| failure(at, error))?;
        if !host.owns(request.url()) {
            return Ok((request, None));
        }
        let login = host.auth.authorization(self, host, at, access).await?;
        if let Some(login) = &login {
            request.headers_mut().insert(AUTHORIZATION, login.clone());
        }
        Ok((request, login))
    }

    /// The answer if its status is one of these, else why it is not.
    pub(super) async fn expect(
        &self,
        response: Response,
        at: &Reference,
        kind: Kind,
        statuses: &[StatusCode],
    ) -> Result<Response, Failure> {
        if statuses.contains(&response.status()) {
            return Ok(response);
        }
        let host = self.host(at).await?;
        Err(self.refusal(response, &host, at, kind).await)
    }

    /// Puts an answer that is not success into words.
    async fn refusal(&self, response: Response, host: &Host, at: &Reference, kind: Kind) -> Failure {
        let status = response.status();
        let again = after_status(status, response.headers());
        let elsewhere = !host.owns(response.url());
        let mut message = self.message(response).await;
        if elsewhere {
            message = format!("from its storage: {message}");
        }
        let cause = match status {
            StatusCode::NOT_FOUND => Cause::NotFound { kind, message },
            StatusCode::UNAUTHORIZED if !elsewhere => Cause::Unauthorized {
                tried: host.auth.why_unauthorized(self, at).await,
                message,
            },
            StatusCode::FORBIDDEN if !elsewhere => Cause::Denied {
                tried: host.auth.who(self, at).await,
                message,
            },
            status => Cause::Status { status, message },
        };
        Failure {
            error: Error::new(at, cause),
            again,
        }
    }

    /// The registry's own words for an error (OCI distribution-spec, error codes).
    pub(super) async fn message(&self, mut response: Response) -> String {
        let mut body = BytesMut::new();
        let idle = self.inner.settings.idle_timeout;
        while let Ok(Ok(Some(chunk))) = timeout(idle, response.chunk()).await {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ERROR_BODY {
                break;
            }
        }
        in_words(&body)
    }

    /// A whole body in memory.
    pub(super) async fn body(
        &self,
        mut response: Response,
        at: &Reference,
        limit: usize,
    ) -> Result<Bytes, Failure> {
        let idle = self.inner.settings.idle_timeout;
        let mut body = BytesMut::new();
        loop {
            match timeout(idle, response.chunk()).await {
                Ok(Ok(Some(chunk))) if body.len() + chunk.len() > limit => {
                    return Err(
                        Error::new(at, Cause::Protocol(format!("it is longer than {limit} bytes"))).into(),
                    );
                }
                Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
                Ok(Ok(None)) => return Ok(body.freeze()),
                // What breaks off half-way does not say where.
                Ok(Err(error)) => return Err(failure(at, error.with_url(response.url().clone()))),
                Err(_) => return Err(silent(at, response.url(), idle)),
            }
        }
    }
}

/// What an error's body says (OCI distribution-spec, error codes), in a few words.
pub(super) fn in_words(body: &[u8]) -> String {
    match serde_json::from_slice::<OciEnvelope>(body) {
        Ok(envelope) => words_of(&envelope),
        // A page for browsers says nothing that its status does not.
        Err(_) if body.trim_ascii_start().starts_with(b"<") => String::new(),
        Err(_) => shorten(&String::from_utf8_lossy(body)),
    }
}

/// The errors of a registry, each with its code.
pub(super) fn words_of(envelope: &OciEnvelope) -> String {
    let items = envelope.errors.iter().map(|error| {
        let code = serde_json::to_value(&error.code).unwrap_or_default();
        match (code.as_str().unwrap_or_default(), error.message.as_str()) {
            (code, "") => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        }
    });
    shorten(&items.collect::<Vec<_>>().join(", "))
}

/// One line without control characters, and not too long.
fn shorten(words: &str) -> String {
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    words
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_MESSAGE)
        .collect()
}

/// No answer to a request, or half an answer.
pub(super) fn failure(at: &(impl fmt::Display + ?Sized), error: reqwest::Error) -> Failure {
    if let Some(tls) = find::<rustls::Error>(&error) {
        let cause = Cause::Tls {
            host: host_of(&error),
            reason: tls_reason(tls),
        };
        return Error::new(at, cause).into();
    }
    if error.is_builder() || error.is_redirect() {
        return Error::new(at, Cause::Protocol(reason(&error))).into();
    }
    let cause = Cause::Connection {
        host: host_of(&error),
        reason: reason(&error),
    };
    Failure {
        error: Error::new(at, cause),
        again: Again::Yes,
    }
}

/// Nothing came for too long.
pub(super) fn silent(at: &(impl fmt::Display + ?Sized), url: &Url, idle: Duration) -> Failure {
    let reason = format!("no answer within {} s", idle.as_secs_f32());
    let cause = Cause::Connection {
        host: authority(url),
        reason,
    };
    Failure {
        error: Error::new(at, cause),
        again: Again::Yes,
    }
}

/// Whether there is nobody to talk to, in TLS or without.
pub(super) fn is_unreachable(error: &reqwest::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    let unreachable = |error: &io::Error| {
        matches!(
            error.kind(),
            ConnectionRefused | HostUnreachable | NetworkUnreachable | TimedOut
        )
    };
    error.is_dns() || error.is_timeout() || find::<io::Error>(error).is_some_and(unreachable)
}

/// The innermost reason of an error: what the system said.
pub(super) fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_timeout() {
        "it took too long to connect".to_owned()
    } else {
        innermost.to_string()
    }
}

fn tls_reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS; if plain HTTP is meant, call it insecure".to_owned()
        }
        rustls::Error::InvalidCertificate(why) => {
            format!(
                "its certificate is not trusted: {why}; SSL_CERT_FILE or certs.d can name who is to be trusted"
            )
        }
        rustls::Error::AlertReceived(alert) => {
            format!("it says {alert:?}; if it wants a client certificate, certs.d can hold one")
        }
        error => error.to_string(),
    }
}

/// The first error of this type among the causes, also where an I/O error wraps it.
fn find<E: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn host_of(error: &reqwest::Error) -> String {
    error.url().map(authority).unwrap_or_default()
}

/// `HOST[:PORT]`
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or(host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn passes_on_what_the_registry_says() {
        let table = [
            (
                r#"{"errors":[{"code":"DENIED","message":"no","detail":{}}]}"#,
                "DENIED: no",
            ),
            (
                r#"{"errors":[{"code":"A"},{"code":"DENIED","message":"b"}]}"#,
                "A, DENIED: b",
            ),
            (
                r#"{"errors":[{"message":"b"}]}"#,
                r#"{"errors":[{"message":"b"}]}"#,
            ),
            ("plain\n words\u{1b}[0m", "plain words[0m"),
            ("<html>503</html>", ""),
            ("", ""),
        ];
        for (body, words) in table {
            assert_eq!(in_words(body.as_bytes()), words, "{body}");
        }
        assert_eq!(in_words("x".repeat(1000).as_bytes()).len(), 300);
    }
}
