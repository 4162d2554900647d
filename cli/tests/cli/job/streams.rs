use rbuild_testutils::kubernetes::Script;

use super::{Room, says};
use crate::common::Ran;

const LINES: usize = 40;

fn log() -> Vec<String> {
    (0..LINES).map(|number| format!("#1 line {number}")).collect()
}

/// A build that says all of the log, which is cut off after so many lines: the last of these first.
fn cut(ends: &[usize], begins: usize) -> (Ran, Vec<String>) {
    let lines = log();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut script = Script::new(says(&lines, 0));
    script.logs_end_after = ends.to_vec();
    script.log_begins_at = begins;
    let ran = Room::new(script).job(&["--push", "-t", "r.example/a"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let shown = ran.stderr.lines().filter(|line| line.starts_with("#1 "));
    let shown = shown.map(str::to_owned).collect();
    (ran, shown)
}

#[test]
fn a_log_that_is_cut_is_shown_whole_and_once() {
    for ends in [&[0][..], &[1], &[7], &[LINES - 1], &[3, 5, 11]] {
        let (ran, shown) = cut(ends, 0);
        assert_eq!(shown, log(), "{ends:?}");
        assert!(
            ran.stderr.contains("the log is cut, and asked for again"),
            "{}",
            ran.stderr
        );
        assert!(!ran.stderr.contains("missing"), "{}", ran.stderr);
    }
}

#[test]
fn a_log_that_has_lost_lines_is_said_to_have() {
    let (ran, shown) = cut(&[7], 30);
    assert_eq!(shown, [&log()[..7], &log()[30..]].concat());
    assert!(
        ran.stderr
            .contains("warning: the log was cut, and lines of it may be missing here\n#1 line 30\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_watch_that_ends_begins_anew() {
    let mut script = Script::new(says(&["done"], 0));
    script.watches_end_after = vec![0, 1, 0];
    let ran = Room::new(script).job(&["--push", "-t", "r.example/a"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("\ndone\n"), "{ran:?}");
}

#[test]
fn a_pod_may_be_attachable_only_later() {
    let mut script = Script::new(says(&["done"], 0));
    script.failing_attaches = 1;
    let ran = Room::new(script).job(&["--push", "-t", "r.example/a"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}
