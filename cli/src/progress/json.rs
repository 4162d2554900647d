//! An object for each event, one a line, for programs.

use std::{
    collections::HashMap,
    io::{self, Write},
    time::Duration,
};

use rbuild::{Event, event::TransferId};
use serde::Serialize;

use super::Renderer;

/// How often a transfer reports how far it is.
const INTERVAL: Duration = Duration::from_millis(250);

/// An object for each event; its `time` is in seconds since the start.
#[derive(Default)]
pub struct Json {
    reported: HashMap<TransferId, Duration>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: f64,
    #[serde(flatten)]
    event: &'a Event,
}

impl Renderer for Json {
    fn event(&mut self, event: &Event, now: Duration, out: &mut dyn Write) -> io::Result<()> {
        if !self.is_due(event, now) {
            return Ok(());
        }
        let mut line = serde_json::to_vec(&Line {
            time: now.as_millis() as f64 / 1000.0,
            event,
        })?;
        line.push(b'\n');
        out.write_all(&line)
    }
}

impl Json {
    fn is_due(&mut self, event: &Event, now: Duration) -> bool {
        match event {
            Event::TransferProgress { transfer, .. } => {
                let last = self.reported.get(transfer);
                let due = last.is_none_or(|last| now.saturating_sub(*last) >= INTERVAL);
                if due {
                    self.reported.insert(*transfer, now);
                }
                due
            }
            Event::TransferFinished { transfer, .. } => {
                self.reported.remove(transfer);
                true
            }
            _ => true,
        }
    }
}
