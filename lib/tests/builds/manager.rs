//! The example of an app manager, run as it is.

#[allow(dead_code)]
#[path = "../../examples/manager.rs"]
mod example;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
};

use rbuild_testutils::{
    registry::TestRegistry,
    web::{Reply, WebServer},
};
use serde_json::Value;
use tokio::{net::TcpListener, runtime::Runtime};

use crate::common::Room;

/// A connection on which something was asked.
fn ask(at: SocketAddr, line: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn read(at: SocketAddr, line: &str) -> String {
    let mut text = String::new();
    ask(at, line).read_to_string(&mut text).unwrap();
    text
}

/// Follows the events until so many apps have ended; `look` sees each. How they ended, in the order of their names.
fn follow(at: SocketAddr, mut count: usize, mut look: impl FnMut(&Value)) -> Vec<String> {
    let mut ends = Vec::new();
    for line in BufReader::new(ask(at, "GET /events")).lines() {
        let Some(data) = line.unwrap().strip_prefix("data: ").map(str::to_owned) else {
            continue;
        };
        let event: Value = serde_json::from_str(&data).unwrap();
        look(&event);
        if let Some(end) = event["ended"].as_str() {
            let word = end.split(':').next().unwrap_or_default();
            ends.push(format!("{} {word}", event["app"].as_str().unwrap()));
            count -= 1;
        }
        if count == 0 {
            break;
        }
    }
    ends.sort();
    ends
}

/// The manager, at work on the apps of a room.
fn start(runtime: &Runtime, room: &Room, registry: &TestRegistry) -> SocketAddr {
    let (store, prefix) = (room.store.clone(), format!("{}/apps", registry.host()));
    let manager = example::Manager::new(store, room.registry.clone(), &prefix, "v1");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        manager.deploy_all(&room.dir.path().join("apps")).unwrap();
        tokio::spawn(manager.serve(listener));
        at
    })
}

/// Three apps at once, one of which is cancelled from the page; when they come again, two are there.
#[test]
fn apps_are_built_once_and_can_be_cancelled() {
    let (room, registry) = (Room::new(), TestRegistry::start());
    // What it is asked for never comes, until the test has ended.
    let (end, ended) = mpsc::channel::<()>();
    let ended = std::sync::Mutex::new(ended);
    let slow = WebServer::start(move |_| {
        let _ = ended.lock().unwrap().recv();
        Reply::ok("late")
    });
    let endless = format!("FROM scratch\nADD {} /f\n", slow.url("/f"));
    for (app, text) in [
        ("one", "FROM scratch\nLABEL app=1\n"),
        ("two", "FROM scratch\nCOPY Containerfile /\n"),
        ("endless", &*endless),
    ] {
        let place = room.dir.path().join("apps").join(app);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("Containerfile"), text).unwrap();
    }
    let runtime = Runtime::new().unwrap();
    let at = start(&runtime, &room, &registry);
    assert!(read(at, "GET /").contains("EventSource"));
    assert!(read(at, "POST /cancel/nothing").starts_with("HTTP/1.1 404"));
    let mut steps = 0;
    let ends = follow(at, 3, |event| {
        let instruction = event["event"]["instruction"].as_str();
        steps += usize::from(instruction.is_some());
        if instruction.is_some_and(|text| text.starts_with("ADD")) {
            assert!(read(at, "POST /cancel/endless").starts_with("HTTP/1.1 200"));
        }
    });
    assert_eq!(ends, ["endless cancelled", "one built", "two built"]);
    assert!(steps >= 4, "{steps}");
    for (app, is_there) in [("one", true), ("two", true), ("endless", false)] {
        assert_eq!(
            registry.manifest(&format!("apps/{app}"), "v1").is_some(),
            is_there,
            "{app}"
        );
    }
    // Its build would not end by itself.
    fs::remove_dir_all(room.dir.path().join("apps/endless")).unwrap();
    let at = start(&runtime, &room, &registry);
    assert_eq!(follow(at, 2, |_| {}), ["one is there", "two is there"]);
    drop(end);
    runtime.shutdown_background();
}
