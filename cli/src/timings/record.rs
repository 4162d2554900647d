//! What happened when.

use std::{collections::HashMap, time::Duration};

use rbuild::{
    Event,
    event::{Direction, Moved, StepId, TransferId},
};

/// A build so far. Times are from its start.
#[derive(Default)]
pub struct Record {
    /// What is built.
    pub what: String,
    /// In the order in which they began.
    pub steps: Vec<Step>,
    /// In the order in which they began.
    pub transfers: Vec<Transfer>,
    /// In words.
    pub warnings: Vec<String>,
    by_step: HashMap<StepId, usize>,
    by_transfer: HashMap<TransferId, usize>,
}

/// From when to when. What has not ended ends with the build.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    pub begin: Duration,
    pub end: Option<Duration>,
}

/// A step.
pub struct Step {
    pub span: Span,
    pub stage: String,
    /// Place in its stage, and how many there are.
    pub position: (usize, usize),
    pub instruction: String,
    pub how: How,
}

/// Where a blob goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    Moves(Direction),
    /// From a step into the store, compressed.
    Packed,
}

/// How a step went.
#[derive(Clone, Debug, PartialEq)]
pub enum How {
    /// It was done; with why it was not cached.
    Ran(Option<String>),
    /// Its result was in the store.
    Cached,
    /// Its result was in a cache elsewhere.
    Restored(String),
    Failed,
}

/// A blob on its way.
pub struct Transfer {
    pub span: Span,
    pub way: Way,
    /// What it is: the beginning of its digest, or its address.
    pub name: String,
    pub place: String,
    /// Bytes that moved.
    pub bytes: u64,
    pub size: u64,
    pub how: Option<Moved>,
}

impl Record {
    pub fn new(what: String) -> Self {
        Self {
            what,
            ..Self::default()
        }
    }

    /// Something happened.
    pub fn event(&mut self, now: Duration, event: &Event) {
        match event {
            Event::StepStarted {
                step,
                stage,
                position,
                of,
                instruction,
                ..
            } => {
                self.by_step.insert(*step, self.steps.len());
                self.steps.push(Step {
                    span: Span::from(now),
                    stage: stage.clone(),
                    position: (*position, *of),
                    instruction: instruction.clone(),
                    how: How::Ran(None),
                });
            }
            Event::StepCached { step, from } => {
                let how = from.clone().map_or(How::Cached, How::Restored);
                self.step(*step, |step| step.how = how);
            }
            Event::StepMissed { step, why } => {
                self.step(*step, |step| step.how = How::Ran(Some(why.clone())));
            }
            Event::StepFinished { step, .. } => self.step(*step, |step| step.span.end = Some(now)),
            Event::StepFailed { step, .. } => self.step(*step, |step| {
                step.span.end = Some(now);
                step.how = How::Failed;
            }),
            Event::Warning { message, .. } => self.warnings.push(message.clone()),
            event => self.moved(now, event),
        }
    }

    fn moved(&mut self, now: Duration, event: &Event) {
        match event {
            Event::TransferStarted {
                transfer,
                direction,
                digest,
                size,
                place,
            } => {
                self.by_transfer.insert(*transfer, self.transfers.len());
                let name =
                    digest.map_or_else(|| "download".to_owned(), |digest| digest.hex()[..12].to_owned());
                self.transfers.push(Transfer {
                    span: Span::from(now),
                    way: Way::Moves(*direction),
                    name,
                    place: place.clone(),
                    bytes: 0,
                    size: *size,
                    how: None,
                });
            }
            Event::TransferProgress { transfer, bytes } => {
                self.transfer(*transfer, |transfer| transfer.bytes = *bytes);
            }
            Event::TransferFinished { transfer, how } => self.transfer(*transfer, |transfer| {
                transfer.span.end = Some(now);
                transfer.how = Some(*how);
            }),
            Event::LayerPacked {
                layer, size, elapsed, ..
            } => self.transfers.push(Transfer {
                span: Span {
                    begin: now.saturating_sub(*elapsed),
                    end: Some(now),
                },
                way: Way::Packed,
                name: layer.hex()[..12].to_owned(),
                place: "compressed".to_owned(),
                bytes: *size,
                size: *size,
                how: Some(Moved::Copied),
            }),
            _ => {}
        }
    }

    fn step(&mut self, id: StepId, change: impl FnOnce(&mut Step)) {
        let index = self.by_step.get(&id);
        if let Some(step) = index.and_then(|index| self.steps.get_mut(*index)) {
            change(step);
        }
    }

    fn transfer(&mut self, id: TransferId, change: impl FnOnce(&mut Transfer)) {
        let index = self.by_transfer.get(&id);
        if let Some(transfer) = index.and_then(|index| self.transfers.get_mut(*index)) {
            change(transfer);
        }
    }

    /// Bytes that moved this way.
    pub fn bytes(&self, direction: Direction) -> u64 {
        let this_way = |transfer: &&Transfer| transfer.way == Way::Moves(direction);
        self.transfers
            .iter()
            .filter(this_way)
            .map(|transfer| transfer.bytes)
            .sum()
    }

    /// How many steps went like this.
    pub fn count(&self, like: impl Fn(&How) -> bool) -> usize {
        self.steps.iter().filter(|step| like(&step.how)).count()
    }
}

impl Span {
    fn from(begin: Duration) -> Self {
        Self { begin, end: None }
    }

    /// When it ended, at the latest with the build.
    pub fn end(&self, last: Duration) -> Duration {
        self.end.unwrap_or(last)
    }

    pub fn length(&self, last: Duration) -> Duration {
        self.end(last).saturating_sub(self.begin)
    }
}
