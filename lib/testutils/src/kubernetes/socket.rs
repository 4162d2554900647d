//! `attach`: the channels of the protocols `v4.channel.k8s.io` and `v5.channel.k8s.io` in a WebSocket (RFC 6455).

use std::{
    io::{self, BufRead, Read, Write},
    net::TcpStream,
    sync::{Arc, PoisonError},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha1::{Digest as _, Sha1};

use super::{api::refusal, state::Shared};
use crate::registry::http::{Answer, Request};

/// Every server adds this to the client's key (RFC 6455, 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;

const STDIN: u8 = 0;
const STATUS: u8 = 3;
/// Only in the fifth version: the next byte is a channel that ends.
const END_OF: u8 = 255;

/// Takes a pod's standard input from a client; or gives the answer if that cannot be.
pub fn attach(
    reader: &mut impl BufRead,
    mut connection: &TcpStream,
    request: &Request,
    shared: &Arc<Shared>,
    pod: &str,
) -> io::Result<Option<Answer>> {
    let (protocol, most) = {
        let mut script = shared.script();
        if script.failing_attaches > 0 {
            script.failing_attaches -= 1;
            return Ok(Some(refusal(500, "InternalError", "error dialing backend")));
        }
        (script.protocol, script.input_ends_after)
    };
    let offered = request.header("sec-websocket-protocol").unwrap_or_default();
    let key = request.header("sec-websocket-key");
    let knows = offered.split(',').any(|one| one.trim() == protocol);
    let (Some(key), true) = (key, knows && request.query("stdin") == Some("true")) else {
        return Ok(Some(refusal(400, "BadRequest", "no such way to attach")));
    };
    let input = shared.wait(|state| {
        let gone = state.get("Pod", pod).is_none();
        (gone || state.inputs.contains_key(pod)).then_some(!gone)
    });
    if input != Some(true) {
        return Ok(Some(refusal(404, "NotFound", "pods not found")));
    }
    let accept = BASE64_STANDARD.encode(Sha1::digest(format!("{key}{GUID}")));
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    connection.write_all(head.as_bytes())?;
    let heard = hear(reader, connection, shared, pod, most);
    // Without a client there is no more input: `stdinOnce`.
    shared.change(|state| state.inputs.remove(pod));
    heard?;
    shared.wait(|state| state.logs.get(pod).is_none_or(|log| log.ended).then_some(()));
    let mut status = vec![STATUS];
    status.extend_from_slice(br#"{"metadata":{},"status":"Success"}"#);
    frame(connection, BINARY, &status)?;
    frame(connection, CLOSE, &1000_u16.to_be_bytes())?;
    Ok(None)
}

/// Passes on what comes until it ends, or until there was so much of it.
fn hear(
    reader: &mut impl BufRead,
    connection: &TcpStream,
    shared: &Shared,
    pod: &str,
    most: Option<usize>,
) -> io::Result<()> {
    let mut size = 0;
    loop {
        let (kind, content) = read(reader)?;
        match (kind, content.as_slice()) {
            (BINARY, [STDIN, bytes @ ..]) => {
                size += bytes.len();
                if most.is_some_and(|most| size > most) {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                let Some(input) = shared.look(|state| state.inputs.get(pod).cloned()) else {
                    return Ok(());
                };
                let written = input
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .write_all(bytes);
                // A process that reads no further is no fault of the client's.
                if written.is_err() {
                    return Ok(());
                }
            }
            (BINARY, [END_OF, STDIN]) | (CLOSE, _) => return Ok(()),
            (PING, _) => frame(connection, PING + 1, &content)?,
            _ => {}
        }
    }
}

/// One frame of a client: what kind, and its content, which clients mask.
fn read(reader: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    reader.read_exact(&mut head)?;
    let mut size = u64::from(head[1] & 0x7f);
    if size == 126 {
        let mut long = [0; 2];
        reader.read_exact(&mut long)?;
        size = u64::from(u16::from_be_bytes(long));
    } else if size == 127 {
        let mut long = [0; 8];
        reader.read_exact(&mut long)?;
        size = u64::from_be_bytes(long);
    }
    let mut mask = [0; 4];
    reader.read_exact(&mut mask)?;
    let mut content = Vec::new();
    reader.take(size).read_to_end(&mut content)?;
    for (byte, mask) in content.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok((head[0] & 0x0f, content))
}

/// Sends a frame of less than 126 bytes.
fn frame(mut connection: &TcpStream, kind: u8, content: &[u8]) -> io::Result<()> {
    let size = u8::try_from(content.len()).map_err(io::Error::other)?;
    let mut frame = vec![0x80 | kind, size];
    frame.extend_from_slice(content);
    connection.write_all(&frame)
}
