//! Files from any web server: with the certificates, proxies and retries that registries have.

use std::{
    io::{self, Write},
    sync::PoisonError,
};

use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Url,
    header::{ACCEPT_ENCODING, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    Cause, Error, Registry, host, http,
    pull::Progress,
    retry::{Again, Failure, after_status},
};
use crate::{
    Digest, Hasher,
    event::{Direction, Moved, Sink},
};

/// What a server says of a file, so that it can be asked later whether the file is still the same (RFC 9110, 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// `ETag`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// `Last-Modified`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

/// A file that was downloaded.
#[derive(Debug)]
pub struct Downloaded<W> {
    /// What it was written to.
    pub out: W,
    /// Of its bytes.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// For the next time.
    pub validators: Validators,
}

impl Registry {
    /// Downloads a file; nothing if it is still the one that `known` is about.
    ///
    /// Each attempt writes to what `begin` makes anew.
    pub async fn download<W: Write + Send>(
        &self,
        url: &str,
        known: Option<&Validators>,
        begin: impl Fn() -> io::Result<W> + Send + Sync,
        sink: &Sink,
    ) -> Result<Option<Downloaded<W>>, Error> {
        let place = without_password(url);
        let failed = |cause| Error::new(&place, cause);
        let url = Url::parse(url).map_err(|error| failed(Cause::Protocol(format!("bad URL: {error}"))))?;
        let client = self.site(&url).map_err(failed)?;
        let ask = || conditional(client.get(url.clone()), known);
        let mut attempts = self.inner.settings.retry.start();
        let mut progress = None;
        loop {
            let attempt = async {
                let response = self.answer(ask(), &url, &place).await?;
                match response.status() {
                    StatusCode::NOT_MODIFIED if known.is_some() => return Ok(None),
                    StatusCode::OK => {}
                    _ => return Err(self.no_file(response, &place).await),
                }
                let size = response.content_length().unwrap_or(0);
                let begin_progress = || Progress::begin(sink, Direction::Pull, None, size, place.clone());
                let progress = progress.get_or_insert_with(begin_progress);
                let out = begin().map_err(|error| failed(Cause::Write(error)))?;
                self.receive(response, out, &place, progress).await.map(Some)
            };
            match attempt.await {
                Ok(found) => {
                    progress
                        .into_iter()
                        .for_each(|progress| progress.finish(Moved::Copied));
                    return Ok(found);
                }
                Err(failure) => attempts.pause(&place, failure).await?,
            }
        }
    }

    /// The client for a host.
    fn site(&self, url: &Url) -> Result<Client, Cause> {
        let name = http::authority(url);
        let mut sites = self.inner.sites.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = sites.get(&name) {
            return Ok(client.clone());
        }
        let settings = &self.inner.settings;
        let client = host::client(&name, settings, !host::is_insecure(&name, settings))?;
        sites.insert(name, client.clone());
        Ok(client)
    }

    async fn answer(&self, request: RequestBuilder, url: &Url, place: &str) -> Result<Response, Failure> {
        let idle = self.inner.settings.idle_timeout;
        match timeout(idle, request.send()).await {
            Ok(answer) => answer.map_err(|error| http::failure(place, error)),
            Err(_) => Err(http::silent(place, url, idle)),
        }
    }

    /// Puts an answer that is no file into words.
    async fn no_file(&self, response: Response, place: &str) -> Failure {
        let status = response.status();
        let again = after_status(status, response.headers());
        let message = self.message(response).await;
        Failure {
            error: Error::new(place, Cause::Status { status, message }),
            again,
        }
    }

    async fn receive<W: Write + Send>(
        &self,
        mut response: Response,
        mut out: W,
        place: &str,
        progress: &mut Progress,
    ) -> Result<Downloaded<W>, Failure> {
        let (idle, validators) = (self.inner.settings.idle_timeout, validators(&response));
        let (mut hasher, mut size) = (Hasher::new(), 0);
        loop {
            let chunk = match timeout(idle, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(broken(&response, place, size, &http::reason(&error))),
                Err(_) => return Err(broken(&response, place, size, "nothing more came")),
            };
            out.write_all(&chunk)
                .map_err(|error| Error::new(place, Cause::Write(error)))?;
            hasher.update(&chunk);
            size += chunk.len() as u64;
            progress.reach(size);
        }
        let digest = hasher.finish();
        Ok(Downloaded {
            out,
            digest,
            size,
            validators,
        })
    }
}

/// Asks for the file only if it has changed; and for its bytes as they are, not compressed for the way.
fn conditional(request: RequestBuilder, known: Option<&Validators>) -> RequestBuilder {
    let request = request.header(ACCEPT_ENCODING, "identity");
    let Some(known) = known else { return request };
    let conditions = [
        (IF_NONE_MATCH, &known.etag),
        (IF_MODIFIED_SINCE, &known.last_modified),
    ];
    conditions
        .into_iter()
        .fold(request, |request, (name, value)| match value {
            Some(value) => request.header(name, value),
            None => request,
        })
}

fn validators(response: &Response) -> Validators {
    let header = |name: HeaderName| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    Validators {
        etag: header(ETAG),
        last_modified: header(LAST_MODIFIED),
    }
}

impl Validators {
    /// Whether they are good for anything.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// When the file was last modified, seconds since 1970.
    pub fn mtime(&self) -> Option<i64> {
        let parsed = jiff::fmt::rfc2822::parse(self.last_modified.as_deref()?.trim()).ok()?;
        Some(parsed.timestamp().as_second())
    }
}

fn broken(response: &Response, place: &str, received: u64, reason: &str) -> Failure {
    let cause = Cause::Connection {
        host: http::authority(response.url()),
        reason: format!("the transfer broke off after {received} bytes: {reason}"),
    };
    Failure {
        error: Error::new(place, cause),
        again: Again::Yes,
    }
}

/// A URL as it may be shown.
pub(crate) fn without_password(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            // Cannot fail: a URL that has a password can be without.
            let _ = parsed.set_password(None);
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}
