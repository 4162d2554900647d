//! Nothing keeps a secret: not the store, not while a RUN has it, not the image, not what the build says.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use rbuild::{Event, Locator};
use rbuild_testutils::{flat::Kind, registry::digest};
use walkdir::WalkDir;

use crate::common::{Events, Room, block_on, chain, may_run};

const SECRET: &str = "correct-horse-battery-staple-8472";

/// Forms of the secret that must not be found.
fn forms() -> Vec<Vec<u8>> {
    let hex = digest(SECRET.as_bytes()).replace("sha256:", "");
    let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, SECRET);
    vec![SECRET.into(), hex.into(), base64.trim_end_matches('=').into()]
}

#[track_caller]
fn holds_none(what: &str, bytes: &[u8]) {
    for form in forms() {
        let found = bytes.windows(form.len()).any(|window| window == form);
        assert!(!found, "{what} holds {}", String::from_utf8_lossy(&form));
    }
}

/// Files below a directory that hold the secret, in their content or in their name.
fn files_with_secret(directory: &Path) -> Vec<String> {
    let files = WalkDir::new(directory).into_iter().flatten();
    let holding = files.filter(|entry| {
        let name = entry.path().as_os_str().as_encoded_bytes();
        let is_file = entry.file_type().is_file();
        let content = if is_file {
            fs::read(entry.path()).unwrap_or_default()
        } else {
            Vec::new()
        };
        forms().iter().any(|form| {
            let holds = |bytes: &[u8]| bytes.windows(form.len()).any(|window| window == &form[..]);
            holds(name) || holds(&content)
        })
    });
    holding.map(|entry| entry.path().display().to_string()).collect()
}

const WORK: &str = "FROM busybox
RUN --mount=type=secret,id=token echo working; cat /run/secrets/token | wc -c > /size
RUN --mount=type=secret,id=token,env=TOKEN test ${#TOKEN} = 33 && env | grep -c TOKEN > /count
RUN --mount=type=secret,id=token,target=/etc/token,uid=5 --mount=type=cache,target=/cache cp /size /cache/
USER nobody
RUN --mount=type=secret,id=token,mode=0444,target=/tmp/token,env=T test -r /tmp/token
";

#[test]
fn searched_for_in_every_byte() {
    if !may_run() {
        return;
    }
    let room = Room::new();
    let events = Events::default();
    let (root, sink) = (room.store.root().to_owned(), events.sink());
    let meanwhile = Arc::new(Mutex::new(None));
    let found = meanwhile.clone();
    // The RUN that says something has the secret at that moment.
    let watch = move |event: Event| {
        if let Event::StepOutput { .. } = event {
            *found.lock().unwrap() = Some(files_with_secret(&root));
        }
        sink(event);
    };
    let build = room.build(WORK).secret("token", SECRET).on_event(watch);
    let built = room
        .run(build)
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(
        meanwhile.lock().unwrap().take(),
        Some(Vec::new()),
        "while the RUN has it"
    );
    assert_eq!(files_with_secret(room.store.root()), Vec::<String>::new());
    for event in events.all() {
        holds_none("an event", format!("{event:?}").as_bytes());
        holds_none("an event", &serde_json::to_vec(&event).unwrap());
    }
    let flat = room.flat(&built);
    assert_eq!(flat.tree["/size"].kind, Kind::File(b"33\n".to_vec()));
    for (path, entry) in &flat.tree {
        holds_none("a path", path.as_bytes());
        if let Kind::File(content) = &entry.kind {
            holds_none(path, content);
        }
    }
    holds_none("the config", flat.config.to_string().as_bytes());
    holds_none("the manifest", flat.manifest.to_string().as_bytes());
    let archive: Locator = format!("docker-archive:{}", room.dir.path().join("a.tar").display())
        .parse()
        .unwrap();
    block_on(built.write_to(&archive, &room.registry)).unwrap();
    assert_eq!(files_with_secret(room.dir.path()), Vec::<String>::new());
}

/// Nor does a build that fails.
#[test]
fn a_failure_tells_nothing() {
    if !may_run() {
        return;
    }
    let room = Room::new();
    let events = Events::default();
    let text = "FROM busybox\nRUN --mount=type=secret,id=token,env=TOKEN test -n \"$TOKEN\" && exit 7\n";
    let build = room.build(text).secret("token", SECRET).on_event(events.sink());
    let error = room.run(build).err().expect("the RUN fails");
    holds_none("the error", format!("{error:?} {}", chain(&error)).as_bytes());
    for event in events.all() {
        holds_none("an event", format!("{event:?}").as_bytes());
    }
    assert_eq!(files_with_secret(room.dir.path()), Vec::<String>::new());
}
