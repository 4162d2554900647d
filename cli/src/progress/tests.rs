//! A recorded build through every display.

use std::time::Duration;

use rbuild::{
    Digest, Event,
    event::{Direction, Moved, Stream},
};

use super::{Renderer, json::Json, live::Live, plain::Plain, terminal::Terminal};
use crate::style::Style;

fn started(step: usize, stage: &str, position: usize, instruction: &str) -> Event {
    let (stage, instruction) = (stage.to_owned(), instruction.to_owned());
    Event::StepStarted {
        step,
        stage,
        position,
        of: 3,
        instruction,
        line: position,
    }
}

fn output(step: usize, text: &str) -> Event {
    Event::StepOutput {
        step,
        stream: Stream::Stdout,
        bytes: text.into(),
    }
}

fn finished(step: usize, millis: u64) -> Event {
    Event::StepFinished {
        step,
        elapsed: Duration::from_millis(millis),
        layer: None,
    }
}

fn transfer(transfer: u64, direction: Direction, place: &str) -> Event {
    Event::TransferStarted {
        transfer,
        direction,
        digest: Some(Digest::of("")),
        size: 30_000_000,
        place: place.into(),
    }
}

/// Times in milliseconds.
fn build() -> Vec<(u64, Event)> {
    vec![
        (0, Event::Planned { steps: 4 }),
        (1, started(0, "build", 1, "FROM alpine")),
        (2, transfer(7, Direction::Pull, "docker.io/library/alpine")),
        (
            100,
            Event::TransferProgress {
                transfer: 7,
                bytes: 1_000_000,
            },
        ),
        (
            200,
            Event::TransferProgress {
                transfer: 7,
                bytes: 12_000_000,
            },
        ),
        (
            900,
            Event::TransferFinished {
                transfer: 7,
                how: Moved::Copied,
            },
        ),
        (901, finished(0, 900)),
        (902, started(1, "build", 2, "COPY . .")),
        (903, Event::StepCached { step: 1, from: None }),
        (904, started(2, "build", 3, "RUN make")),
        (
            905,
            Event::StepMissed {
                step: 2,
                why: "app.py changed".into(),
            },
        ),
        (906, started(3, "1", 1, "RUN <<EOF\ntrue\nEOF")),
        (1000, output(2, "cc -o a\ncc -")),
        (1100, output(2, "o b\r\nlinking 10%\rlinking 90%")),
        (
            1500,
            Event::Warning {
                message: "it is late".into(),
                line: Some(3),
            },
        ),
        (61_904, finished(2, 61_000)),
        (61_950, finished(3, 400)),
        (
            61_960,
            Event::Built {
                manifest: Digest::of("image"),
            },
        ),
        (62_000, transfer(8, Direction::Push, "r.example/app")),
        (
            62_001,
            Event::TransferFinished {
                transfer: 8,
                how: Moved::Mounted,
            },
        ),
        (
            62_100,
            Event::Written {
                place: "docker://r.example/app:1".into(),
                manifest: Digest::of("image"),
            },
        ),
    ]
}

/// The events up to a time, through a renderer.
fn play(renderer: &mut dyn Renderer, until: u64, out: &mut dyn std::io::Write) {
    for (millis, event) in build().iter().take_while(|(millis, _)| *millis <= until) {
        renderer
            .event(event, Duration::from_millis(*millis), out)
            .unwrap();
    }
}

fn written(mut renderer: impl Renderer) -> String {
    let mut out = Vec::new();
    play(&mut renderer, u64::MAX, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn plain_is_a_line_for_each_event() {
    let expected = "\
#1 [build 1/3] FROM alpine
pull e3b0c44298fc (30 MB) from docker.io/library/alpine
pull e3b0c44298fc: done in 0.8s
#1 done in 0.9s
#2 [build 2/3] COPY . .
#2 cached
#3 [build 3/3] RUN make
#3 not cached: app.py changed
#4 [stage-1 1/3] RUN <<EOF ...
#3 0.096 cc -o a
#3 0.196 cc -o b
warning: it is late (line 3)
#3 61.000 linking 90%
#3 done in 1m01s
#4 done in 0.4s
built sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d
push e3b0c44298fc: mounted from another repository
wrote docker://r.example/app:1 sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d
";
    assert_eq!(written(Plain::default()), expected);
}

#[test]
fn json_is_an_object_for_each_event() {
    let text = written(Json::default());
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    // The second report of a transfer follows too closely on the first.
    assert_eq!(lines.len(), build().len() - 1);
    let expected = [
        r#"{"time":0.0,"type":"planned","steps":4}"#,
        concat!(
            r#"{"time":0.001,"type":"step-started","step":0,"stage":"build","position":1,"of":3,"#,
            r#""instruction":"FROM alpine","line":1}"#
        ),
    ];
    assert_eq!(text.lines().take(2).collect::<Vec<_>>(), expected);
    let output = lines.iter().find(|line| line["type"] == "step-output").unwrap();
    assert_eq!(output["bytes"], "cc -o a\ncc -");
}

/// The terminal at some time of the build, after a redraw.
fn screen_at(millis: u64, columns: usize, size: fn() -> (usize, usize)) -> Terminal {
    let mut terminal = Terminal::new(columns);
    let mut live = Live::new(Style::COLOUR, size);
    play(&mut live, millis, &mut terminal);
    live.tick(Duration::from_millis(millis + 100), &mut terminal)
        .unwrap();
    terminal
}

#[test]
fn live_shows_what_is_at_work() {
    let pulling = screen_at(200, 72, || (72, 24));
    let expected = "  0.2s [build 1/3] FROM alpine
  0.2s pull e3b0c44298fc 12 MB of 30 MB from docker.io/library/alpine
building 0.3s, 0 of 4 steps done
";
    assert_eq!(pulling.seen(), expected);
    assert!(!pulling.cursor_shown);

    let running = screen_at(1500, 72, || (72, 24));
    let expected = "  0.9s [build 1/3] FROM alpine
cached [build 2/3] COPY . .
warning: it is late (line 3)
  0.6s [build 3/3] RUN make (app.py changed)
       cc -o a
       cc -o b
       linking 90%
  0.6s [stage-1 1/3] RUN <<EOF ...
building 1.6s, 2 of 4 steps done
";
    assert_eq!(running.seen(), expected);
}

#[test]
fn live_fits_into_a_small_terminal() {
    // Lines that are done are written in full and may wrap; those that move may not.
    let narrow = screen_at(200, 20, || (20, 24));
    assert_eq!(
        narrow.seen(),
        "  0.2s [build 1/3] F\n  0.2s pull e3b0c442\nbuilding 0.3s, 0 of\n"
    );
    let low = screen_at(1500, 72, || (72, 4));
    let moving: Vec<String> = low.seen().lines().skip(3).map(str::to_owned).collect();
    let expected = [
        "  0.6s [build 3/3] RUN make (app.py changed)",
        "  0.6s [stage-1 1/3] RUN <<EOF ...",
        "building 1.6s, 2 of 4 steps done",
    ];
    assert_eq!(moving, expected);
    let lower = screen_at(1500, 72, || (72, 3));
    assert!(
        lower
            .seen()
            .ends_with("       and 2 more\nbuilding 1.6s, 2 of 4 steps done\n"),
        "{}",
        lower.seen()
    );
}

#[test]
fn live_leaves_the_terminal_as_it_was() {
    let mut terminal = Terminal::new(120);
    let mut live = Live::new(Style::COLOUR, || (120, 24));
    play(&mut live, u64::MAX, &mut terminal);
    live.finish(Duration::from_secs(63), &mut terminal).unwrap();
    assert!(terminal.cursor_shown);
    let digest = Digest::of("image");
    let expected = format!(
        "  0.9s [build 1/3] FROM alpine
cached [build 2/3] COPY . .
warning: it is late (line 3)
 1m01s [build 3/3] RUN make (app.py changed)
  0.4s [stage-1 1/3] RUN <<EOF ...
       built {digest}
       wrote docker://r.example/app:1 {digest}
"
    );
    assert_eq!(terminal.seen(), expected);
}

#[test]
fn live_marks_the_step_that_failed() {
    let mut terminal = Terminal::new(80);
    let mut live = Live::new(Style::COLOUR, || (80, 24));
    play(&mut live, 1100, &mut terminal);
    let failed = Event::StepFailed {
        step: 2,
        elapsed: Duration::from_secs(1),
    };
    live.event(&failed, Duration::from_secs(2), &mut terminal)
        .unwrap();
    live.finish(Duration::from_secs(2), &mut terminal).unwrap();
    let expected = "  0.9s [build 1/3] FROM alpine
cached [build 2/3] COPY . .
failed [build 3/3] RUN make (app.py changed)
";
    assert_eq!(terminal.seen(), expected);
}
