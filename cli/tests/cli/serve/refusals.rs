//! What is not let in, and that nothing is left of it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::{
    Server, TOKEN,
    client::{self, Form, tar_gz, tar_gz_of_links},
    eventually, files, meta,
};

fn context() -> Vec<u8> {
    tar_gz(&[("Containerfile", "FROM scratch\nENV A=1\n")])
}

/// What was refused has left nothing.
fn nothing_left(server: &Server) {
    let tmp = server.place.path("store/tmp");
    eventually("an empty directory", || files(&tmp).is_empty());
}

#[test]
fn tokens() {
    let server = Server::start(&[]);
    let form = Form::new(&meta("127.0.0.1:1", "app"), &context());
    for header in [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer wrong"),
        Some("Bearer let me i"),
        Some("Bearer let me in not"),
        Some("Basic bGV0IG1lIGlu"),
        Some("let me in"),
    ] {
        let form = match header {
            Some(header) => form.clone().header("Authorization", header),
            None => form.clone(),
        };
        let answer = client::send(&server.address, &form.request(None)).is(401);
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"rbuild\""),
            "{header:?}"
        );
    }
    nothing_left(&server);
    server.end();
}

#[test]
fn paths_and_methods() {
    let server = Server::start(&[]);
    server.get("/").is(404);
    server.get("/builds").is(404);
    server.get("/_openrun/health").is(200);
    let answer = server.get("/_openrun/delegate_build").is(405);
    assert_eq!(
        (answer.header("allow"), &*answer.body),
        (Some("POST"), "only POST allowed\n")
    );
    let post = "POST /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    client::send(&server.address, post.as_bytes()).is(405);
    client::send(&server.address, b"nonsense\r\n\r\n").is(400);
}

/// Bodies that are not what they should be.
#[test]
fn bodies() {
    let server = Server::start(&[]);
    let right = meta("127.0.0.1:1", "app");
    let whole = Form::new(&right, &context());
    let head = format!("{}Transfer-Encoding: chunked\r\n\r\n", whole.head(Some(TOKEN)));
    let kind = |kind: &str| {
        let head = head.replace("multipart/form-data; boundary=BOUNDARY", kind);
        [head.into_bytes(), client::chunked(&whole.body())].concat()
    };
    let cut = |end: usize| {
        let body = whole.body();
        [
            head.clone().into_bytes(),
            client::chunked(&body[..body.len() - end]),
        ]
        .concat()
    };
    let only = |name: &str, bytes: &[u8]| Form::default().part(name, bytes).request(Some(TOKEN));
    let with_id = |id: &str| whole.clone().header("X-Build-Id", id).request(Some(TOKEN));
    for (request, expected) in [
        (kind("application/json"), "expected multipart/form-data"),
        (kind("multipart/form-data"), "missing multipart boundary"),
        (
            kind("multipart/form-data; boundary=other"),
            "ends before its last boundary",
        ),
        (cut(16), "ends before its last boundary"),
        (cut(200), "ends before its last boundary"),
        (
            only("meta", right.to_string().as_bytes()),
            "missing meta or file part",
        ),
        (only("file", &context()), "missing meta or file part"),
        (only("meta", b"{not json"), "invalid meta json"),
        (only("meta", b"{}"), "invalid meta json"),
        (Form::default().request(Some(TOKEN)), "missing meta or file part"),
        (with_id("../../etc"), "X-Build-Id"),
        (Form::new(&right, b"placeholder").request(Some(TOKEN)), "tar"),
        (
            Form::new(&right, b"\x1f\x8b\x08 and then nothing of the kind").request(Some(TOKEN)),
            "cannot read",
        ),
    ] {
        let answer = client::send(&server.address, &request).is(400);
        assert!(answer.body.contains(expected), "{}", answer.body);
    }
    nothing_left(&server);
    server.end();
}

/// The Containerfile is in the context, wherever its name points.
#[test]
fn tricks_with_paths() {
    let server = Server::start(&[]);
    let named = |name: &str| {
        let mut meta = meta("127.0.0.1:1", "app");
        meta["ContainerFile"] = name.into();
        meta
    };
    let file = ("f", "text");
    for (name, context) in [
        ("../Containerfile", context()),
        ("a/../../Containerfile", context()),
        ("/etc/passwd", context()),
        ("nothing", context()),
        (
            "Containerfile",
            tar_gz_of_links(&[("Containerfile", "/etc/passwd")], &[file]),
        ),
        (
            "Containerfile",
            tar_gz_of_links(&[("Containerfile", "../../../../etc/passwd")], &[file]),
        ),
        ("d/passwd", tar_gz_of_links(&[("d", "/etc")], &[file])),
        (
            "Containerfile",
            tar_gz_of_links(&[("Containerfile", "Containerfile")], &[file]),
        ),
        (
            "Containerfile",
            tar_gz_of_links(&[("Containerfile", "")], &[file]),
        ),
    ] {
        let answer = server.post(&Form::new(&named(name), &context)).is(400);
        assert!(!answer.body.contains("root:"), "{}", answer.body);
    }
    // The files of the context are the context's, too.
    let stolen = [("Containerfile", "FROM scratch\nCOPY passwd /\n")];
    let context = tar_gz_of_links(&[("passwd", "/etc/passwd")], &stolen);
    let answer = server.post(&Form::new(&named("Containerfile"), &context)).is(500);
    assert!(answer.body.contains("\"passwd\" is not in"), "{}", answer.body);
    nothing_left(&server);
    server.end();
}

/// What says that it is too large is not even read; what does not say so is not kept.
#[test]
fn too_large() {
    let server = Server::start(&["--max-context-bytes", "1MB"]);
    let form = Form::new(&meta("127.0.0.1:1", "app"), &[]);
    let head = format!("{}Content-Length: 10000000000\r\n\r\n", form.head(Some(TOKEN)));
    client::send(&server.address, head.as_bytes()).is(413);
    // With no length: it goes on until the server has had enough.
    let mut body = form.body();
    body.truncate(body.len() - "\r\n--BOUNDARY--\r\n".len());
    let head = format!("{}Transfer-Encoding: chunked\r\n\r\n", form.head(Some(TOKEN)));
    let begin = [head.as_bytes(), &unfinished(&body)].concat();
    let more = unfinished(&[b'x'; 32 << 10]);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let mut writer = stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(&begin).unwrap();
            for _ in 0..10_000_000_000 / more.len() {
                if writer.write_all(&more).is_err() {
                    break;
                }
            }
        });
        let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
        // What is still on its way when the server closes resets the connection, behind the answer.
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            answer.extend_from_slice(&piece[..count]);
        }
        client::parse(&answer).is(413);
    });
    // A part that is no file.
    let large = json!({ "x": "x".repeat(2 << 20) }).to_string();
    client::send(
        &server.address,
        &Form::default()
            .part("meta", large.as_bytes())
            .request(Some(TOKEN)),
    )
    .is(413);
    nothing_left(&server);
    server.end();
}

/// Chunks, after which there are more.
fn unfinished(body: &[u8]) -> Vec<u8> {
    let mut chunks = client::chunked(body);
    chunks.truncate(chunks.len() - "0\r\n\r\n".len());
    chunks
}

/// What is received is written down, and not held.
#[test]
fn memory_is_bounded() {
    let server = Server::start(&["--jobs", "4"]);
    let form = Form::new(&meta("127.0.0.1:1", "app"), &vec![b'x'; 64 << 20]);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| server.post(&form).is(400));
        }
    });
    assert!(server.peak() < 100 << 20, "{}", server.peak());
    nothing_left(&server);
}

/// A small file that unpacks to a large one, and one of many small ones.
#[test]
fn bombs() {
    let server = Server::start(&["--max-unpacked-bytes", "10MB"]);
    let zeros = String::from_utf8(vec![0; 20 << 20]).unwrap();
    let context = tar_gz(&[
        ("Containerfile", "FROM scratch\nCOPY zeros /\n"),
        ("zeros", &zeros),
    ]);
    assert!(context.len() < 1 << 20);
    let meta: Value = meta("127.0.0.1:1", "app");
    server.post(&Form::new(&meta, &context)).is(413);
    // The same within another.
    let mut twice = GzEncoder::new(Vec::new(), Compression::fast());
    twice.write_all(&context).unwrap();
    server.post(&Form::new(&meta, &twice.finish().unwrap())).is(400);
    nothing_left(&server);
    assert_eq!(files(&server.place.path("store/blobs")), Vec::<String>::new());
    server.end();
}
