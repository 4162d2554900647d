//! Reading ahead in another thread, so that what makes the bytes and what takes them work at the same time.

use std::{
    io::{self, Read},
    sync::mpsc,
    thread::Scope,
};

/// Read at once.
const PIECE: usize = 256 << 10;
/// Pieces that may wait to be taken.
const AHEAD: usize = 4;

/// A buffer, and how much of it is filled.
struct Piece {
    bytes: Vec<u8>,
    filled: usize,
}

impl Piece {
    fn new() -> Self {
        Self {
            bytes: vec![0; PIECE],
            filled: 0,
        }
    }

    /// Reads until it is full, or the source is at its end. In large reads, that is: a decompressor is slow in small ones.
    fn fill(&mut self, source: &mut impl Read) -> io::Result<()> {
        self.filled = 0;
        while self.filled < self.bytes.len() {
            match source.read(&mut self.bytes[self.filled..]) {
                Ok(0) => break,
                Ok(length) => self.filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What a thread reads.
pub struct Ahead {
    pieces: mpsc::Receiver<io::Result<Piece>>,
    /// Where used buffers go back to.
    empty: mpsc::SyncSender<Piece>,
    current: Option<Piece>,
    taken: usize,
}

impl Ahead {
    /// Starts to read. The thread ends with its source, at an error, or soon after this is dropped.
    pub fn new<'scope>(scope: &'scope Scope<'scope, '_>, source: impl Read + Send + 'scope) -> Self {
        let (sender, pieces) = mpsc::sync_channel(AHEAD);
        let (empty, emptied) = mpsc::sync_channel(AHEAD + 2);
        scope.spawn(move || read(source, &sender, &emptied));
        Self {
            pieces,
            empty,
            current: None,
            taken: 0,
        }
    }
}

fn read(
    mut source: impl Read,
    pieces: &mpsc::SyncSender<io::Result<Piece>>,
    emptied: &mpsc::Receiver<Piece>,
) {
    loop {
        let mut piece = emptied.try_recv().unwrap_or_else(|_| Piece::new());
        let (piece, goes_on) = match piece.fill(&mut source) {
            Ok(()) if piece.filled == 0 => return,
            Ok(()) => (Ok(piece), true),
            Err(error) => (Err(error), false),
        };
        if pieces.send(piece).is_err() || !goes_on {
            return;
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self
            .current
            .as_ref()
            .is_none_or(|piece| piece.filled == self.taken)
        {
            let Ok(next) = self.pieces.recv() else {
                return Ok(0);
            };
            let next = next?;
            self.taken = 0;
            if let Some(used) = self.current.replace(next) {
                // There may be enough of them.
                let _ = self.empty.try_send(used);
            }
        }
        let Some(piece) = &self.current else { return Ok(0) };
        let rest = &piece.bytes[self.taken..piece.filled];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.taken += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Fails after some bytes.
    struct Failing(usize);

    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.min(buffer.len());
            self.0 -= length;
            match length {
                0 => Err(io::Error::other("broken")),
                length => Ok(length),
            }
        }
    }

    #[test]
    fn gives_what_its_source_gives() {
        for size in [0, 1, PIECE, 3 * PIECE + 7] {
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let mut found = Vec::new();
            thread::scope(|scope| Ahead::new(scope, &bytes[..]).read_to_end(&mut found)).unwrap();
            assert!(found == bytes, "{size}");
        }
    }

    #[test]
    fn tells_of_errors() {
        let mut found = Vec::new();
        let error = thread::scope(|scope| Ahead::new(scope, Failing(PIECE + 5)).read_to_end(&mut found));
        assert_eq!(error.unwrap_err().to_string(), "broken");
        assert!(found.len() >= PIECE);
    }

    #[test]
    fn ends_when_nobody_reads_on() {
        let mut first = [0];
        thread::scope(|scope| Ahead::new(scope, io::repeat(7)).read(&mut first)).unwrap();
        assert_eq!(first, [7]);
    }
}
