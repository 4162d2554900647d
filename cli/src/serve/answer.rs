//! Answers, as what they say and how.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    body::Frame,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER},
};

use super::{log::Log, multipart};

/// What goes out.
pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Which build an answer is about; a caller may choose the name.
pub const BUILD_ID: HeaderName = HeaderName::from_static("x-build-id");

/// How long those should wait who come at a bad time.
const COME_BACK: Duration = Duration::from_secs(10);

/// Text.
pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    typed(status, "text/plain; charset=utf-8", text)
}

/// Text of another type.
pub fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// A log, while it is written.
pub fn log(log: Log) -> Answer {
    let pieces = stream::unfold((log, 0), |(log, from)| async move {
        let (piece, next) = log.read(from).await?;
        Some((Ok(Frame::data(piece)), (log, next)))
    });
    let mut answer = Response::new(StreamBody::new(pieces).boxed_unsync());
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// Why a request is not done.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub why: String,
}

impl Refusal {
    pub fn new(status: StatusCode, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { status, why }
    }
}

/// What is wrong with a request.
impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{error:#}"))
    }
}

impl From<multipart::Error> for Refusal {
    fn from(error: multipart::Error) -> Self {
        use multipart::Error::{Broken, Malformed, Silent, TooLarge};
        match error {
            TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the context is larger than --max-context-bytes of the build machine allows",
            ),
            Silent(time) => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("nothing came for {} seconds", time.as_secs()),
            ),
            Broken => Self::new(StatusCode::BAD_REQUEST, "the body cannot be read"),
            Malformed(why) => Self::new(StatusCode::BAD_REQUEST, format!("reading part: {why}")),
        }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let mut answer = text(refusal.status, refusal.why + "\n");
        let headers = answer.headers_mut();
        match refusal.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, COME_BACK.as_secs().into());
            }
            StatusCode::UNAUTHORIZED => {
                let scheme = HeaderValue::from_static("Bearer realm=\"rbuild\"");
                headers.insert(hyper::header::WWW_AUTHENTICATE, scheme);
            }
            _ => {}
        }
        answer
    }
}
