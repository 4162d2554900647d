//! Pushing blobs: not at all where the registry has them, by mount where another of its repositories does, else as a stream.

use std::{
    io::{self, Read},
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use reqwest::{
    Body, Request, Response, StatusCode, Url,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{
    Cause, Error, Kind, Reference, Registry,
    auth::Access,
    host::Host,
    http,
    pull::{Blob, Progress},
    retry::{Again, Failure},
};
use crate::{
    Digest,
    event::{Direction, Moved, Sink},
    image::Descriptor,
};

/// Read from the source at once.
const READ_SIZE: usize = 256 << 10;
/// Read ahead of the network, in reads.
const READ_AHEAD: usize = 4;
/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(100);
/// A registry may be silent for this many times the idle timeout after it got all bytes, as it may have to check and move them.
const PATIENCE: u32 = 5;
/// The size of chunks where one request for all was too large.
const FALLBACK_CHUNK: usize = 16 << 20;
const OCTETS: &str = "application/octet-stream";

/// Opens the bytes of a blob, again for each attempt.
pub type Source<'a> = &'a (dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync);

/// What the registry made of the wish to upload.
enum Begun {
    Mounted,
    /// Where the bytes should go.
    Upload {
        location: Url,
        min_chunk: usize,
    },
}

impl Registry {
    /// Makes a blob of another repository of the same registry appear in this one too; false if the registry did not do it.
    pub async fn mount_blob(&self, at: &Reference, digest: Digest, from: &str) -> Result<bool, Error> {
        let at = at.without_selector();
        let access = Access::push(&at).and_pull(from);
        let retry = self.inner.settings.retry;
        let begun = retry
            .run(&at, || self.begin(&at, &access, Some((digest, from))))
            .await;
        match begun {
            Ok(Begun::Mounted) => Ok(true),
            Ok(Begun::Upload { location, .. }) => {
                // Only a courtesy: an upload that nobody goes on with is swept up by the registry in time.
                let _ = self
                    .request(&at, &access, |host| host.client.delete(location.clone()))
                    .await;
                Ok(false)
            }
            Err(error) if is_refusal(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts a blob into the repository unless it is there; `from` is a repository of the same registry that may have it.
    ///
    /// The registry checks the digest.
    pub async fn push_blob(
        &self,
        at: &Reference,
        blob: &Descriptor,
        from: Option<&str>,
        source: Source<'_>,
        sink: &Sink,
    ) -> Result<Moved, Error> {
        let blob = Blob::from(blob);
        let at = &at.without_selector();
        let mut progress = Progress::start(sink, Direction::Push, blob, at);
        let mut chunk = self.inner.settings.chunk_size;
        let mut attempts = self.inner.settings.retry.start();
        let how = loop {
            // Asked before each attempt: the last one may have succeeded, and only its answer been lost.
            if self.has_blob(at, blob.digest).await? {
                break Moved::Existed;
            }
            match self.push_once(at, blob, from, chunk, source, &mut progress).await {
                Ok(how) => break how,
                Err(failure) if chunk.is_none() && is_too_large(&failure.error) => {
                    chunk = Some(FALLBACK_CHUNK)
                }
                Err(failure) => attempts.pause(at, failure).await?,
            }
        };
        progress.finish(how);
        Ok(how)
    }

    async fn push_once(
        &self,
        at: &Reference,
        blob: Blob,
        from: Option<&str>,
        chunk: Option<usize>,
        source: Source<'_>,
        progress: &mut Progress,
    ) -> Result<Moved, Failure> {
        let mut begun = None;
        if let Some(from) = from {
            let access = Access::push(at).and_pull(from);
            begun = match self.begin(at, &access, Some((blob.digest, from))).await {
                Err(failure) if is_refusal(&failure.error) => None,
                begun => Some(begun?),
            };
        }
        let begun = match begun {
            Some(begun) => begun,
            None => self.begin(at, &Access::push(at), None).await?,
        };
        let Begun::Upload { location, min_chunk } = begun else {
            return Ok(Moved::Mounted);
        };
        let unreadable = |source| {
            Error::new(
                at,
                Cause::Source {
                    digest: blob.digest,
                    source,
                },
            )
        };
        let reader = source().map_err(unreadable)?;
        match chunk {
            Some(size) => {
                self.upload_in_chunks(at, blob, location, size.max(min_chunk), reader, progress)
                    .await?
            }
            None => self.upload_at_once(at, blob, location, reader, progress).await?,
        }
        Ok(Moved::Copied)
    }

    async fn begin(
        &self,
        at: &Reference,
        access: &Access,
        mount: Option<(Digest, &str)>,
    ) -> Result<Begun, Failure> {
        let query = mount
            .map(|(digest, from)| format!("?mount={digest}&from={from}"))
            .unwrap_or_default();
        let path = format!("/v2/{}/blobs/uploads/{query}", at.repository());
        let post = |host: &Host| host.client.post(host.url(&path)).header(CONTENT_LENGTH, 0);
        let response = self.request(at, access, post).await?;
        let response = self
            .expect(
                response,
                at,
                Kind::Repository,
                &[StatusCode::ACCEPTED, StatusCode::CREATED],
            )
            .await?;
        if response.status() == StatusCode::CREATED && mount.is_some() {
            return Ok(Begun::Mounted);
        }
        let min_chunk = response
            .headers()
            .get("oci-chunk-min-length")
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let location = self.location(at, &response).await?;
        Ok(Begun::Upload {
            location,
            min_chunk: min_chunk.unwrap_or(0),
        })
    }

    async fn location(&self, at: &Reference, response: &Response) -> Result<Url, Failure> {
        let host = self.host(at).await?;
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let wrong = || {
            Error::new(
                at,
                Cause::Protocol("it does not say where to upload to".to_owned()),
            )
        };
        Ok(location
            .and_then(|location| host.follow(location))
            .ok_or_else(wrong)?)
    }

    /// All bytes in the request that also ends the upload.
    async fn upload_at_once(
        &self,
        at: &Reference,
        blob: Blob,
        location: Url,
        reader: Box<dyn Read + Send>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let host = self.host(at).await?;
        let (body, feed) = feed(reader);
        let put = host
            .client
            .put(with_digest(location, blob.digest))
            .header(CONTENT_TYPE, OCTETS);
        let put = put.header(CONTENT_LENGTH, blob.size).body(body);
        let (request, _) = self.prepare(&host, at, &Access::push(at), put).await?;
        let sent = self
            .execute_upload(&host, at, request, &feed, blob.size, progress)
            .await;
        if let Some(source) = feed.take_error() {
            return Err(Error::new(
                at,
                Cause::Source {
                    digest: blob.digest,
                    source,
                },
            )
            .into());
        }
        let response = sent?;
        self.expect_upload(response, at, &[StatusCode::CREATED, StatusCode::NO_CONTENT])
            .await
            .map(drop)
    }

    /// Waits for the answer as long as bytes move.
    async fn execute_upload(
        &self,
        host: &Host,
        at: &Reference,
        request: Request,
        feed: &Feed,
        size: u64,
        progress: &mut Progress,
    ) -> Result<Response, Failure> {
        let idle = self.inner.settings.idle_timeout;
        let url = request.url().clone();
        let mut answer = pin!(host.client.execute(request));
        let (mut moved, mut last_move) = (0, Instant::now());
        loop {
            let answered = timeout(TICK.min(idle), answer.as_mut()).await;
            let sent = feed.sent.load(Ordering::Relaxed);
            progress.reach(sent);
            if let Ok(answered) = answered {
                return answered.map_err(|error| http::failure(at, error));
            }
            if sent != moved {
                (moved, last_move) = (sent, Instant::now());
            }
            let patience = if sent == size { idle * PATIENCE } else { idle };
            if last_move.elapsed() > patience {
                return Err(http::silent(at, &url, patience));
            }
        }
    }

    /// A request for each chunk, and one that ends the upload.
    async fn upload_in_chunks(
        &self,
        at: &Reference,
        blob: Blob,
        mut location: Url,
        size: usize,
        mut reader: Box<dyn Read + Send>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let access = Access::push(at);
        let mut sent = 0;
        while sent < blob.size {
            let (rest, chunk) = read_chunk(reader, size).await.map_err(|source| {
                Error::new(
                    at,
                    Cause::Source {
                        digest: blob.digest,
                        source,
                    },
                )
            })?;
            reader = rest;
            let end = sent + chunk.len() as u64;
            if chunk.is_empty() || end > blob.size {
                return Err(Error::new(
                    at,
                    Cause::WrongSize {
                        digest: blob.digest,
                        expected: blob.size,
                        actual: end,
                    },
                )
                .into());
            }
            let patch = |host: &Host| {
                let patch = host.client.patch(location.clone()).header(CONTENT_TYPE, OCTETS);
                patch
                    .header(CONTENT_RANGE, format!("{sent}-{}", end - 1))
                    .body(chunk.clone())
            };
            let response = self.request(at, &access, patch).await?;
            let response = self.expect_upload(response, at, &[StatusCode::ACCEPTED]).await?;
            location = self.location(at, &response).await?;
            sent = end;
            progress.reach(sent);
        }
        let put = |host: &Host| {
            host.client
                .put(with_digest(location.clone(), blob.digest))
                .header(CONTENT_LENGTH, 0)
        };
        let response = self.request(at, &access, put).await?;
        self.expect_upload(response, at, &[StatusCode::CREATED, StatusCode::NO_CONTENT])
            .await
            .map(drop)
    }

    /// Like [`expect`](Self::expect); an upload that the registry has forgotten, or a login that ran out in the middle, is reason to begin
    /// again.
    async fn expect_upload(
        &self,
        response: Response,
        at: &Reference,
        statuses: &[StatusCode],
    ) -> Result<Response, Failure> {
        let forgotten = matches!(
            response.status(),
            StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::UNAUTHORIZED
        );
        self.expect(response, at, Kind::Repository, statuses)
            .await
            .map_err(|failure| match failure.again {
                Again::No if forgotten => Failure {
                    again: Again::Yes,
                    ..failure
                },
                _ => failure,
            })
    }
}

/// Whether the registry answered, and said no.
fn is_refusal(error: &Error) -> bool {
    match error.cause() {
        Cause::NotFound { .. } | Cause::Unauthorized { .. } | Cause::Denied { .. } | Cause::Login { .. } => {
            true
        }
        Cause::Status { status, .. } => status.is_client_error(),
        _ => false,
    }
}

fn is_too_large(error: &Error) -> bool {
    matches!(
        error.cause(),
        Cause::Status {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..
        }
    )
}

fn with_digest(mut location: Url, digest: Digest) -> Url {
    location
        .query_pairs_mut()
        .append_pair("digest", &digest.to_string());
    location
}

/// What the thread that reads and the task that sends know of each other.
#[derive(Default)]
struct Feed {
    sent: AtomicU64,
    error: Mutex<Option<io::Error>>,
}

impl Feed {
    fn take_error(&self) -> Option<io::Error> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A body that a blocking thread reads; the thread ends when the body is dropped.
fn feed(mut reader: Box<dyn Read + Send>) -> (Body, Arc<Feed>) {
    let feed = Arc::new(Feed::default());
    let (sender, mut receiver) = mpsc::channel::<io::Result<Bytes>>(READ_AHEAD);
    let of_reader = Arc::clone(&feed);
    tokio::task::spawn_blocking(move || {
        loop {
            match read_up_to(&mut *reader, READ_SIZE) {
                Ok(bytes) if bytes.is_empty() => return,
                Ok(bytes) => {
                    if sender.blocking_send(Ok(bytes)).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let copy = io::Error::new(error.kind(), error.to_string());
                    *of_reader.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    let _ = sender.blocking_send(Err(copy));
                    return;
                }
            }
        }
    });
    let of_sender = Arc::clone(&feed);
    let stream = futures_util::stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|item| {
            let bytes = item
                .as_ref()
                .and_then(|item| item.as_ref().ok())
                .map_or(0, Bytes::len);
            of_sender.sent.fetch_add(bytes as u64, Ordering::Relaxed);
            item
        })
    });
    (Body::wrap_stream(stream), feed)
}

async fn read_chunk(
    mut reader: Box<dyn Read + Send>,
    size: usize,
) -> io::Result<(Box<dyn Read + Send>, Bytes)> {
    let read = move || read_up_to(&mut *reader, size).map(|bytes| (reader, bytes));
    tokio::task::spawn_blocking(read)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Fewer bytes only at the end.
fn read_up_to(reader: &mut dyn Read, size: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(size);
    reader.take(size as u64).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}
