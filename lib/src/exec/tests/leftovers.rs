//! Nothing stays behind, however a run ends.

use std::{
    fs,
    io::{self, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rbuild_sys::Keep;
use rbuild_testutils::cages::is_alone;

use super::{Bench, Cancel, Error, Outcome, RunSpec, on_each_bench};

/// A number of seconds to sleep that no other process has, by which processes of a run can be found.
fn mark() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!(
        "1{:07}{:03}",
        std::process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed)
    )
}

/// Processes that sleep for that long.
fn sleepers(mark: &str) -> usize {
    let sleeps = |entry: io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path().join("cmdline");
        let line = fs::read(path).ok()?;
        Some(line.split(|byte| *byte == 0).any(|word| word == mark.as_bytes()))
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(sleeps)
        .filter(|sleeps| *sleeps)
        .count()
}

fn assert_nothing_left(bench: &Bench, mark: &str) {
    assert_eq!(sleepers(mark), 0);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(bench.room.to_str().unwrap()), "{mounts}");
    if is_alone() {
        // This process does not have the children of other tests.
        let children = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
        assert_eq!(children.unwrap_err(), rustix::io::Errno::CHILD);
    }
}

#[test]
fn background_processes_end_with_the_payload() {
    on_each_bench(|bench| {
        let mark = mark();
        let script = format!(
            "sleep {mark} & setsid sleep {mark} & (trap '' HUP TERM; exec sleep {mark}) & echo started"
        );
        assert_eq!(bench.prints(&script), "started\n");
        assert_nothing_left(bench, &mark);
    });
}

#[test]
fn cancelling_ends_everything() {
    on_each_bench(|bench| {
        let mark = mark();
        let spec = bench.script(&format!(
            "trap '' HUP INT TERM; setsid sleep {mark} & echo started; sleep {mark}"
        ));
        let cancel = Cancel::new().unwrap();
        let (started, wait) = mpsc::channel();
        let result = thread::scope(|scope| {
            let canceller = cancel.clone();
            scope.spawn(move || {
                wait.recv().unwrap();
                canceller.cancel();
            });
            bench
                .engine
                .run(&spec, &cancel, &mut |_, _| started.send(()).unwrap())
        });
        assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
        assert_nothing_left(bench, &mark);
        // The handle stays cancelled; others are not.
        assert!(matches!(
            bench.run_with(&bench.script("true"), &cancel).result,
            Err(Error::Cancelled)
        ));
        assert_eq!(bench.prints("echo fine"), "fine\n");
    });
}

#[test]
fn a_panic_of_the_caller_ends_everything() {
    on_each_bench(|bench| {
        let mark = mark();
        let spec = bench.script(&format!("echo started; sleep {mark}"));
        let cancel = Cancel::new().unwrap();
        let run = || {
            bench
                .engine
                .run(&spec, &cancel, &mut |_, _| resume_unwind(Box::new("stop")))
        };
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        assert_nothing_left(bench, &mark);
    });
}

#[test]
fn a_killed_builder_takes_the_run_with_it() {
    on_each_bench(|bench| {
        // A change of identity makes the kernel forget that a process wanted to end with its parent.
        fs::write(
            bench.base().join("etc/passwd"),
            "root:x:0:0::/:/bin/sh\nme:x:9:9::/:/bin/sh\n",
        )
        .unwrap();
        for script in [
            "echo started; sleep MARK & sleep MARK",
            "exec su me -c 'echo started; exec sleep MARK'",
        ] {
            let mark = mark();
            let spec = bench.script(&script.replace("MARK", &mark));
            let (mut reader, writer) = io::pipe().unwrap();
            let launching = rbuild_sys::launching();
            let builder = rbuild_sys::fork(Keep::All, || {
                drop(launching);
                run_and_tell(bench, &spec, &writer);
                0
            });
            drop(writer);
            let mut told = [0; 1];
            reader.read_exact(&mut told).unwrap();
            wait_until(|| sleepers(&mark) > 0);
            drop(builder.unwrap());
            wait_until(|| sleepers(&mark) == 0);
        }
    });
}

fn run_and_tell(bench: &Bench, spec: &RunSpec, mut told: &io::PipeWriter) {
    let cancel = Cancel::new().unwrap();
    let _ = bench
        .engine
        .run(spec, &cancel, &mut |_, _| told.write_all(b"!").unwrap());
}

/// Fails if it takes so long that it will never be.
fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn many_runs_at_once_do_not_meet() {
    on_each_bench(|bench| {
        let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
        let before = descriptors();
        thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for run in 0..4 {
                        let ran = bench.run(
                            &bench.script(&format!("echo {thread} {run} | cat; ls /proc/self/fd | wc -l")),
                        );
                        assert_eq!(ran.ok(), format!("{thread} {run}\n4\n"));
                    }
                });
            }
        });
        if is_alone() {
            assert_eq!(descriptors(), before);
        }
    });
}

#[test]
fn what_failed_can_be_run_again() {
    on_each_bench(|bench| {
        let spec = bench.script("exit 1");
        assert_eq!(bench.run(&spec).result.unwrap(), Outcome::Exited(1));
        bench.engine.remove_tree(spec.upper.parent().unwrap()).unwrap();
        assert!(!spec.upper.exists());
        bench.engine.remove_tree(spec.upper.parent().unwrap()).unwrap();
    });
}
