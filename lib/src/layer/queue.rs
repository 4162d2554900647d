//! Bytes on their way from one thread to another, so that what makes them and what takes them work at the same time: like
//! a pipe, but in buffers that go back and forth, which nobody copies to the kernel and back.

use std::{
    io::{self, BufRead, ErrorKind, Read, Write},
    sync::mpsc,
    thread::Scope,
};

use super::gzip::MEMBER;

/// Passed on at once, in bytes: a member of our gzip, which is decompressed right into it.
const PIECE: usize = MEMBER;
/// Pieces that wait where one thread is as fast as the other.
const AHEAD: usize = 2;
/// Pieces that wait where one of them is slow with many small files, and fast with few large ones.
const FAR_AHEAD: usize = 4;

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

    fn is_full(&self) -> bool {
        self.filled == self.bytes.len()
    }

    /// Reads until it is full, or the source is at its end. In large reads, that is: a decompressor is slow in small ones.
    fn fill(&mut self, source: &mut impl Read) -> io::Result<()> {
        while !self.is_full() {
            match source.read(&mut self.bytes[self.filled..]) {
                Ok(0) => break,
                Ok(length) => self.filled += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes as much as there is room for.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let room = &mut self.bytes[self.filled..];
        let length = room.len().min(bytes.len());
        room[..length].copy_from_slice(&bytes[..length]);
        self.filled += length;
        length
    }
}

/// The end that bytes go into. What is written arrives when a buffer is full, or this is flushed or dropped.
pub struct Writer {
    pieces: mpsc::SyncSender<io::Result<Piece>>,
    /// Where used buffers come back from.
    emptied: mpsc::Receiver<Piece>,
    current: Option<Piece>,
}

/// The end that bytes come out of. When it is gone, writing fails with [`ErrorKind::BrokenPipe`].
pub struct Reader {
    pieces: mpsc::Receiver<io::Result<Piece>>,
    /// Where used buffers go back to.
    empty: mpsc::SyncSender<Piece>,
    current: Option<Piece>,
    taken: usize,
}

/// Both ends of a queue for a layer's tar, in which up to 4 MiB wait to be taken.
pub fn queue() -> (Writer, Reader) {
    of_pieces(FAR_AHEAD)
}

fn of_pieces(most: usize) -> (Writer, Reader) {
    let (sender, pieces) = mpsc::sync_channel(most);
    let (empty, emptied) = mpsc::sync_channel(most + 2);
    let writer = Writer {
        pieces: sender,
        emptied,
        current: None,
    };
    let reader = Reader {
        pieces,
        empty,
        current: None,
        taken: 0,
    };
    (writer, reader)
}

/// What a thread reads ahead. It ends with its source, at an error, or soon after the reader is dropped.
pub fn read_ahead<'scope>(scope: &'scope Scope<'scope, '_>, mut source: impl Read + Send + 'scope) -> Reader {
    let (mut writer, reader) = of_pieces(AHEAD);
    // Nobody reads on when the queue is closed.
    scope.spawn(move || while let Ok(true) = writer.read_from(&mut source) {});
    reader
}

impl Writer {
    fn piece(&mut self) -> Piece {
        let used = || self.emptied.try_recv().ok();
        self.current.take().or_else(used).unwrap_or_else(Piece::new)
    }

    /// Passes on a piece of what the source has, or its error; whether there may be more.
    fn read_from(&mut self, source: &mut impl Read) -> io::Result<bool> {
        let mut piece = self.piece();
        let (piece, goes_on) = match piece.fill(source) {
            Ok(()) if piece.filled == 0 => return Ok(false),
            Ok(()) => (Ok(piece), true),
            Err(error) => (Err(error), false),
        };
        self.send(piece)?;
        Ok(goes_on)
    }

    fn send(&self, piece: io::Result<Piece>) -> io::Result<()> {
        self.pieces.send(piece).map_err(|_| ErrorKind::BrokenPipe.into())
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut piece = self.piece();
        let length = piece.write(bytes);
        match piece.is_full() {
            true => self.send(Ok(piece))?,
            false => self.current = Some(piece),
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.current.take() {
            Some(piece) => self.send(Ok(piece)),
            None => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // There may be nobody any more.
        let _ = self.flush();
    }
}

impl BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let used_up = |piece: &Piece| piece.filled == self.taken;
        if self.current.as_ref().is_none_or(used_up)
            && let Ok(next) = self.pieces.recv()
        {
            let next = next?;
            self.taken = 0;
            if let Some(mut used) = self.current.replace(next) {
                used.filled = 0;
                // There may be enough of them.
                let _ = self.empty.try_send(used);
            }
        }
        let piece = self.current.as_ref();
        Ok(piece.map_or(&[], |piece| &piece.bytes[self.taken..piece.filled]))
    }

    fn consume(&mut self, length: usize) {
        let filled = self.current.as_ref().map_or(0, |piece| piece.filled);
        self.taken = filled.min(self.taken + length);
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        self.consume(length);
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
            thread::scope(|scope| read_ahead(scope, &bytes[..]).read_to_end(&mut found)).unwrap();
            assert!(found == bytes, "{size}");
        }
    }

    #[test]
    fn tells_of_errors() {
        let mut found = Vec::new();
        let error = thread::scope(|scope| read_ahead(scope, Failing(PIECE + 5)).read_to_end(&mut found));
        assert_eq!(error.unwrap_err().to_string(), "broken");
        assert!(found.len() >= PIECE);
    }

    #[test]
    fn ends_when_nobody_reads_on() {
        let mut first = [0];
        thread::scope(|scope| read_ahead(scope, io::repeat(7)).read(&mut first)).unwrap();
        assert_eq!(first, [7]);
    }

    #[test]
    fn passes_on_what_is_written_in_whatever_pieces() {
        let bytes: Vec<u8> = (0..3 * PIECE + 7).map(|n| (n % 251) as u8).collect();
        for size in [1000, PIECE - 1, PIECE, PIECE + 1, bytes.len()] {
            let (writer, mut reader) = of_pieces(1);
            let mut found = Vec::new();
            thread::scope(|scope| {
                let chunks = bytes.chunks(size);
                scope.spawn(move || {
                    let mut writer = writer;
                    let mut chunks = chunks;
                    chunks.try_for_each(|piece| writer.write_all(piece))
                });
                reader.read_to_end(&mut found).unwrap();
            });
            assert!(found == bytes, "{size}");
        }
    }

    #[test]
    fn more_than_waits_is_refused_when_nobody_reads() {
        let (mut writer, reader) = of_pieces(1);
        thread::scope(|scope| {
            let writing = scope.spawn(move || io::copy(&mut io::repeat(1), &mut writer));
            drop(reader);
            let error = writing.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        });
    }

    #[test]
    fn buffers_are_used_again() {
        let (mut writer, mut reader) = of_pieces(1);
        for round in 0..3_u8 {
            writer.write_all(&vec![round; PIECE]).unwrap();
            let mut found = vec![0; PIECE];
            reader.read_exact(&mut found).unwrap();
            assert!(found.iter().all(|byte| *byte == round));
        }
        writer.write_all(b"rest").unwrap();
        drop(writer);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "rest");
        // Ended, it stays so.
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }
}
