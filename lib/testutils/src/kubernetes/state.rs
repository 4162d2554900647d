//! What the cluster holds, how that changed, and who waits for changes.

use std::{
    collections::HashMap,
    io::Write,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};

use super::Script;

/// The whole cluster.
pub struct Shared {
    pub script: Mutex<Script>,
    pub stopped: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

/// What it holds.
#[derive(Default)]
pub struct State {
    pub objects: Vec<Value>,
    /// Each change, its version being its place from 1: what kind of change, and of what.
    pub changes: Vec<(&'static str, Value)>,
    /// Logs of pods.
    pub logs: HashMap<String, Log>,
    /// Standard inputs of pods, until these are closed.
    pub inputs: HashMap<String, Input>,
    /// Method and path of each request.
    pub asked: Vec<String>,
}

/// The standard input of a pod.
pub type Input = Arc<Mutex<dyn Write + Send>>;

/// The log of a pod.
#[derive(Default)]
pub struct Log {
    /// With time stamps.
    pub lines: Vec<String>,
    pub ended: bool,
    /// Whether somebody has asked for it.
    pub asked: bool,
}

impl Log {
    /// Two lines at each time, and three times a second.
    pub fn say(&mut self, text: &str) {
        let third = self.lines.len() / 2;
        let (minute, second, part) = (third / 180, third / 3 % 60, third % 3);
        let time = format!("2026-01-01T00:{minute:02}:{second:02}.{part}00000000Z");
        self.lines.push(format!("{time} {text}"));
    }
}

impl Shared {
    pub fn new(script: Script) -> Self {
        Self {
            script: Mutex::new(script),
            stopped: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state, and tells everyone.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        result
    }

    /// Waits until there is something; nothing comes any more when the cluster is stopped.
    pub fn wait<T>(&self, look: impl Fn(&State) -> Option<T>) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.stopped.load(Ordering::SeqCst) {
                return None;
            }
            if let Some(found) = look(&state) {
                return Some(found);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends all waiting.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.change(|_| ());
    }
}

impl State {
    pub fn get(&self, kind: &str, name: &str) -> Option<&Value> {
        self.objects
            .iter()
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
    }

    /// Adds or replaces an object.
    pub fn put(&mut self, mut object: Value) -> Value {
        let version = self.changes.len() + 1;
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(version.to_string());
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("00000000-0000-0000-0000-{version:012}"));
        }
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        let known = self
            .objects
            .iter_mut()
            .find(|known| known["kind"] == kind && known["metadata"]["name"] == name);
        let change = match known {
            Some(known) => {
                *known = object.clone();
                "MODIFIED"
            }
            None => {
                self.objects.push(object.clone());
                "ADDED"
            }
        };
        self.changes.push((change, object.clone()));
        object
    }

    /// Removes an object, and what it owns.
    pub fn remove(&mut self, kind: &str, name: &str) -> Option<Value> {
        let place = self
            .objects
            .iter()
            .position(|object| object["kind"] == kind && object["metadata"]["name"] == name)?;
        let removed = self.objects.remove(place);
        self.changes.push(("DELETED", removed.clone()));
        self.logs.remove(name);
        self.inputs.remove(name);
        let is_owned = |object: &&Value| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            owners.is_some_and(|owners| {
                owners
                    .iter()
                    .any(|owner| owner["uid"] == removed["metadata"]["uid"])
            })
        };
        let owned: Vec<(String, String)> = self
            .objects
            .iter()
            .filter(is_owned)
            .map(|object| (text(&object["kind"]), text(&object["metadata"]["name"])))
            .collect();
        for (kind, name) in owned {
            self.remove(&kind, &name);
        }
        Some(removed)
    }
}

/// A string in JSON, empty if it is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
