//! Requests as OpenRun sends them: a form whose length is not said beforehand.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Fails the test unless the status is this.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.body);
        self
    }
}

/// A form, and headers that go with it.
#[derive(Clone, Default)]
pub struct Form {
    parts: Vec<(String, Vec<u8>)>,
    pub headers: Vec<(String, String)>,
}

impl Form {
    /// The two parts of a build.
    pub fn new(meta: &Value, context: &[u8]) -> Self {
        Self::default()
            .part("meta", meta.to_string().as_bytes())
            .part("file", context)
    }

    pub fn part(mut self, name: &str, bytes: &[u8]) -> Self {
        self.parts.push((name.to_owned(), bytes.to_owned()));
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As multipart/form-data.
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, bytes) in &self.parts {
            let file = match name.as_str() {
                "file" => "; filename=\"cl_app:1-context.tar.gz\"\r\nContent-Type: application/octet-stream",
                _ => "\r\nContent-Type: application/json",
            };
            body.extend(
                format!("--BOUNDARY\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n")
                    .bytes(),
            );
            body.extend(bytes);
            body.extend(b"\r\n");
        }
        body.extend(b"--BOUNDARY--\r\n");
        body
    }

    /// The head of a request, without its end.
    pub fn head(&self, token: Option<&str>) -> String {
        let mut head = "POST /_openrun/delegate_build HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
            Content-Type: multipart/form-data; boundary=BOUNDARY\r\n"
            .to_owned();
        let token = token.map(|token| ("Authorization".to_owned(), format!("Bearer {token}")));
        for (name, value) in self.headers.iter().cloned().chain(token) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    /// The whole request, its body in chunks.
    pub fn request(&self, token: Option<&str>) -> Vec<u8> {
        let mut request = format!("{}Transfer-Encoding: chunked\r\n\r\n", self.head(token)).into_bytes();
        request.extend(chunked(&self.body()));
        request
    }
}

/// A body in chunks.
pub fn chunked(body: &[u8]) -> Vec<u8> {
    let mut chunks = Vec::new();
    for chunk in body.chunks(32 << 10) {
        chunks.extend(format!("{:x}\r\n", chunk.len()).bytes());
        chunks.extend(chunk);
        chunks.extend(b"\r\n");
    }
    chunks.extend(b"0\r\n\r\n");
    chunks
}

/// Sends a request and reads the answer. A server may answer before it has all of it.
pub fn send(address: &str, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut writer = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(request));
        receive(&mut stream)
    })
}

/// Reads an answer to the end of the connection.
pub fn receive(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    parse(&bytes)
}

pub fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut answer = Answer {
        status: status.unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    };
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = unchunked(body);
    }
    answer
}

/// The text of a body in chunks, as far as it goes.
fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(rest.get(..size).unwrap());
        body = rest.get(size + 2..).unwrap_or_default();
    }
    text
}

/// A context with these files.
pub fn tar_gz(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    add(&mut tar, files);
    tar.into_inner().unwrap().finish().unwrap()
}

fn add(tar: &mut tar::Builder<impl Write>, files: &[(&str, &str)]) {
    for (name, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
}

/// A context with these symlinks, one of which is `Containerfile`; one may have no target.
pub fn tar_gz_of_links(links: &[(&str, &str)], files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, target) in links {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_path(name).unwrap();
        if !target.is_empty() {
            header.set_link_name(target).unwrap();
        }
        header.set_cksum();
        tar.append(&header, &[][..]).unwrap();
    }
    add(&mut tar, files);
    tar.into_inner().unwrap().finish().unwrap()
}
