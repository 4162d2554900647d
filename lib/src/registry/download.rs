//! Files from any web server: with the certificates, proxies and retries that registries have.

use std::{
    io::{self, Write},
    sync::PoisonError,
};

use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Url,
    header::{
        ACCEPT_ENCODING, CONTENT_DISPOSITION, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
        LAST_MODIFIED, RANGE,
    },
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    Cause, Error, Registry, host, http,
    pull::{Progress, range_start},
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
    /// What the server calls it (`Content-Disposition`), a name without slashes.
    pub name: Option<String>,
}

/// As much of a file as has come.
struct Part<W> {
    out: W,
    hasher: Hasher,
    size: u64,
    validators: Validators,
    name: Option<String>,
}

impl<W> Part<W> {
    fn begin(out: W, response: &Response) -> Self {
        Self {
            out,
            hasher: Hasher::new(),
            size: 0,
            validators: validators(response),
            name: disposition(response),
        }
    }

    /// The tag by which the server knows whether the rest still fits: a weak one does not say (RFC 9110, 13.1.5).
    fn tag(&self) -> Option<&str> {
        let tag = self.validators.etag.as_deref()?;
        (self.size > 0 && !tag.starts_with("W/")).then_some(tag)
    }

    /// Whether an answer with a part of a file begins where this one ends.
    fn goes_on(&self, response: &Response) -> bool {
        let same = validators(response)
            .etag
            .is_none_or(|tag| Some(tag) == self.validators.etag);
        same && range_start(response) == Some(self.size)
    }

    fn finish(self) -> Downloaded<W> {
        Downloaded {
            out: self.out,
            digest: self.hasher.finish(),
            size: self.size,
            validators: self.validators,
            name: self.name,
        }
    }
}

impl Registry {
    /// Downloads a file; nothing if it is still the one that `known` is about.
    ///
    /// A transfer that broke off is resumed where the server can say that the file is the same. Otherwise, what comes
    /// is written to what `begin` makes anew.
    pub async fn download<W: Write + Send>(
        &self,
        url: &str,
        known: Option<&Validators>,
        begin: impl Fn() -> io::Result<W> + Send + Sync,
        sink: &Sink,
    ) -> Result<Option<Downloaded<W>>, Error> {
        self.fetch(url, None, known, begin, sink).await
    }

    /// Downloads a file for which the server wants a token.
    pub async fn download_with_token<W: Write + Send>(
        &self,
        url: &str,
        token: &str,
        begin: impl Fn() -> io::Result<W> + Send + Sync,
        sink: &Sink,
    ) -> Result<Downloaded<W>, Error> {
        let found = self.fetch(url, Some(token), None, begin, sink).await?;
        found.ok_or_else(|| Error::new(&without_password(url), Cause::Protocol("nothing came".to_owned())))
    }

    async fn fetch<W: Write + Send>(
        &self,
        url: &str,
        token: Option<&str>,
        known: Option<&Validators>,
        begin: impl Fn() -> io::Result<W> + Send + Sync,
        sink: &Sink,
    ) -> Result<Option<Downloaded<W>>, Error> {
        let place = without_password(url);
        let failed = |cause| Error::new(&place, cause);
        let url = Url::parse(url).map_err(|error| failed(Cause::Protocol(format!("bad URL: {error}"))))?;
        let client = self.site(&url).map_err(failed)?;
        let mut attempts = self.inner.settings.retry.start();
        let (mut progress, mut part) = (None, None);
        loop {
            let attempt = async {
                let request = request(client.get(url.clone()), known, part.as_ref());
                let request = token
                    .iter()
                    .fold(request, |request, token| request.bearer_auth(token));
                let response = self.answer(request, &url, &place).await?;
                let kept = part.take();
                let mut next = match (response.status(), kept) {
                    (StatusCode::NOT_MODIFIED, None) if known.is_some() => return Ok(false),
                    (StatusCode::PARTIAL_CONTENT, Some(part)) => match part.goes_on(&response) {
                        true => part,
                        false => {
                            let why = "the server sent another part than was asked for";
                            return Err(broken(&response, &place, part.size, why));
                        }
                    },
                    (StatusCode::OK, _) => {
                        let out = begin().map_err(|error| failed(Cause::Write(error)))?;
                        Part::begin(out, &response)
                    }
                    (_, kept) => {
                        part = kept;
                        return Err(self.no_file(response, &place).await);
                    }
                };
                let size = next.size + response.content_length().unwrap_or(0);
                let begin_progress = || Progress::begin(sink, Direction::Pull, None, size, place.clone());
                let progress = progress.get_or_insert_with(begin_progress);
                let received = self.receive(response, &mut next, &place, progress).await;
                part = Some(next);
                received.map(|()| true)
            };
            match attempt.await {
                Ok(true) => {
                    progress
                        .into_iter()
                        .for_each(|progress| progress.finish(Moved::Copied));
                    return Ok(part.map(Part::finish));
                }
                Ok(false) => return Ok(None),
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
        part: &mut Part<W>,
        place: &str,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let idle = self.inner.settings.idle_timeout;
        loop {
            let chunk = match timeout(idle, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) => return Err(broken(&response, place, part.size, &http::reason(&error))),
                Err(_) => return Err(broken(&response, place, part.size, "nothing more came")),
            };
            part.out
                .write_all(&chunk)
                .map_err(|error| Error::new(place, Cause::Write(error)))?;
            part.hasher.update(&chunk);
            part.size += chunk.len() as u64;
            progress.reach(part.size);
        }
    }
}

/// Asks for the rest of a file, if there is a part of it that can be trusted; else for all of it, as its bytes are.
fn request<W>(request: RequestBuilder, known: Option<&Validators>, part: Option<&Part<W>>) -> RequestBuilder {
    match part.and_then(|part| Some((part.size, part.tag()?))) {
        Some((from, tag)) => request
            .header(ACCEPT_ENCODING, "identity")
            .header(RANGE, format!("bytes={from}-"))
            .header(IF_RANGE, tag),
        None => conditional(request, known),
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

/// `filename` of `Content-Disposition` (RFC 6266), its last component.
fn disposition(response: &Response) -> Option<String> {
    let value = response.headers().get(CONTENT_DISPOSITION)?.to_str().ok()?;
    file_name_parameter(value)
}

fn file_name_parameter(value: &str) -> Option<String> {
    let (_, mut rest) = value.split_once(';')?;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (text, next) = parameter(after.trim_start());
        if name.trim().eq_ignore_ascii_case("filename") {
            let name = text.rsplit('/').next().unwrap_or_default();
            let fits = !matches!(name, "" | "." | "..") && !name.contains('\0');
            return fits.then(|| name.to_owned());
        }
        rest = next.split_once(';')?.1;
    }
}

/// A token, or a quoted string without its quotes; and what follows it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return (token.trim_end().to_owned(), rest);
    };
    let (mut value, mut characters) = (String::new(), quoted.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    (value, characters.as_str())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_servers_give() {
        for (header, name) in [
            ("attachment", None),
            ("attachment; filename=a.txt", Some("a.txt")),
            ("attachment; FileName = \"a b\\\"c;d\" ; x=y", Some("a b\"c;d")),
            ("inline; x=\"filename=no;\"; filename=yes", Some("yes")),
            ("attachment; filename=../../etc/passwd", Some("passwd")),
            ("attachment; filename=\"dir/\"", None),
            ("attachment; filename=..", None),
            ("attachment; filename=", None),
            ("attachment; filename*=UTF-8''x", None),
            ("; ; =; filename", None),
            ("attachment; filename=\"open", Some("open")),
        ] {
            assert_eq!(file_name_parameter(header).as_deref(), name, "{header}");
        }
    }
}
