//! Requests and answers on the wire (RFC 9112), as much of it as clients of registries use.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::fd::AsFd,
    thread,
    time::Duration,
};

use super::{
    Kind, Seen, Shared, api,
    fault::{self, Fault},
    lock,
};

/// How long a stalled answer keeps its connection open, if the client does not close it.
const STALL: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// By its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Clone, Default)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub fn body(mut self, bytes: &[u8]) -> Self {
        self.body = bytes.to_vec();
        self
    }

    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::new(status)
            .with("Content-Type", "application/json")
            .body(value.to_string().as_bytes())
    }

    /// Status line and headers.
    pub fn head(&self) -> String {
        let mut head = format!(
            "HTTP/1.1 {} Test\r\nContent-Length: {}\r\n",
            self.status,
            self.body.len()
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + "\r\n"
    }

    /// An error in the registries' form.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(
            status,
            &serde_json::json!({ "errors": [{ "code": code, "message": message }] }),
        )
    }
}

/// Answers the requests of one connection until it ends. Closing it is left to its owner: a shutdown would come before a reset.
pub(super) fn serve(connection: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(connection);
    // An error is the end of the connection, whoever ended it.
    while let Ok(true) = serve_one(&mut reader, connection, shared) {}
}

fn serve_one(
    reader: &mut BufReader<&TcpStream>,
    connection: &TcpStream,
    shared: &Shared,
) -> io::Result<bool> {
    let Some(mut request) = read_head(reader)? else {
        return Ok(false);
    };
    let (kind, repository, name) = api::route(&request);
    let fault = fault::take(&mut lock(&shared.faults), kind);
    let is_upload = matches!(kind, Kind::UploadChunk | Kind::UploadFinish | Kind::ManifestPut);
    if let (Some(Fault::Reset(after)), true) = (&fault, is_upload) {
        io::copy(&mut reader.take(*after as u64), &mut io::sink())?;
        note(shared, kind, repository, name, (0, *after, 0));
        return reset(connection).map(|()| false);
    }
    if request
        .header("expect")
        .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    {
        (&mut &*connection).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    read_body(reader, &mut request)?;
    let mut answer = match &fault {
        Some(Fault::Status(status)) => Answer::error(*status, "FAULT", "this is a test"),
        Some(Fault::RetryAfter(status, value)) => {
            Answer::error(*status, "TOOMANYREQUESTS", "this is a test").with("Retry-After", value)
        }
        Some(Fault::NoRange) => {
            request.headers.retain(|(name, _)| name != "range");
            api::answer(&request, kind, &repository, &name, shared)
        }
        _ => api::answer(&request, kind, &repository, &name, shared),
    };
    match &fault {
        Some(Fault::WrongBytes) => answer.body.first_mut().into_iter().for_each(|byte| *byte ^= 1),
        Some(Fault::TooLong) => answer.body.push(0),
        Some(Fault::WrongDigestHeader) => {
            answer = answer.with("Docker-Content-Digest", &super::digest(b"something else"));
        }
        _ => {}
    }
    let (status, received) = (answer.status, request.body.len());
    // Noted before the client can see the answer, so that tests can count as soon as they have it.
    let sent = if request.method == "HEAD" {
        0
    } else {
        planned(&answer, &fault)
    };
    note(shared, kind, repository, name, (status, received, sent));
    write_answer(connection, &request, &answer, fault.as_ref())
}

fn note(
    shared: &Shared,
    kind: Kind,
    repository: String,
    name: String,
    (status, received, sent): (u16, usize, usize),
) {
    lock(&shared.seen).push(Seen {
        kind,
        repository,
        name,
        status,
        received,
        sent,
    });
}

/// How much of the body will be sent.
fn planned(answer: &Answer, fault: &Option<Fault>) -> usize {
    match fault {
        Some(Fault::Reset(after) | Fault::Truncate(after) | Fault::Stall(after)) => {
            answer.body.len().min(*after)
        }
        _ => answer.body.len(),
    }
}

pub fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: decode(path),
        query: pairs(query),
        ..Request::default()
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => request
                .headers
                .push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => return Ok(Some(request)),
        }
    }
}

pub fn read_body(reader: &mut impl BufRead, request: &mut Request) -> io::Result<()> {
    if request
        .header("transfer-encoding")
        .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let digits = line.trim().split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
            reader.take(size).read_to_end(&mut request.body)?;
            reader.read_line(&mut String::new())?;
            if size == 0 {
                return Ok(());
            }
        }
    }
    let size: u64 = request
        .header("content-length")
        .and_then(|value| value.parse().ok())
        .unwrap_or(0);
    reader.take(size).read_to_end(&mut request.body)?;
    if request.body.len() as u64 == size {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// True if the connection may be used again.
fn write_answer(
    mut connection: &TcpStream,
    request: &Request,
    answer: &Answer,
    fault: Option<&Fault>,
) -> io::Result<bool> {
    if let Some(Fault::LoseAnswer) = fault {
        return reset(connection).map(|()| false);
    }
    connection.write_all(answer.head().as_bytes())?;
    let body: &[u8] = if request.method == "HEAD" {
        &[]
    } else {
        &answer.body
    };
    let part = |after: usize| body.get(..after).unwrap_or(body);
    match fault {
        Some(Fault::Reset(after)) => {
            connection.write_all(part(*after))?;
            // A reset overtakes what was sent before it: let that arrive.
            thread::sleep(Duration::from_millis(30));
            reset(connection)?;
            return Ok(false);
        }
        Some(Fault::Truncate(after)) => {
            connection.write_all(part(*after))?;
            // An answer that is whole leaves a connection that its client may use again.
            return Ok(part(*after).len() == body.len());
        }
        Some(Fault::Stall(after)) => {
            connection.write_all(part(*after))?;
            connection.set_read_timeout(Some(STALL))?;
            let _ = connection.read(&mut [0]);
            return Ok(false);
        }
        Some(Fault::Slow(size, pause)) => {
            for piece in body.chunks(*size) {
                connection.write_all(piece)?;
                thread::sleep(*pause);
            }
        }
        _ => connection.write_all(body)?,
    }
    Ok(!request
        .header("connection")
        .is_some_and(|value| value.eq_ignore_ascii_case("close")))
}

/// Ends a connection by RST, which is what a socket does that is closed with nothing to linger for.
fn reset(connection: &TcpStream) -> io::Result<()> {
    let linger = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    nix::sys::socket::setsockopt(&connection.as_fd(), nix::sys::socket::sockopt::Linger, &linger)?;
    Ok(())
}

/// `a=b&c=d`, decoded.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(&value.replace('+', " "))))
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail
            .get(..2)
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
