//! Blobs and files on their way, as the plain and the live display tell of them.

use std::{collections::BTreeMap, time::Duration};

use rbuild::{
    Digest, Event,
    event::{Direction, Moved, TransferId},
};

use super::{lines::harmless, words::elapsed};
use crate::options::human;

/// What moves at the moment.
#[derive(Default)]
pub struct Transfers(BTreeMap<TransferId, Transfer>);

impl Transfers {
    /// Takes note of an event about a transfer; gives a line for a log where there is something new.
    ///
    /// A transfer is announced when its first bytes have moved: many a blob turns out to be there already.
    pub fn note(&mut self, event: &Event, now: Duration) -> Option<String> {
        match event {
            Event::TransferStarted {
                transfer,
                direction,
                digest,
                size,
                place,
            } => {
                let begun = Transfer::new(*direction, digest.as_ref(), *size, place, now);
                self.0.insert(*transfer, begun);
                None
            }
            Event::TransferProgress { transfer, bytes } => {
                let moving = self.0.get_mut(transfer)?;
                let announced = std::mem::replace(&mut moving.moved, *bytes) > 0;
                (!announced && *bytes > 0).then(|| moving.title())
            }
            Event::TransferFinished { transfer, how } => {
                self.0.remove(transfer).map(|done| done.outcome(*how, now))
            }
            _ => None,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Since when, and how far each is.
    pub fn states(&self) -> impl Iterator<Item = (Duration, String)> {
        self.0.values().map(|transfer| (transfer.since, transfer.state()))
    }
}

/// A blob that moves.
struct Transfer {
    direction: Direction,
    /// Its short name.
    blob: String,
    /// In bytes.
    size: u64,
    /// Where from or to.
    place: String,
    /// When it began.
    since: Duration,
    /// Bytes that have moved.
    moved: u64,
}

impl Transfer {
    /// One that has just begun.
    fn new(direction: Direction, digest: Option<&Digest>, size: u64, place: &str, now: Duration) -> Self {
        Self {
            direction,
            blob: digest.map_or_else(|| "a file".to_owned(), Digest::short),
            size,
            place: harmless(place),
            since: now,
            moved: 0,
        }
    }

    /// `pull 0123456789ab (30 MB) from registry.example/app`.
    fn title(&self) -> String {
        let (verb, preposition) = self.words();
        format!(
            "{verb} {} ({}) {preposition} {}",
            self.blob,
            human(self.size),
            self.place
        )
    }

    /// `pull 0123456789ab 12 MB of 30 MB from registry.example/app`.
    fn state(&self) -> String {
        let (verb, preposition) = self.words();
        let (moved, size) = (human(self.moved), human(self.size));
        format!(
            "{verb} {} {moved} of {size} {preposition} {}",
            self.blob, self.place
        )
    }

    /// `pull 0123456789ab: done in 1.2s`.
    fn outcome(&self, how: Moved, now: Duration) -> String {
        let (verb, _) = self.words();
        let took = elapsed(now.saturating_sub(self.since));
        let outcome = match how {
            Moved::Copied => format!("done in {took}"),
            Moved::Existed => "already there".to_owned(),
            Moved::Mounted => "mounted from another repository".to_owned(),
        };
        format!("{verb} {}: {outcome}", self.blob)
    }

    fn words(&self) -> (&'static str, &'static str) {
        match self.direction {
            Direction::Pull => ("pull", "from"),
            Direction::Push => ("push", "to"),
        }
    }
}
