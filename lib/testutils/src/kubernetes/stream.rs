//! Answers without an end: watches, and logs that are followed.

use std::{
    io::{self, Write},
    net::TcpStream,
};

use serde_json::json;

use super::{
    api::{matches, refusal},
    state::Shared,
};
use crate::registry::http::{Answer, Request};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A body in pieces (RFC 9112, 7.1).
fn piece(mut connection: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut piece = format!("{:x}\r\n", bytes.len()).into_bytes();
    piece.extend_from_slice(bytes);
    piece.extend_from_slice(b"\r\n");
    connection.write_all(&piece)
}

/// Sends changes of pods from a version on, as they come.
pub fn watch(mut connection: &TcpStream, request: &Request, shared: &Shared) -> io::Result<()> {
    connection.write_all(HEAD.as_bytes())?;
    let since = request
        .query("resourceVersion")
        .and_then(|version| version.parse().ok());
    let mut seen: usize = since.unwrap_or(0);
    let ends_after = shared.script().watches_end_after.pop();
    let mut sent = 0;
    loop {
        let fresh = shared.wait(|state| {
            let fresh = state.changes.get(seen..)?;
            (!fresh.is_empty()).then(|| fresh.to_vec())
        });
        let Some(fresh) = fresh else {
            return piece(connection, b"");
        };
        for (kind, object) in fresh {
            seen += 1;
            if object["kind"] != "Pod" || !matches(&object, request.query("labelSelector")) {
                continue;
            }
            if ends_after.is_some_and(|most| sent >= most) {
                let expired = json!({ "type": "ERROR", "object": { "kind": "Status", "apiVersion": "v1", "metadata": {},
                    "status": "Failure", "reason": "Expired", "message": "too old resource version", "code": 410 } });
                piece(connection, format!("{expired}\n").as_bytes())?;
                return piece(connection, b"");
            }
            let event = json!({ "type": kind, "object": object });
            piece(connection, format!("{event}\n").as_bytes())?;
            sent += 1;
        }
    }
}

/// Sends a log, and what is added to it if it is followed; or gives the answer if there is none.
pub fn log(
    mut connection: &TcpStream,
    request: &Request,
    shared: &Shared,
    pod: &str,
) -> io::Result<Option<Answer>> {
    let log = shared.change(|state| state.logs.get_mut(pod).map(|log| log.asked = true));
    if log.is_none() {
        return Ok(Some(match shared.look(|state| state.get("Pod", pod).is_some()) {
            true => refusal(400, "BadRequest", "container \"rbuild\" is waiting to start"),
            false => refusal(404, "NotFound", "pods not found"),
        }));
    }
    let follow = request.query("follow") == Some("true");
    // Times are all written alike, so that they compare as text, up to the second.
    let since = request
        .query("sinceTime")
        .map(|time| time.trim_end_matches('Z').to_owned());
    let (cut, lost) = {
        let mut script = shared.script();
        let cut = if follow { script.logs_end_after.pop() } else { None };
        (cut, script.log_begins_at)
    };
    connection.write_all(HEAD.as_bytes())?;
    let mut seen = if since.is_some() { lost } else { 0 };
    let mut sent = 0;
    loop {
        let fresh = shared.wait(|state| {
            let Some(log) = state.logs.get(pod) else {
                return Some((Vec::new(), true));
            };
            let fresh = log.lines.get(seen..).unwrap_or_default();
            (!fresh.is_empty() || log.ended || !follow).then(|| (fresh.to_vec(), log.ended || !follow))
        });
        let Some((fresh, ended)) = fresh else {
            return piece(connection, b"").map(|()| None);
        };
        for line in &fresh {
            seen += 1;
            if since
                .as_ref()
                .is_some_and(|since| line.get(..since.len()) < Some(since.as_str()))
            {
                continue;
            }
            if cut.is_some_and(|most| sent >= most) {
                // In the middle of a line, and of the body.
                return piece(connection, &line.as_bytes()[..line.len() / 2]).map(|()| None);
            }
            let text = match request.query("timestamps") {
                Some("true") => line.as_str(),
                _ => line.split_once(' ').map_or("", |(_, text)| text),
            };
            piece(connection, format!("{text}\n").as_bytes())?;
            sent += 1;
        }
        if ended {
            return piece(connection, b"").map(|()| None);
        }
    }
}
