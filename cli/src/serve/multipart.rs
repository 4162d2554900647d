//! A body of `multipart/form-data` (RFC 7578), read part by part in bounded memory.
//!
//! No more is held than one piece of the body, or the headers of one part.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use memchr::memmem;
use tokio::time::timeout;

/// The headers of a part may have so many bytes.
const MAX_HEADERS: usize = 16 << 10;
/// A boundary has at most so many characters (RFC 2046, 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// Why a body cannot be read.
#[derive(Debug)]
pub enum Error {
    /// It is longer than it may be.
    TooLarge,
    /// Nothing came for so long.
    Silent(Duration),
    /// The connection broke.
    Broken,
    /// It is not what its type says.
    Malformed(&'static str),
}

/// How much and how slowly.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Bytes of the whole body.
    pub bytes: u64,
    /// Between two pieces of it.
    pub silence: Duration,
}

/// A body, part by part.
pub struct Multipart<B> {
    body: B,
    buffer: BytesMut,
    /// CRLF, two dashes, the boundary.
    delimiter: Vec<u8>,
    place: Place,
    left: u64,
    silence: Duration,
}

/// Where in the body we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a part, or in what comes before the first.
    Inside,
    /// Right behind a delimiter.
    Behind,
    /// Behind the last delimiter.
    Ended,
}

impl<B: Body<Data = Bytes> + Unpin> Multipart<B> {
    /// A body whose `Content-Type` is this.
    pub fn new(content_type: &str, body: B, patience: Patience) -> Result<Self, Error> {
        let is_form = content_type
            .get(..10)
            .is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/"));
        if !is_form {
            return Err(Error::Malformed("expected multipart/form-data"));
        }
        let boundary = parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty());
        let boundary = boundary.ok_or(Error::Malformed("missing multipart boundary"))?;
        if boundary.len() > MAX_BOUNDARY {
            return Err(Error::Malformed("the multipart boundary is too long"));
        }
        Ok(Self {
            body,
            // The first delimiter may stand at the very beginning.
            buffer: BytesMut::from("\r\n"),
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            place: Place::Inside,
            left: patience.bytes,
            silence: patience.silence,
        })
    }

    /// Goes to the next part, and says its name; what was not read of the one before is passed over.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        while self.chunk().await?.is_some() {}
        if self.place == Place::Ended {
            return Ok(None);
        }
        while self.buffer.len() < 2 {
            self.more().await?;
        }
        if self.buffer.starts_with(b"--") {
            self.place = Place::Ended;
            return Ok(None);
        }
        let headers = self.headers().await?;
        self.place = Place::Inside;
        let text = String::from_utf8_lossy(&headers);
        let disposition = text.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-disposition").then_some(value)
        });
        let name = disposition.and_then(|value| parameter(value, "name"));
        name.ok_or(Error::Malformed("a part has no name")).map(Some)
    }

    /// The next piece of the part.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        while self.place == Place::Inside {
            if let Some(at) = memmem::find(&self.buffer, &self.delimiter) {
                let data = self.buffer.split_to(at).freeze();
                self.buffer.advance(self.delimiter.len());
                self.place = Place::Behind;
                return Ok(Some(data).filter(|data| !data.is_empty()));
            }
            // The end may be the beginning of a delimiter.
            let sure = (self.buffer.len() + 1).saturating_sub(self.delimiter.len());
            if sure > 0 {
                return Ok(Some(self.buffer.split_to(sure).freeze()));
            }
            self.more().await?;
        }
        Ok(None)
    }

    /// Reads what follows the last part, so that the connection is free for what comes next.
    pub async fn finish(mut self) -> Result<(), Error> {
        while self.fill().await? {
            self.buffer.clear();
        }
        Ok(())
    }

    /// The headers of the part that begins here.
    async fn headers(&mut self) -> Result<Bytes, Error> {
        loop {
            if let Some(at) = memmem::find(&self.buffer, b"\r\n\r\n") {
                let headers = self.buffer.split_to(at).freeze();
                self.buffer.advance(4);
                return Ok(headers);
            }
            if self.buffer.len() > MAX_HEADERS {
                return Err(Error::Malformed("the headers of a part are too long"));
            }
            self.more().await?;
        }
    }

    /// Reads on, inside of the body.
    async fn more(&mut self) -> Result<(), Error> {
        match self.fill().await? {
            true => Ok(()),
            false => Err(Error::Malformed("the body ends before its last boundary")),
        }
    }

    /// Reads on; false at the end of the body.
    async fn fill(&mut self) -> Result<bool, Error> {
        loop {
            let frame = timeout(self.silence, self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| Error::Silent(self.silence))? else {
                return Ok(false);
            };
            let Ok(data) = frame.map_err(|_| Error::Broken)?.into_data() else {
                continue;
            };
            let size = data.len() as u64;
            self.left = self.left.checked_sub(size).ok_or(Error::TooLarge)?;
            self.buffer.extend_from_slice(&data);
            return Ok(true);
        }
    }
}

/// A parameter of a header: `form-data; name="meta"` (RFC 9110, 5.6.6).
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let (_, mut rest) = value.split_once(';')?;
    loop {
        let (name, behind) = rest.split_once('=')?;
        let is_wanted = name.trim().eq_ignore_ascii_case(wanted);
        let (found, next) = match behind.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (token, next) = behind.split_once(';').unwrap_or((behind, ""));
                (token.trim().to_owned(), next)
            }
        };
        if is_wanted {
            return Some(found);
        }
        rest = next.trim_start().trim_start_matches(';');
    }
}

/// The text of a quoted string, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut found = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((found, text.get(at + 1..)?)),
            '\\' => found.push(letters.next()?.1),
            letter => found.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=B";

    /// The parts of a body that comes in pieces of this size.
    fn parts(
        content_type: &str,
        body: &[u8],
        size: usize,
        most: u64,
    ) -> Result<Vec<(String, String)>, Error> {
        let pieces: Vec<_> = body
            .chunks(size)
            .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let body = StreamBody::new(futures_util::stream::iter(pieces));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let patience = Patience {
                bytes: most,
                silence: Duration::from_secs(60),
            };
            let mut multipart = Multipart::new(content_type, body, patience)?;
            let mut parts = Vec::new();
            while let Some(name) = multipart.next().await? {
                let mut data = Vec::new();
                while let Some(chunk) = multipart.chunk().await? {
                    data.extend_from_slice(&chunk);
                }
                parts.push((name, String::from_utf8(data).unwrap()));
            }
            multipart.finish().await?;
            Ok(parts)
        })
    }

    #[test]
    fn parts_come_whole_however_they_are_cut() {
        let body = "preamble\r\n--B\r\ncontent-disposition: form-data; name=meta\r\n\r\n{}\r\n\
            --B \r\nX: y\r\nContent-Disposition: form-data; filename=\"a;name=b\"; name=\"fi\\\"le\"\r\n\r\n\
            1\r\n--\r\n--C\r\n\r\n--B\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n\r\n--B--\r\nepilogue";
        let expected = [("meta", "{}"), ("fi\"le", "1\r\n--\r\n--C\r\n"), ("", "")];
        let expected = expected.map(|(name, data)| (name.to_owned(), data.to_owned()));
        for size in [1, 2, 3, 7, 64, 1000] {
            let found = parts(
                "Multipart/Form-Data; charset=x; boundary=\"B\"",
                body.as_bytes(),
                size,
                1000,
            );
            assert_eq!(found.unwrap(), expected, "{size}");
        }
    }

    #[test]
    fn what_is_refused() {
        let head = "--B\r\nContent-Disposition: form-data; name=a\r\n\r\n";
        let long = format!("--B\r\nX: {}", "x".repeat(3 * MAX_HEADERS));
        for (content_type, body, expected) in [
            ("text/plain", "", "expected multipart/form-data"),
            ("multipart/form-data", "", "missing multipart boundary"),
            ("multipart/form-data; boundary=", "", "missing multipart boundary"),
            (TYPE, "", "the body ends before its last boundary"),
            (TYPE, "no boundary", "the body ends before its last boundary"),
            (TYPE, head, "the body ends before its last boundary"),
            (TYPE, "--B\r\nX: y\r\n\r\n\r\n--B--", "a part has no name"),
            (TYPE, &long, "the headers of a part are too long"),
        ] {
            match parts(content_type, body.as_bytes(), 1000, 1 << 20) {
                Err(Error::Malformed(why)) => assert_eq!(why, expected, "{body:.40}"),
                other => panic!("{body:.40}: {other:?}"),
            }
        }
        let whole = format!("{head}data\r\n--B--\r\n");
        let length = whole.len() as u64;
        assert!(parts(TYPE, whole.as_bytes(), 5, length).is_ok());
        assert!(matches!(
            parts(TYPE, whole.as_bytes(), 5, length - 1),
            Err(Error::TooLarge)
        ));
    }
}
