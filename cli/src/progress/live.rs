//! A few lines redrawn in place, for people.
//!
//! ```text
//! cached  [build 1/5] FROM docker.io/library/debian:12
//!   1.3s  [build 2/5] COPY . . (app.py changed)
//!  12.4s  [build 3/5] RUN make
//!         cc -o app app.c
//!   0.9s  pull 0123456789ab 12 MB of 30 MB from docker.io/library/alpine
//! building 14.0s, 2 of 9 steps done
//! ```
//!
//! Steps that are done scroll away above; those at work, transfers, and the last line are drawn anew.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use rbuild::{Event, event::StepId};

use super::{
    Renderer,
    lines::{LastLines, harmless},
    screen::{Screen, Size, clip},
    transfers::Transfers,
    words::{self, elapsed},
};
use crate::style::Style;

/// Shortest time between two drawings.
const INTERVAL: Duration = Duration::from_millis(50);

/// How many lines of a process's output are shown.
const OUTPUT: usize = 6;

/// Steps at work, transfers, and what will stay on the screen.
pub struct Live {
    style: Style,
    size: fn() -> Size,
    screen: Screen,
    drawn_at: Option<Duration>,
    settled: Vec<String>,
    steps: BTreeMap<StepId, Step>,
    transfers: Transfers,
    planned: usize,
    done: usize,
}

/// A step that is at work.
struct Step {
    title: String,
    since: Duration,
    output: LastLines,
}

/// How a line of the moving part looks.
enum Line {
    Normal(String),
    Dim(String),
}

impl Renderer for Live {
    fn event(&mut self, event: &Event, now: Duration, out: &mut dyn Write) -> io::Result<()> {
        self.note(event, now);
        self.tick(now, out)
    }

    fn tick(&mut self, now: Duration, out: &mut dyn Write) -> io::Result<()> {
        let due = self.drawn_at.is_none_or(|at| now.saturating_sub(at) >= INTERVAL);
        if due { self.draw(now, out) } else { Ok(()) }
    }

    fn finish(&mut self, _now: Duration, out: &mut dyn Write) -> io::Result<()> {
        self.screen.draw(&std::mem::take(&mut self.settled), &[], out)?;
        self.screen.release(out)
    }
}

impl Live {
    /// Draws for a terminal of a size that may change.
    pub fn new(style: Style, size: fn() -> Size) -> Self {
        Self {
            style,
            size,
            screen: Screen::default(),
            drawn_at: None,
            settled: Vec::new(),
            steps: BTreeMap::new(),
            transfers: Transfers::default(),
            planned: 0,
            done: 0,
        }
    }

    fn note(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Planned { steps } => self.planned = *steps,
            Event::Warning { message, line } => {
                let word = self.style.yellow("warning:");
                self.settled
                    .push(format!("{word} {}", words::warning(message, *line)));
            }
            Event::Written { place, manifest } => {
                self.settled
                    .push(format!("{:>7}wrote {} {manifest}", "", harmless(place)));
            }
            Event::Built { manifest } => self.settled.push(format!("{:>7}built {manifest}", "")),
            Event::TransferStarted { .. }
            | Event::TransferProgress { .. }
            | Event::TransferFinished { .. } => {
                self.transfers.note(event, now);
            }
            _ => self.note_step(event, now),
        }
    }

    fn note_step(&mut self, event: &Event, now: Duration) {
        match event {
            Event::StepStarted {
                step,
                stage,
                position,
                of,
                instruction,
                ..
            } => {
                let title = words::title(stage, *position, *of, instruction);
                let output = LastLines::new(OUTPUT);
                self.steps.insert(
                    *step,
                    Step {
                        title,
                        since: now,
                        output,
                    },
                );
            }
            Event::StepCached { step, .. } => self.settle(*step, "cached"),
            Event::StepMissed { step, why } => {
                if let Some(step) = self.steps.get_mut(step) {
                    step.title.push_str(&format!(" ({})", harmless(why)));
                }
            }
            Event::StepOutput { step, bytes, .. } => {
                if let Some(step) = self.steps.get_mut(step) {
                    step.output.push(bytes);
                }
            }
            Event::StepFinished {
                step, elapsed: took, ..
            } => self.settle(*step, &elapsed(*took)),
            Event::StepFailed { step, .. } => {
                if let Some(step) = self.steps.remove(step) {
                    self.settled
                        .push(self.style.red(&format!("failed {}", step.title)));
                }
            }
            _ => {}
        }
    }

    /// The step is done and scrolls away.
    fn settle(&mut self, step: StepId, status: &str) {
        if let Some(step) = self.steps.remove(&step) {
            self.settled.push(format!("{status:>6} {}", step.title));
            self.done += 1;
        }
    }

    fn draw(&mut self, now: Duration, out: &mut dyn Write) -> io::Result<()> {
        self.drawn_at = Some(now);
        let (columns, rows) = (self.size)();
        let room = rows.saturating_sub(2).max(1);
        let mut below: Vec<String> = self
            .moving(now, room)
            .into_iter()
            .map(|line| self.paint(line, columns))
            .collect();
        below.push(clip(&self.summary(now), columns));
        self.screen.draw(&std::mem::take(&mut self.settled), &below, out)
    }

    fn paint(&self, line: Line, columns: usize) -> String {
        match line {
            Line::Normal(text) => clip(&text, columns),
            Line::Dim(text) => self.style.dim(&clip(&text, columns)),
        }
    }

    /// Steps and transfers in at most so many lines; each step shows as much output as there is room for.
    fn moving(&self, now: Duration, room: usize) -> Vec<Line> {
        let titles = self.steps.len() + self.transfers.len();
        let share = room.saturating_sub(titles) / self.steps.len().max(1);
        let clock = |since: Duration| elapsed(now.saturating_sub(since));
        let mut lines = Vec::new();
        for step in self.steps.values() {
            lines.push(Line::Normal(format!("{:>6} {}", clock(step.since), step.title)));
            let output = step.output.get();
            let hidden = output.len().saturating_sub(share);
            lines.extend(
                output
                    .into_iter()
                    .skip(hidden)
                    .map(|text| Line::Dim(format!("{:>7}{text}", ""))),
            );
        }
        for (since, state) in self.transfers.states() {
            lines.push(Line::Normal(format!("{:>6} {state}", clock(since))));
        }
        if lines.len() > room {
            let hidden = lines.len() - (room - 1);
            lines.truncate(room - 1);
            lines.push(Line::Normal(format!("{:>7}and {hidden} more", "")));
        }
        lines
    }

    fn summary(&self, now: Duration) -> String {
        let clock = elapsed(now);
        match self.planned {
            0 => format!("working {clock}"),
            planned => format!("building {clock}, {} of {planned} steps done", self.done),
        }
    }
}
