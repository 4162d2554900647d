//! A line for each event, for logs.
//!
//! ```text
//! #3 [build 2/5] RUN make
//! #3 not cached: app.py changed
//! #3 0.412 cc -o app app.c
//! #3 done in 1.3s
//! ```

use std::{
    collections::HashMap,
    io::{self, Write},
    time::Duration,
};

use rbuild::{Event, event::StepId};

use super::{
    Renderer,
    lines::{Lines, harmless},
    transfers::Transfers,
    words::{self, elapsed},
};

/// A line for each event.
#[derive(Default)]
pub struct Plain {
    steps: HashMap<StepId, Step>,
    transfers: Transfers,
}

/// A step that is at work.
#[derive(Default)]
struct Step {
    since: Duration,
    output: Lines,
}

impl Renderer for Plain {
    fn event(&mut self, event: &Event, now: Duration, out: &mut dyn Write) -> io::Result<()> {
        match event {
            Event::StepStarted { .. }
            | Event::StepCached { .. }
            | Event::StepMissed { .. }
            | Event::StepOutput { .. }
            | Event::StepFinished { .. }
            | Event::StepFailed { .. } => self.step(event, now, out),
            Event::TransferStarted { .. }
            | Event::TransferProgress { .. }
            | Event::TransferFinished { .. } => match self.transfers.note(event, now) {
                Some(news) => writeln!(out, "{news}"),
                None => Ok(()),
            },
            Event::Warning { message, line } => writeln!(out, "warning: {}", words::warning(message, *line)),
            Event::Built { manifest } => writeln!(out, "built {manifest}"),
            Event::Written { place, manifest } => writeln!(out, "wrote {} {manifest}", harmless(place)),
            _ => Ok(()),
        }
    }
}

impl Plain {
    fn step(&mut self, event: &Event, now: Duration, out: &mut dyn Write) -> io::Result<()> {
        match event {
            Event::StepStarted {
                step,
                stage,
                position,
                of,
                instruction,
                ..
            } => {
                self.steps.insert(
                    *step,
                    Step {
                        since: now,
                        output: Lines::default(),
                    },
                );
                line(out, *step, &words::title(stage, *position, *of, instruction))
            }
            Event::StepCached { step, from } => {
                self.steps.remove(step);
                let from = from.as_ref().map(|place| format!(" in {}", harmless(place)));
                line(out, *step, &format!("cached{}", from.unwrap_or_default()))
            }
            Event::StepMissed { step, why } => line(out, *step, &format!("not cached: {}", harmless(why))),
            Event::StepOutput { step, bytes, .. } => {
                let at_work = self.steps.entry(*step).or_default();
                let since = now.saturating_sub(at_work.since);
                at_work
                    .output
                    .push(bytes)
                    .iter()
                    .try_for_each(|text| output(out, *step, since, text))
            }
            Event::StepFinished {
                step, elapsed: took, ..
            } => self.end(*step, &format!("done in {}", elapsed(*took)), now, out),
            Event::StepFailed { step, elapsed: took } => {
                self.end(*step, &format!("failed after {}", elapsed(*took)), now, out)
            }
            _ => Ok(()),
        }
    }

    /// Shows an unfinished last line and how the step ended, unless it was cached: then all is said.
    fn end(&mut self, step: StepId, how: &str, now: Duration, out: &mut dyn Write) -> io::Result<()> {
        let Some(mut ended) = self.steps.remove(&step) else {
            return Ok(());
        };
        if let Some(text) = ended.output.finish() {
            output(out, step, now.saturating_sub(ended.since), &text)?;
        }
        line(out, step, how)
    }
}

fn line(out: &mut dyn Write, step: StepId, text: &str) -> io::Result<()> {
    writeln!(out, "#{} {text}", step + 1)
}

fn output(out: &mut dyn Write, step: StepId, since: Duration, text: &str) -> io::Result<()> {
    line(
        out,
        step,
        &format!("{}.{:03} {text}", since.as_secs(), since.subsec_millis()),
    )
}
