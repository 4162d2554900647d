//! Files from a web server in this process.

use std::sync::{Arc, Mutex};

use rbuild_testutils::web::{Asked, Reply, WebServer};

use super::{client, noise, run};
use crate::{
    Digest, Event, event,
    registry::{Downloaded, Validators},
};

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn get(url: &str, known: Option<&Validators>) -> Result<Option<Downloaded<Vec<u8>>>, String> {
    let (client, sink) = (client(), event::ignore());
    run(client.download(url, known, || Ok(Vec::new()), &sink)).map_err(|error| error.to_string())
}

/// A server with one file, which honours conditions.
fn server() -> WebServer {
    WebServer::start(|asked: &Asked| {
        let same = asked.header("if-none-match") == Some("\"one\"");
        let reply = if same {
            Reply::status(304, "")
        } else {
            Reply::ok("file")
        };
        reply.with("ETag", "\"one\"").with("Last-Modified", DATE)
    })
}

#[test]
fn a_file_and_what_is_said_of_it() {
    let server = server();
    let found = get(&server.url("/a?b=c#d"), None).unwrap().unwrap();
    assert_eq!(
        (&found.out[..], found.digest, found.size),
        (&b"file"[..], Digest::of("file"), 4)
    );
    assert_eq!(found.validators.etag.as_deref(), Some("\"one\""));
    assert_eq!(found.validators.mtime(), Some(784_111_777));
    let asked = server.asked();
    assert_eq!((asked.len(), asked[0].target.as_str()), (1, "/a?b=c"));
    assert_eq!(asked[0].header("accept-encoding"), Some("identity"));
    assert!(get(&server.url("/a"), Some(&found.validators)).unwrap().is_none());
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("if-modified-since"), Some(DATE));
}

#[test]
fn redirects_and_passwords() {
    let target = server();
    let to = target.url("/there");
    let server = WebServer::start(move |_| Reply::status(302, "").with("Location", &to));
    assert_eq!(get(&server.url("/here"), None).unwrap().unwrap().out, b"file");
    let url = target.url("/").replace("http://", "http://me:secret@");
    assert!(get(&url, None).unwrap().is_some());
    let last = target.asked().pop().unwrap();
    // me:secret
    assert_eq!(last.header("authorization"), Some("Basic bWU6c2VjcmV0"));
}

#[test]
fn what_breaks_is_fetched_again() {
    let bytes = noise(100_000);
    let body = bytes.clone();
    let left = Mutex::new(vec![
        Reply::status(503, ""),
        Reply::ok(bytes.clone()).cut(70_000),
        Reply::status(429, "").with("Retry-After", "0"),
    ]);
    let server = WebServer::start(move |_| {
        let fault = left.lock().unwrap().pop();
        fault.unwrap_or_else(|| Reply::ok(body.clone()))
    });
    let found = get(&server.url("/"), None).unwrap().unwrap();
    assert!(found.out == bytes);
    assert_eq!(found.digest, Digest::of(&bytes));
    assert_eq!(server.asked().len(), 4);
}

/// The rest is asked for where a tag says that it fits; and if it does not fit, the whole file.
#[test]
fn what_breaks_goes_on_where_it_broke() {
    let bytes = noise(100_000);
    for (tag, moved_on, requests) in [
        ("\"one\"", false, 3),
        ("\"one\"", true, 2),
        ("W/\"one\"", false, 2),
    ] {
        let (body, count) = (bytes.clone(), Mutex::new(0));
        let server = WebServer::start(move |asked| {
            let mut count = count.lock().unwrap();
            *count += 1;
            let from = asked.header("range").map(|range| {
                assert_eq!(asked.header("if-range"), Some("\"one\""));
                let from = range
                    .strip_prefix("bytes=")
                    .and_then(|range| range.strip_suffix('-'));
                from.unwrap().parse::<usize>().unwrap()
            });
            match (from, *count) {
                (None, 1) => Reply::ok(body.clone()).cut(70_000).with("ETag", tag),
                (Some(70_000), 2) if !moved_on => Reply::status(206, &body[70_000..])
                    .cut(20_000)
                    .with("ETag", tag)
                    .with("Content-Range", "bytes 70000-99999/100000"),
                (Some(90_000), 3) => {
                    Reply::status(206, &body[90_000..]).with("Content-Range", "bytes 90000-99999/100000")
                }
                (Some(_), 2) => Reply::ok("another file").with("ETag", "\"two\""),
                (None, 2) => Reply::ok(body.clone()).with("ETag", tag),
                other => panic!("{other:?}"),
            }
        });
        let known = Validators {
            etag: Some("\"old\"".to_owned()),
            ..Validators::default()
        };
        let found = get(&server.url("/"), Some(&known)).unwrap().unwrap();
        let (expected, kept) = match moved_on {
            true => (&b"another file"[..], "\"two\""),
            false => (&bytes[..], tag),
        };
        assert!(found.out == expected, "{tag} {moved_on}");
        assert_eq!(
            (found.digest, found.size),
            (Digest::of(expected), expected.len() as u64)
        );
        assert_eq!(found.validators.etag.as_deref(), Some(kept));
        assert_eq!(server.asked().len(), requests);
    }
}

/// A part that does not follow what is there is not taken for it.
#[test]
fn a_wrong_part_is_not_appended() {
    let count = Mutex::new(0);
    let server = WebServer::start(move |asked| {
        let mut count = count.lock().unwrap();
        *count += 1;
        match *count {
            1 => Reply::ok("0123456789").cut(5).with("ETag", "\"one\""),
            2 => Reply::status(206, "789").with("Content-Range", "bytes 7-9/10"),
            _ => {
                assert_eq!(asked.header("range"), None);
                Reply::ok("0123456789")
            }
        }
    });
    assert_eq!(get(&server.url("/"), None).unwrap().unwrap().out, b"0123456789");
}

#[test]
fn what_cannot_be_had() {
    let server = WebServer::start(|asked| match asked.target.as_str() {
        "/gone" => Reply::status(410, "<html>gone</html>"),
        "/busy" => Reply::status(503, "try later"),
        "/same" => Reply::status(304, ""),
        "/short" => Reply::ok("0123456789").cut(4),
        _ => Reply::status(404, "no such page"),
    });
    let host = server.host();
    let table = [
        ("/gone", "the server answers 410 Gone".to_owned(), 1),
        (
            "/none",
            "the server answers 404 Not Found (no such page)".to_owned(),
            1,
        ),
        (
            "/busy",
            "the server answers 503 Service Unavailable (try later)".to_owned(),
            4,
        ),
        ("/same", "the server answers 304 Not Modified".to_owned(), 1),
        (
            "/short",
            format!("cannot reach {host}: the transfer broke off after 4 bytes: "),
            4,
        ),
    ];
    for (path, expected, attempts) in table {
        let url = server.url(path).replace("http://", "http://me:secret@");
        let error = get(&url, None).unwrap_err();
        let place = url.replace(":secret", "");
        assert!(error.starts_with(&format!("{place}: {expected}")), "{error}");
        assert!(!error.contains("secret"), "{error}");
        assert_eq!(server.asked().len(), attempts, "{path}");
    }
    for (url, expected) in [("http://", "bad URL"), ("ftp://127.0.0.1/", "scheme")] {
        let error = get(url, None).unwrap_err();
        assert!(error.contains(expected), "{url}: {error}");
    }
}

#[test]
fn tells_how_far_it_is() {
    let server = WebServer::start(|_| Reply::ok(noise(1 << 20)));
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink: event::Sink = {
        let told = told.clone();
        Arc::new(move |event| told.lock().unwrap().push(event))
    };
    let url = server.url("/big");
    let client = client();
    run(client.download(&url, None, || Ok(std::io::sink()), &sink)).unwrap();
    let told = told.lock().unwrap();
    assert!(
        matches!(&told[0], Event::TransferStarted { digest: None, size: 1_048_576, place, .. } if *place == url)
    );
    assert!(
        told.iter()
            .any(|event| matches!(event, Event::TransferProgress { bytes: 1_048_576, .. }))
    );
    assert!(matches!(told.last(), Some(Event::TransferFinished { .. })));
}
