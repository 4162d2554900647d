//! How many builds there may be: at work, and waiting for that.

use std::{num::NonZeroUsize, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Those that are here, of those that may be.
pub struct Queue {
    /// One for each build that may be here, at work or not.
    seats: Arc<Semaphore>,
    all: u32,
    /// One for each build that may be at work.
    turns: Arc<Semaphore>,
    jobs: usize,
}

/// The right to be here; given back when dropped.
pub struct Seat {
    _permit: OwnedSemaphorePermit,
}

/// The right to work; given back when dropped.
pub struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Queue {
    /// With so many at work, and so many that wait.
    pub fn new(jobs: NonZeroUsize, waiting: usize) -> Self {
        let jobs = jobs.get().min(MOST);
        let all = jobs + waiting.min(MOST);
        Self {
            seats: Arc::new(Semaphore::new(all)),
            all: u32::try_from(all).unwrap_or(u32::MAX),
            turns: Arc::new(Semaphore::new(jobs)),
            jobs,
        }
    }

    /// A seat, if there is one.
    pub fn seat(&self) -> Option<Seat> {
        let permit = self.seats.clone().try_acquire_owned().ok()?;
        Some(Seat { _permit: permit })
    }

    /// Waits for a turn; those who came first are first.
    pub async fn turn(&self) -> Option<Turn> {
        let permit = self.turns.clone().acquire_owned().await.ok()?;
        Some(Turn { _permit: permit })
    }

    /// Waits until nobody is here. Nobody gets a seat from then on.
    pub async fn close(&self) {
        // The semaphore is never closed.
        if let Ok(permits) = self.seats.acquire_many(self.all).await {
            permits.forget();
        }
    }

    /// How many are at work, and how many are here and are not.
    pub fn counts(&self) -> (usize, usize) {
        let running = self.jobs.saturating_sub(self.turns.available_permits());
        let here = (self.all as usize).saturating_sub(self.seats.available_permits());
        (running, here.saturating_sub(running))
    }
}

/// More are not counted.
const MOST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_end_to_those_who_wait() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let queue = Queue::new(NonZeroUsize::MIN, 1);
            let first = (queue.seat().unwrap(), queue.turn().await.unwrap());
            let second = queue.seat().unwrap();
            assert!(queue.seat().is_none());
            assert_eq!(queue.counts(), (1, 1));
            drop(first);
            let turn = queue.turn().await.unwrap();
            assert_eq!(queue.counts(), (1, 0));
            drop((second, turn));
            queue.close().await;
            assert!(queue.seat().is_none());
        });
    }
}
