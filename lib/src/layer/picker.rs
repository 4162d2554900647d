//! Some of the bytes of a stream, in any order.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
};

use super::{Error, index::BUFFER};

/// Offset and size.
type Range = (u64, u64);

/// Reads ranges of a stream that cannot go back. Ranges asked for in ascending order come straight from the stream;
/// those that it passes before they are asked for wait in a temporary file.
pub(super) struct Picker {
    stream: BufReader<Box<dyn Read + Send>>,
    position: u64,
    /// How often each range will still be asked for; those before `position` are spooled.
    needed: BTreeMap<Range, usize>,
    spool: Option<File>,
    spooled: HashMap<Range, u64>,
    /// What is being read.
    current: Current,
}

enum Current {
    Nothing,
    /// So many bytes of the stream.
    Stream(u64),
    /// So many bytes of the spool.
    Spool(u64),
}

impl Picker {
    /// For a stream at its first byte, and how often each range of it is needed.
    pub(super) fn new(stream: Box<dyn Read + Send>, needed: BTreeMap<Range, usize>) -> Self {
        Self {
            stream: BufReader::with_capacity(BUFFER, stream),
            position: 0,
            needed,
            spool: None,
            spooled: HashMap::new(),
            current: Current::Nothing,
        }
    }

    /// Goes to the start of a range; what is read next is its bytes.
    pub(super) fn seek(&mut self, offset: u64, size: u64) -> Result<(), Error> {
        // What is left of the range before.
        self.drain().map_err(Error::Read)?;
        let range = (offset, size);
        if self.count_down(range) || offset < self.position {
            self.pass(offset, true)?;
            let place = self.spooled.get(&range).copied().ok_or_else(missing)?;
            let spool = self.spool.as_mut().ok_or_else(missing)?;
            spool.seek(SeekFrom::Start(place)).map_err(Error::Read)?;
            self.current = Current::Spool(size);
        } else {
            self.pass(offset, false)?;
            self.current = Current::Stream(size);
        }
        Ok(())
    }

    /// Takes note that a range was asked for; whether it will be again.
    fn count_down(&mut self, range: Range) -> bool {
        let Some(count) = self.needed.get_mut(&range) else {
            return false;
        };
        *count = count.saturating_sub(1);
        *count > 0
    }

    /// Gets to `offset`, and to behind what starts there if that is to be spooled too.
    fn pass(&mut self, offset: u64, including: bool) -> Result<(), Error> {
        let end = if including {
            offset.saturating_add(1)
        } else {
            offset
        };
        while let Some((&(start, size), _)) = self
            .needed
            .range((self.position, 0)..(end.max(self.position), 0))
            .find(|(range, count)| **count > 0 && !self.spooled.contains_key(range))
        {
            self.skip_to(start)?;
            self.spool(start, size)?;
        }
        if self.position < offset && !including {
            self.skip_to(offset)
        } else {
            Ok(())
        }
    }

    fn skip_to(&mut self, offset: u64) -> Result<(), Error> {
        let distance = offset.checked_sub(self.position).ok_or_else(missing)?;
        let skipped =
            io::copy(&mut self.stream.by_ref().take(distance), &mut io::sink()).map_err(Error::Read)?;
        self.position += skipped;
        if skipped == distance {
            Ok(())
        } else {
            Err(missing())
        }
    }

    fn spool(&mut self, start: u64, size: u64) -> Result<(), Error> {
        let spool = match &mut self.spool {
            Some(spool) => spool,
            None => self.spool.insert(tempfile::tempfile().map_err(Error::Write)?),
        };
        let place = spool.seek(SeekFrom::End(0)).map_err(Error::Write)?;
        let copied = io::copy(&mut self.stream.by_ref().take(size), spool).map_err(Error::Write)?;
        spool.flush().map_err(Error::Write)?;
        self.position += copied;
        self.spooled.insert((start, size), place);
        if copied == size { Ok(()) } else { Err(missing()) }
    }

    fn drain(&mut self) -> io::Result<()> {
        if let Current::Stream(left) = std::mem::replace(&mut self.current, Current::Nothing) {
            self.position += io::copy(&mut self.stream.by_ref().take(left), &mut io::sink())?;
        }
        Ok(())
    }
}

fn missing() -> Error {
    Error::Read(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the layer does not hold what its index says",
    ))
}

impl Read for Picker {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (source, left): (&mut dyn Read, _) = match (&mut self.current, &mut self.spool) {
            (Current::Stream(left), _) => (&mut self.stream, left),
            (Current::Spool(left), Some(spool)) => (spool, left),
            _ => return Ok(0),
        };
        let limit = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let length = source.read(&mut buffer[..limit])?;
        *left -= length as u64;
        if matches!(self.current, Current::Stream(_)) {
            self.position += length as u64;
        }
        Ok(length)
    }
}
