//! Builds inside another program: several at once, cancelled, dropped, followed by their events.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rbuild::{Event, build::Problem, exec::Cancel};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
    time::timeout,
};

use crate::{
    common::{Events, Room, chain, may_run},
    leftovers::{gone, mark, nothing_left, processes_with},
};

/// Longer than anything here takes, and shorter than the processes that must be stopped.
const LONG: Duration = Duration::from_secs(60);

/// The runtimes that a program may have.
fn runtimes() -> [Runtime; 2] {
    [Builder::new_current_thread(), Builder::new_multi_thread()]
        .map(|mut builder| builder.enable_all().build().unwrap())
}

/// A RUN that says that it has begun, and then does not end by itself; its processes have `mark` in their command lines.
fn endless(mark: &str) -> String {
    format!(
        "RUN : {mark}; echo begun; sh -c 'sleep 3000; : {mark}' & setsid sh -c 'sleep 3000; : {mark}' & sleep 3000; : {mark}\n"
    )
}

/// Several builds at once, in one store, on any runtime.
#[test]
fn several_at_once() {
    if !may_run() {
        return;
    }
    for runtime in runtimes() {
        let room = Room::new();
        let mark = mark("several");
        let builds = (0..4).map(|i| {
            let text = format!("FROM busybox\nRUN echo the same\nRUN : {mark}; echo {i} > /o\n");
            room.build(&text).run(&room.store, &room.registry)
        });
        let all = runtime.block_on(futures_util::future::join_all(builds));
        for (i, built) in all.into_iter().enumerate() {
            let flat = room.flat(&built.unwrap_or_else(|error| panic!("{}", chain(&error))));
            let expected = format!("{i}\n").into_bytes();
            assert_eq!(flat.tree["/o"].kind, rbuild_testutils::flat::Kind::File(expected));
        }
        nothing_left(&room.store, &mark);
    }
}

/// Builds are tasks as good as any: a program may spawn them.
#[test]
fn spawned() {
    for runtime in runtimes() {
        let room = Room::new();
        room.write("f", "text");
        let layout = format!("oci:{}:app", room.store.root().join("../layout").display());
        let build = room.build("FROM scratch\nCOPY f /f\n");
        let (store, registry) = (room.store.clone(), room.registry.clone());
        let task = runtime.spawn(async move {
            let built = build.run(&store, &registry).await?;
            built.write_to(&layout.parse().unwrap(), &registry).await?;
            Ok::<_, rbuild::BuildError>(built.digest())
        });
        runtime.block_on(task).unwrap().unwrap();
    }
}

/// Cancelled half-way, a build ends with that error, and all that it started is gone when it does.
#[test]
fn cancelled() {
    if !may_run() {
        return;
    }
    for runtime in runtimes() {
        let room = Room::new();
        let mark = mark("cancelled");
        let cancel = Cancel::new().unwrap();
        let stop = cancel.clone();
        let events = Events::default();
        let sink = events.sink();
        let build = room.build(&format!("FROM busybox\n{}RUN echo never\n", endless(&mark)));
        let build = build.cancelled_by(cancel).on_event(move |event| {
            if let Event::StepOutput { .. } = event {
                stop.cancel();
            }
            sink(event);
        });
        let ended = runtime.block_on(async { timeout(LONG, build.run(&room.store, &room.registry)).await });
        let error = ended.expect("an end").err().expect("an error");
        assert!(matches!(error.problem(), Problem::Cancelled), "{}", chain(&error));
        assert_eq!(processes_with(&mark), Vec::<String>::new());
        nothing_left(&room.store, &mark);
        assert!(
            !events
                .all()
                .iter()
                .any(|event| matches!(event, Event::Built { .. }))
        );
        // The store is as good as before.
        room.run(room.build("FROM busybox\nRUN echo after\n")).unwrap();
    }
}

/// A handle that was used before the build begins stops it, too.
#[test]
fn cancelled_before() {
    let room = Room::new();
    let cancel = Cancel::new().unwrap();
    cancel.cancel();
    let error = room
        .run(room.build("FROM busybox\nWORKDIR /w\n").cancelled_by(cancel))
        .err()
        .expect("an error");
    assert!(matches!(error.problem(), Problem::Cancelled), "{}", chain(&error));
}

/// A build whose future is dropped stops, and takes its processes with it.
#[test]
fn dropped() {
    if !may_run() {
        return;
    }
    for runtime in runtimes() {
        let room = Room::new();
        let mark = mark("dropped");
        let begun = Arc::new(Notify::new());
        let tell = begun.clone();
        let build = room
            .build(&format!("FROM busybox\n{}", endless(&mark)))
            .on_event(move |event| {
                if let Event::StepOutput { .. } = event {
                    tell.notify_one();
                }
            });
        runtime.block_on(async {
            tokio::select! {
                _ = build.run(&room.store, &room.registry) => panic!("it does not end by itself"),
                () = begun.notified() => {}
            }
        });
        gone("processes", || processes_with(&mark));
        drop(runtime);
        nothing_left(&room.store, &mark);
    }
}

/// A stage that fails ends the others.
#[test]
fn a_failure_ends_other_stages() {
    if !may_run() {
        return;
    }
    let room = Room::new();
    let mark = mark("failure");
    let text = format!(
        "FROM busybox AS endless\n{}FROM busybox AS bad\nRUN sleep 1; exit 7\nFROM scratch\nCOPY --from=endless /x /x\nCOPY --from=bad /y /y\n",
        endless(&mark)
    );
    let [runtime, _] = runtimes();
    let build = room.build(&text);
    let ended = runtime.block_on(async { timeout(LONG, build.run(&room.store, &room.registry)).await });
    let error = ended.expect("an end").err().expect("an error");
    assert!(
        matches!(error.problem(), Problem::Run { code: 7, .. }),
        "{}",
        chain(&error)
    );
    nothing_left(&room.store, &mark);
}

/// Events come in order: the plan first; of each step its start, how it was found, its output, its end; the image last.
/// The layers that steps made become blobs at some time between.
#[test]
fn events() {
    if !may_run() {
        return;
    }
    let room = Room::new();
    let text = "FROM busybox AS a\nRUN echo one; echo two >&2\nFROM busybox\nWORKDIR /w\nCOPY --from=a /etc /e\nRUN echo three\n";
    for cached in [false, true] {
        let events = Events::default();
        let built = room.run(room.build(text).on_event(events.sink())).unwrap();
        let all = events.all();
        let [Event::Planned { steps }, between @ .., Event::Built { manifest }] = &all[..] else {
            panic!("{all:?}");
        };
        assert_eq!((*steps, *manifest), (6, built.digest()));
        let mut order: BTreeMap<usize, String> = BTreeMap::new();
        let mut packed = 0;
        for event in between {
            let (step, letter) = match event {
                Event::StepStarted { step, .. } => (step, 's'),
                Event::StepCached { step, .. } => (step, 'c'),
                Event::StepMissed { step, .. } => (step, 'm'),
                Event::StepOutput { step, .. } => (step, 'o'),
                Event::StepFinished { step, .. } => (step, 'f'),
                Event::LayerPacked { .. } => {
                    packed += 1;
                    continue;
                }
                other => panic!("{other:?}"),
            };
            order.entry(*step).or_default().push(letter);
        }
        let mut orders: Vec<&str> = order.values().map(String::as_str).collect();
        orders.sort_unstable();
        let expected = match cached {
            true => ["scf", "scf", "scf", "scf", "sf", "sf"],
            // `one` and `two` come through two pipes.
            false => ["sf", "sf", "smf", "smf", "smof", "smoof"],
        };
        assert_eq!(orders, expected);
        assert_eq!(packed, if cached { 0 } else { 4 });
    }
}

/// What a RUN writes arrives whole, and each stream under its name.
#[test]
fn output() {
    if !may_run() {
        return;
    }
    let room = Room::new();
    let events = Events::default();
    let text = "FROM busybox\nRUN seq 20000; echo problem >&2\n";
    room.run(room.build(text).on_event(events.sink())).unwrap();
    let mut streams = [Vec::new(), Vec::new()];
    for event in events.all() {
        if let Event::StepOutput { stream, bytes, .. } = event {
            streams[usize::from(stream == rbuild::event::Stream::Stderr)].extend(bytes);
        }
    }
    let numbers: String = (1..=20_000).map(|i| format!("{i}\n")).collect();
    assert!(streams[0] == numbers.as_bytes(), "{} bytes", streams[0].len());
    assert_eq!(streams[1], b"problem\n");
}

/// Builds leave no descriptors open in the program that makes them.
#[test]
fn descriptors() {
    if !may_run() {
        return;
    }
    const ALONE: &str = "RBUILD_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let output = alone
            .args(["--exact", "embed::descriptors"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        return assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    let open = || {
        let room = Room::new();
        room.write("f", "");
        let text = "FROM busybox\nCOPY f /f\nRUN --mount=type=cache,target=/c --mount=target=/m echo\n";
        room.run(room.build(text)).unwrap();
        room.run(room.build(&format!("{text}RUN false\n")))
            .err()
            .expect("an error");
        drop(room);
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    };
    let first = open();
    assert_eq!([open(), open()], [first; 2]);
}
