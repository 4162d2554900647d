//! A tar as if no file in it were sparse.

use std::io::{self, BufRead, Read};

use super::{Entries, sparse::Run};

/// Reads a tar as if its sparse files had been written in full: what an index says of places in a layer is true of
/// this. Between the bytes of files there are zeros, and nothing is to be read there.
pub(in crate::layer) struct Expanded<R> {
    entries: Entries<R>,
    /// Zeros that stand for headers, or for a hole.
    zeros: u64,
    ended: bool,
}

impl<R: BufRead> Expanded<R> {
    pub(in crate::layer) fn new(tar: R) -> Self {
        Self {
            // What was passed over by the index is passed over here.
            entries: Entries::new(tar).lenient(),
            zeros: 0,
            ended: false,
        }
    }

    /// Gets to where there is something to give.
    fn advance(&mut self) -> io::Result<()> {
        let before = self.entries.position();
        if self.entries.next().map_err(io::Error::other)?.is_none() {
            self.ended = true;
        }
        self.zeros = self.entries.position() - before;
        Ok(())
    }
}

impl<R: BufRead> Read for Expanded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if self.zeros > 0 {
                let most = usize::try_from(self.zeros).map_or(buffer.len(), |zeros| zeros.min(buffer.len()));
                buffer[..most].fill(0);
                self.zeros -= most as u64;
                return Ok(most);
            }
            if self.ended {
                return Ok(0);
            }
            match self.entries.run().map_err(io::Error::other)? {
                Some(Run::Hole(size)) => self.zeros = size,
                Some(Run::Data(_)) => return self.entries.read_data(buffer).map_err(io::Error::other),
                None => self.advance()?,
            }
        }
        Ok(0)
    }
}
