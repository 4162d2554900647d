//! Requests and answers: which object, and what is done with it.

use std::{
    io::{self, BufReader, Write},
    net::TcpStream,
    sync::Arc,
    thread,
};

use serde_json::{Value, json};

use super::{
    TOKEN, kubelet, schema, socket,
    state::{Shared, State, text},
    stream,
};
use crate::registry::http::{Answer, Request, read_body, read_head};

/// Answers the requests of one connection.
pub fn serve(connection: &TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let mut reader = BufReader::new(connection);
    while let Some(mut request) = read_head(&mut reader)? {
        read_body(&mut reader, &mut request)?;
        shared.change(|state| state.asked.push(format!("{} {}", request.method, request.path)));
        let path = request.path.clone();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        // What follows `/api/v1/namespaces/NAMESPACE` or `/apis/batch/v1/namespaces/NAMESPACE`.
        let place = match parts.as_slice() {
            ["api", "v1", "namespaces", "builds", rest @ ..] => rest,
            ["apis", "batch", "v1", "namespaces", "builds", rest @ ..] => rest,
            _ => &[],
        };
        let may = request.header("authorization") == Some(&format!("Bearer {TOKEN}"));
        let answer = match (request.method.as_str(), place) {
            _ if !may => refusal(401, "Unauthorized", "who are you?"),
            ("GET", ["pods"]) if request.query("watch").is_some() => {
                return stream::watch(connection, &request, shared);
            }
            ("GET", ["pods", pod, "log"]) => match stream::log(connection, &request, shared, pod)? {
                Some(answer) => answer,
                None => return Ok(()),
            },
            ("GET", ["pods", pod, "attach"]) => {
                match socket::attach(&mut reader, connection, &request, shared, pod)? {
                    Some(answer) => answer,
                    None => return Ok(()),
                }
            }
            ("GET", ["pods"]) => list(shared, "Pod", |pod| matches(pod, request.query("labelSelector"))),
            ("GET", ["events"]) => list(shared, "Event", |event| {
                let name = text(&event["involvedObject"]["name"]);
                request.query("fieldSelector") == Some(&format!("involvedObject.name={name},type=Warning"))
            }),
            ("GET", ["jobs", name]) => found(shared.look(|state| state.get("Job", name).cloned())),
            ("POST", ["jobs" | "secrets"]) => create(shared, &request),
            ("DELETE", ["jobs", name]) => delete(shared, &request, name),
            _ => refusal(
                404,
                "NotFound",
                "the server could not find the requested resource",
            ),
        };
        write(connection, &answer)?;
    }
    Ok(())
}

/// Sends an answer that has a length.
pub fn write(mut connection: &TcpStream, answer: &Answer) -> io::Result<()> {
    connection.write_all(answer.head().as_bytes())?;
    connection.write_all(&answer.body)
}

/// An error as the API says it.
pub fn refusal(code: u16, reason: &str, message: &str) -> Answer {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code });
    Answer::json(code, &status)
}

fn found(object: Option<Value>) -> Answer {
    match object {
        Some(object) => Answer::json(200, &object),
        None => refusal(404, "NotFound", "not found"),
    }
}

/// Whether an object has the one label of a selector.
pub fn matches(object: &Value, selector: Option<&str>) -> bool {
    selector
        .and_then(|selector| selector.split_once('='))
        .is_none_or(|(label, value)| object["metadata"]["labels"][label] == value)
}

fn list(shared: &Shared, kind: &str, filter: impl Fn(&Value) -> bool) -> Answer {
    let (items, version) = shared.look(|state| {
        let items = state
            .objects
            .iter()
            .filter(|object| object["kind"] == kind && filter(object));
        (items.cloned().collect::<Vec<_>>(), state.changes.len())
    });
    Answer::json(
        200,
        &json!({ "kind": format!("{kind}List"), "apiVersion": "v1",
            "metadata": { "resourceVersion": version.to_string() }, "items": items }),
    )
}

fn create(shared: &Arc<Shared>, request: &Request) -> Answer {
    let Ok(object) = serde_json::from_slice::<Value>(&request.body) else {
        return refusal(400, "BadRequest", "no JSON");
    };
    let mut faults = schema::faults(&object);
    if object["kind"] == "Job" {
        faults.extend(schema::violations(&object["spec"]["template"]["spec"]));
    }
    if !faults.is_empty() {
        return refusal(422, "Invalid", &faults.join("; "));
    }
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    if shared.script().forbidden.as_ref() == Some(&kind) {
        return refusal(
            403,
            "Forbidden",
            &format!("{kind} is forbidden: User cannot create it"),
        );
    }
    let made = shared.change(|state: &mut State| match state.get(&kind, &name) {
        Some(_) => None,
        None => Some(state.put(object)),
    });
    let Some(made) = made else {
        return refusal(409, "AlreadyExists", &format!("{kind} {name:?} already exists"));
    };
    if kind == "Job" {
        let (shared, job) = (Arc::clone(shared), made.clone());
        thread::spawn(move || kubelet::run(&shared, &job));
    }
    Answer::json(201, &made)
}

fn delete(shared: &Shared, request: &Request, name: &str) -> Answer {
    let how: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    if how["propagationPolicy"] != "Background" {
        // Without a word on it the pods of a Job stay.
        return refusal(400, "BadRequest", "this would leave pods behind");
    }
    let uid = shared.look(|state| state.get("Job", name).map(|job| job["metadata"]["uid"].clone()));
    match uid {
        Some(uid) if uid == how["preconditions"]["uid"] => {
            found(shared.change(|state| state.remove("Job", name)))
        }
        Some(_) => refusal(409, "Conflict", "the UID in the precondition is another"),
        None => refusal(404, "NotFound", "not found"),
    }
}
