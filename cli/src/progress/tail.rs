//! The last lines of each RUN, for the error message.

use std::collections::HashMap;

use rbuild::{Event, event::StepId};

use super::lines::LastLines;

/// How many lines are kept.
const KEPT: usize = 40;

/// The last lines of every step that is at work, then of the first that failed.
#[derive(Default)]
pub struct Tail {
    running: HashMap<StepId, LastLines>,
    failed: Option<Vec<String>>,
}

impl Tail {
    /// Takes note of an event.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::StepOutput { step, bytes, .. } => {
                self.running
                    .entry(*step)
                    .or_insert_with(|| LastLines::new(KEPT))
                    .push(bytes);
            }
            Event::StepFinished { step, .. } => drop(self.running.remove(step)),
            Event::StepFailed { step, .. } => {
                let output = self.running.remove(step).map(|last| last.get());
                self.failed.get_or_insert(output.unwrap_or_default());
            }
            _ => {}
        }
    }

    /// The last lines of the first step that failed.
    pub fn of_failed_step(&self) -> Vec<String> {
        self.failed.clone().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rbuild::event::Stream;

    use super::*;

    fn output(step: StepId, text: &str) -> Event {
        Event::StepOutput {
            step,
            stream: Stream::Stdout,
            bytes: text.into(),
        }
    }

    #[test]
    fn keeps_the_last_lines_of_the_step_that_failed() {
        let mut tail = Tail::default();
        tail.event(&output(1, "other\n"));
        for n in 0..100 {
            tail.event(&output(2, &format!("line {n}\n")));
        }
        tail.event(&output(2, "no newline"));
        tail.event(&Event::StepFailed {
            step: 2,
            elapsed: Duration::ZERO,
        });
        tail.event(&Event::StepFailed {
            step: 1,
            elapsed: Duration::ZERO,
        });
        let lines = tail.of_failed_step();
        assert_eq!(lines.len(), KEPT);
        assert_eq!(
            (lines[0].as_str(), lines[KEPT - 1].as_str()),
            ("line 61", "no newline")
        );
    }

    #[test]
    fn is_empty_when_nothing_failed() {
        let mut tail = Tail::default();
        tail.event(&output(1, "fine\n"));
        assert!(tail.of_failed_step().is_empty());
    }
}
