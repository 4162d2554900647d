//! Pulling blobs: streamed, checked, and gone on with where a connection broke.

use std::io::Write;

use bytes::Bytes;
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_RANGE, RANGE},
};
use tokio::time::timeout;

use super::{
    Cause, Error, Kind, Reference, Registry,
    auth::Access,
    host::Host,
    http,
    retry::{Again, Attempts, Failure},
};
use crate::{
    Digest, Event, Hasher,
    event::{Direction, Moved, Sink, TransferId, next_transfer},
    image::Descriptor,
};

/// So much more of a blob is progress that makes earlier failures not count.
const PROGRESS: u64 = 1 << 20;
/// So many bytes are between two events about a transfer.
const EVENT_STEP: u64 = 256 << 10;

/// What a blob must turn out to be.
#[derive(Clone, Copy)]
pub(super) struct Blob {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

impl From<&Descriptor> for Blob {
    fn from(descriptor: &Descriptor) -> Self {
        Self {
            digest: descriptor.digest,
            size: descriptor.size,
        }
    }
}

/// The bytes of a blob as they come, checked against its digest and size.
///
/// The end is told only after all bytes were found right; what came before an error is not to be trusted.
pub struct BlobStream {
    registry: Registry,
    at: Reference,
    /// Where else it can be pulled from, the registry itself last.
    sources: Option<std::vec::IntoIter<Reference>>,
    blob: Blob,
    response: Option<Response>,
    /// Bytes at the head of the current response that were given out before, as the registry does not know ranges.
    skip: u64,
    received: u64,
    hasher: Option<Hasher>,
    attempts: Attempts,
    /// `received` when the failures were last counted from 0.
    counted_from: u64,
}

impl Registry {
    /// Begins to pull a blob. No request is made before the first bytes are asked for.
    pub fn blob_stream(&self, at: &Reference, blob: &Descriptor) -> BlobStream {
        BlobStream {
            registry: self.clone(),
            at: at.without_selector(),
            sources: None,
            blob: blob.into(),
            response: None,
            skip: 0,
            received: 0,
            hasher: Some(Hasher::new()),
            attempts: self.inner.settings.retry.start(),
            counted_from: 0,
        }
    }

    /// Pulls a blob into `out`, and tells `sink` how far it is.
    ///
    /// After an error, what was written is not to be trusted.
    pub async fn pull_blob(
        &self,
        at: &Reference,
        blob: &Descriptor,
        out: &mut (dyn Write + Send),
        sink: &Sink,
    ) -> Result<(), Error> {
        let mut progress = Progress::start(sink, Direction::Pull, blob.into(), at);
        let mut stream = self.blob_stream(at, blob);
        let failed = |error| Error::new(&at.without_selector(), Cause::Write(error));
        while let Some(bytes) = stream.next().await? {
            out.write_all(&bytes).map_err(failed)?;
            progress.reach(stream.received);
        }
        out.flush().map_err(failed)?;
        progress.finish(Moved::Copied);
        Ok(())
    }

    /// Whether the repository has a blob.
    pub async fn has_blob(&self, at: &Reference, digest: Digest) -> Result<bool, Error> {
        let at = at.without_selector();
        let path = blob_path(&at, digest);
        let head = |host: &Host| host.client.head(host.url(&path));
        let retry = self.inner.settings.retry;
        let found = retry
            .run(&at, async || {
                let response = self.request(&at, &Access::pull(&at), head).await?;
                self.expect(response, &at, Kind::Blob, &[StatusCode::OK]).await
            })
            .await;
        match found {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn blob_path(at: &Reference, digest: Digest) -> String {
    format!("/v2/{}/blobs/{digest}", at.repository())
}

impl BlobStream {
    /// Bytes so far.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The next bytes; none at the end, when everything was found right.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let failure = match self.read().await {
                Ok(Some(bytes)) if bytes.is_empty() => continue,
                Ok(Some(bytes)) => return Ok(Some(bytes)),
                Ok(None) | Err(_) if self.is_complete() => return self.check().map(|()| None),
                Ok(None) => self.broken("the connection was closed".to_owned()),
                Err(failure) => failure,
            };
            self.response = None;
            // A mirror gets no second chance as long as there are others.
            if let Some(next) = self.sources.as_mut().and_then(Iterator::next) {
                self.at = next.without_selector();
                continue;
            }
            if self.received - self.counted_from >= PROGRESS {
                self.counted_from = self.received;
                self.attempts.forget();
            }
            self.attempts.pause(&self.at, failure).await?;
        }
    }

    /// What comes next on the connection, which is made if there is none; empty if it was only bytes known already.
    async fn read(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.hasher.is_none() {
            return Ok(None);
        }
        let idle = self.registry.inner.settings.idle_timeout;
        let response = match &mut self.response {
            Some(response) => response,
            None => {
                let (response, skip) = self.connect().await?;
                self.skip = skip;
                self.response.insert(response)
            }
        };
        let mut bytes = match timeout(idle, response.chunk()).await {
            Ok(Ok(Some(bytes))) => bytes,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(error)) => return Err(self.broken(http::reason(&error))),
            Err(_) => return Err(self.broken(format!("nothing came for {} s", idle.as_secs_f32()))),
        };
        let known = self.skip.min(bytes.len() as u64);
        self.skip -= known;
        let bytes = bytes.split_off(known as usize);
        self.received += bytes.len() as u64;
        if self.received > self.blob.size {
            return Err(self.wrong_size(self.received).into());
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        Ok(Some(bytes))
    }

    /// Asks for what is still missing; the number is of bytes that come again before it.
    async fn connect(&mut self) -> Result<(Response, u64), Failure> {
        if self.sources.is_none() {
            let mut sources = self
                .registry
                .sources(&self.at.with_digest(self.blob.digest))?
                .into_iter();
            self.at = sources
                .next()
                .map_or_else(|| self.at.clone(), |first| first.without_selector());
            self.sources = Some(sources);
        }
        let (at, from) = (&self.at, self.received);
        let path = blob_path(at, self.blob.digest);
        let get = |host: &Host| match from {
            0 => host.get(&path),
            from => host.get(&path).header(RANGE, format!("bytes={from}-")),
        };
        let response = self.registry.request(at, &Access::pull(at), get).await?;
        let statuses = [StatusCode::OK, StatusCode::PARTIAL_CONTENT];
        let response = self.registry.expect(response, at, Kind::Blob, &statuses).await?;
        let begins_at = match response.status() {
            StatusCode::PARTIAL_CONTENT => range_start(&response).unwrap_or(from),
            _ => 0,
        };
        if begins_at > from {
            let cause = Cause::Protocol(format!(
                "asked for byte {from} of {}, got byte {begins_at}",
                self.blob.digest
            ));
            return Err(Error::new(at, cause).into());
        }
        match response
            .content_length()
            .map(|length| begins_at.saturating_add(length))
        {
            Some(size) if size != self.blob.size => Err(self.wrong_size(size).into()),
            _ => Ok((response, from - begins_at)),
        }
    }

    /// Whether all bytes are there, so that it does not matter how the connection ends.
    fn is_complete(&self) -> bool {
        self.received == self.blob.size && (self.response.is_some() || self.hasher.is_none())
    }

    fn check(&mut self) -> Result<(), Error> {
        // Asked again after the end, there is nothing left to check.
        let Some(hasher) = self.hasher.take() else {
            return Ok(());
        };
        let (expected, actual) = (self.blob.digest, hasher.finish());
        if actual == expected {
            Ok(())
        } else {
            Err(Error::new(&self.at, Cause::WrongDigest { expected, actual }))
        }
    }

    fn broken(&self, reason: String) -> Failure {
        let Blob { digest, size } = self.blob;
        let cause = Cause::Broken {
            digest,
            received: self.received,
            size,
            reason,
        };
        Failure {
            error: Error::new(&self.at, cause),
            again: Again::Yes,
        }
    }

    fn wrong_size(&self, actual: u64) -> Error {
        let Blob { digest, size } = self.blob;
        Error::new(
            &self.at,
            Cause::WrongSize {
                digest,
                expected: size,
                actual,
            },
        )
    }
}

/// The first byte of `Content-Range: bytes FIRST-LAST/SIZE`.
pub(super) fn range_start(response: &Response) -> Option<u64> {
    let value = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    value
        .trim()
        .strip_prefix("bytes")?
        .trim_start()
        .split('-')
        .next()?
        .parse()
        .ok()
}

/// Tells a sink about one transfer, not too often.
pub(crate) struct Progress {
    sink: Sink,
    transfer: TransferId,
    bytes: u64,
    told: u64,
}

impl Progress {
    pub(super) fn start(sink: &Sink, direction: Direction, blob: Blob, at: &Reference) -> Self {
        Self::begin(sink, direction, Some(blob.digest), blob.size, at.name())
    }

    pub(crate) fn begin(
        sink: &Sink,
        direction: Direction,
        digest: Option<Digest>,
        size: u64,
        place: String,
    ) -> Self {
        let transfer = next_transfer();
        sink(Event::TransferStarted {
            transfer,
            direction,
            digest,
            size,
            place,
        });
        Self {
            sink: sink.clone(),
            transfer,
            bytes: 0,
            told: 0,
        }
    }

    /// So many bytes of it have moved; fewer than before if it begins again.
    pub(crate) fn reach(&mut self, bytes: u64) {
        self.bytes = bytes;
        if bytes.abs_diff(self.told) >= EVENT_STEP {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.told = self.bytes;
        (self.sink)(Event::TransferProgress {
            transfer: self.transfer,
            bytes: self.bytes,
        });
    }

    pub(crate) fn finish(mut self, how: Moved) {
        if self.bytes != self.told {
            self.tell();
        }
        (self.sink)(Event::TransferFinished {
            transfer: self.transfer,
            how,
        });
    }
}
