//! What must not stay behind: processes, mounts, temporary files, orphans.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rbuild::store::Store;

use crate::common::engine;

/// A word for command lines that no other process has.
pub fn mark(name: &str) -> String {
    format!("{name}-{}-{:?}", std::process::id(), thread::current().id()).replace(['(', ')'], "")
}

/// Command lines of this machine that hold a word.
pub fn processes_with(word: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(word))
        .collect()
}

/// Waits until nothing is left of a list, and fails if that takes too long.
#[track_caller]
pub fn gone(what: &str, list: impl Fn() -> Vec<String>) {
    let begun = Instant::now();
    while !list().is_empty() {
        let waited = begun.elapsed();
        assert!(waited < Duration::from_secs(10), "{what} left: {:?}", list());
        thread::sleep(Duration::from_millis(20));
    }
}

/// What is in `tmp` of a store, without the sessions of this process that hold nothing.
pub fn in_tmp(store: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for session in fs::read_dir(store.join("tmp")).unwrap().flatten() {
        let own = session
            .file_name()
            .to_string_lossy()
            .starts_with(&format!("{}-", std::process::id()));
        if !own {
            found.push(session.path().display().to_string());
        }
        let files = fs::read_dir(session.path()).into_iter().flatten().flatten();
        let files = files.filter(|file| file.file_name() != "lock");
        found.extend(files.map(|file| file.path().display().to_string()));
    }
    found
}

/// Nothing is left of builds in this store whose processes had `mark` in their command lines.
#[track_caller]
pub fn nothing_left(store: &Store, mark: &str) {
    gone("processes", || processes_with(mark));
    gone("temporary files", || in_tmp(store.root()));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = store.root().display().to_string();
    let left: Vec<&str> = mounts.lines().filter(|line| line.contains(&root)).collect();
    assert!(left.is_empty(), "mounts left: {left:?}");
}

/// Nothing in the store is orphaned once it is pruned, and what is kept is what is used.
#[track_caller]
pub fn prune(store: &Store) {
    let engine = engine().expect("builds were made");
    let remover = |path: &Path| engine.remove_tree(path).map_err(std::io::Error::other);
    // A process that another test is just starting may hold a copy of a lock for a moment.
    let in_use = || match store.prune(None, &remover) {
        Err(error @ rbuild::store::Error::InUse { .. }) => vec![error.to_string()],
        other => {
            other.unwrap();
            Vec::new()
        }
    };
    gone("locks", in_use);
    assert_eq!(store.du().unwrap().orphaned, 0);
    assert_eq!(in_tmp(store.root()), Vec::<String>::new());
}
