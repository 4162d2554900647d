//! What builds say, kept in bounded memory for those who ask: of the builds at work, and of some that have ended.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::watch;

/// Bytes that are kept of one log; of a longer one, the last.
const KEPT: usize = 1 << 20;
/// Bytes that a reader is given at once.
const PIECE: usize = 64 << 10;
/// Logs that are kept of builds that have ended.
const ENDED: usize = 64;

/// The logs of all builds.
#[derive(Default)]
pub struct Logs(Mutex<VecDeque<(String, Log)>>);

impl Logs {
    /// The log of a new build; nothing if there is one of that name at work.
    pub fn open(&self, id: &str) -> Option<Log> {
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logs.iter().any(|(known, log)| known == id && !log.has_ended()) {
            return None;
        }
        logs.retain(|(known, _)| known != id);
        let mut ended = logs.iter().filter(|(_, log)| log.has_ended()).count();
        logs.retain(|(_, log)| {
            let goes = ended > ENDED && log.has_ended();
            ended -= usize::from(goes);
            !goes
        });
        let log = Log::default();
        logs.push_back((id.to_owned(), log.clone()));
        Some(log)
    }

    /// The log of a build, at work or not long ended.
    pub fn find(&self, id: &str) -> Option<Log> {
        let logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = logs.iter().find(|(known, _)| known == id);
        found.map(|(_, log)| log.clone())
    }
}

/// What one build says. Clones are the same log.
#[derive(Clone, Default)]
pub struct Log(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Wakes readers.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    /// The last bytes.
    bytes: VecDeque<u8>,
    /// So many came before them.
    before: u64,
    ended: bool,
}

impl Log {
    /// Nothing more will be said.
    pub fn end(&self) {
        self.lock().ended = true;
        self.0.changed.send_replace(());
    }

    /// What was said from an offset on, and the offset behind it; waits for it. Nothing at the end.
    pub async fn read(&self, from: u64) -> Option<(Bytes, u64)> {
        let mut changed = self.0.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(piece) = self.lock().piece(from) {
                return Some(piece);
            }
            if self.has_ended() {
                // It may have been the last thing before the end.
                return self.lock().piece(from);
            }
            // The sender lives as long as this log.
            let _ = changed.changed().await;
        }
    }

    fn has_ended(&self) -> bool {
        self.lock().ended
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is there from an offset on.
    fn piece(&self, from: u64) -> Option<(Bytes, u64)> {
        let lost = self.before.saturating_sub(from);
        let at = usize::try_from(from.saturating_sub(self.before)).ok()?;
        let mut piece = match lost {
            0 => Vec::new(),
            lost => format!("[{lost} bytes are left out]\n").into_bytes(),
        };
        let said: Vec<u8> = self.bytes.iter().skip(at).take(PIECE).copied().collect();
        let next = from + lost + said.len() as u64;
        piece.extend(said);
        (next > from).then(|| (piece.into(), next))
    }
}

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut state = self.lock();
        state.bytes.extend(text);
        let over = state.bytes.len().saturating_sub(KEPT);
        state.bytes.drain(..over);
        state.before += over as u64;
        drop(state);
        self.0.changed.send_replace(());
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of a log that has ended.
    fn all(log: &Log, mut from: u64) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut text = Vec::new();
        while let Some((piece, next)) = runtime.block_on(log.read(from)) {
            text.extend_from_slice(&piece);
            from = next;
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_log_is_read_from_anywhere_and_forgets_its_beginning() {
        let mut log = Log::default();
        log.write_all(b"first\n").unwrap();
        log.write_all(b"second\n").unwrap();
        log.end();
        assert_eq!(all(&log, 0), "first\nsecond\n");
        assert_eq!(all(&log, 6), "second\n");
        assert_eq!(all(&log, 13), "");
        log.write_all(&vec![b'x'; KEPT]).unwrap();
        let text = all(&log, 6);
        assert!(text.starts_with("[7 bytes are left out]\nxxx"), "{:.40}", text);
        assert_eq!(text.matches('x').count(), KEPT);
    }

    #[test]
    fn logs_that_ended_are_forgotten_in_the_end() {
        let logs = Logs::default();
        let first = logs.open("first").unwrap();
        assert!(logs.open("first").is_none());
        for i in 0..2 * ENDED {
            logs.open(&i.to_string()).unwrap().end();
        }
        assert!(logs.find("first").is_some(), "it is at work");
        assert!(logs.find("0").is_none());
        assert!(logs.find(&(2 * ENDED - 1).to_string()).is_some());
        first.end();
        assert!(logs.open("first").is_some());
    }
}
