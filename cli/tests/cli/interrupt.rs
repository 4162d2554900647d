//! Signals end a build, and all that it started.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::common::Place;

#[test]
fn a_signal_ends_a_run_and_leaves_nothing() {
    for (signal, name, code) in [("INT", "SIGINT", 130), ("TERM", "SIGTERM", 143)] {
        let place = Place::new();
        // Nothing else sleeps for so long.
        let forever = format!("31415{}", std::process::id());
        place.write(
            "app/Containerfile",
            &format!("FROM busybox\nRUN echo started; sleep {forever} & sleep {forever}\n"),
        );
        let base = concat!(
            "busybox=oci-layout://",
            env!("CARGO_MANIFEST_DIR"),
            "/../testdata/busybox"
        );
        let arguments = ["build", "--progress=plain", "--build-context", base, "app"];
        let mut child = place.command(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let started = lines
            .by_ref()
            .any(|line| line.starts_with("#2 ") && line.ends_with(" started"));
        assert!(started, "the RUN never started");
        let kill = format!("kill -{signal} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let last = lines.last();
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!(last, Some(format!("error: interrupted by {name}")));
        assert_eq!(processes_with(&forever), Vec::<String>::new());
        let left: Vec<_> = fs::read_dir(place.path("store/tmp")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
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
