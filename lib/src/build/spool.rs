//! Bytes on their way from who writes them to who reads them, neither waiting for the other: in a file without a name.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::{exec::Cancel, store::disk};

/// Puts bytes in. Dropped before [`finish`](Self::finish), its readers fail.
pub(super) struct Writer {
    spool: Arc<Spool>,
    /// Where the file is, for errors.
    place: PathBuf,
}

/// Reads the bytes from the first one on, as they come. The file is there as long as somebody has one of these.
pub(super) struct Reader {
    spool: Arc<Spool>,
    at: u64,
    cancel: Cancel,
}

/// Knows the bytes for as long as they are there.
#[derive(Clone)]
pub(super) struct Source {
    spool: Weak<Spool>,
    cancel: Cancel,
}

struct Spool {
    file: File,
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    written: u64,
    /// There will be no more; whether that is as it should be.
    ended: Option<bool>,
}

/// Both ends of a file in the directory `place`. Reading fails once `cancel` was called.
pub(super) fn spool(file: File, place: PathBuf, cancel: Cancel) -> (Writer, Reader) {
    let spool = Arc::new(Spool {
        file,
        state: Mutex::default(),
        more: Condvar::new(),
    });
    let writer = Writer {
        spool: spool.clone(),
        place,
    };
    let at = 0;
    (writer, Reader { spool, at, cancel })
}

impl Spool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, well: bool) {
        self.state().ended.get_or_insert(well);
        self.more.notify_all();
    }
}

impl Writer {
    /// All is written.
    pub fn finish(self) {
        self.spool.end(true);
    }
}

impl Reader {
    /// Another one, from the first byte on.
    pub fn again(&self) -> Self {
        Self {
            spool: self.spool.clone(),
            at: 0,
            cancel: self.cancel.clone(),
        }
    }

    /// What knows the bytes, and does not keep them.
    pub fn source(&self) -> Source {
        Source {
            spool: Arc::downgrade(&self.spool),
            cancel: self.cancel.clone(),
        }
    }
}

impl Source {
    /// A reader from the first byte on, if they are still there.
    pub fn reader(&self) -> Option<Reader> {
        Some(Reader {
            spool: self.spool.upgrade()?,
            at: 0,
            cancel: self.cancel.clone(),
        })
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = (&self.spool.file).write(bytes);
        let length = written.map_err(|error| disk::name(error, "write to", &self.place))?;
        self.spool.state().written += length as u64;
        self.spool.more.notify_all();
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.spool.end(false);
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("the build was cancelled"));
        }
        let state = self.spool.state();
        let waiting = |state: &mut State| state.written == self.at && state.ended.is_none();
        let state = self.spool.more.wait_while(state, waiting);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let (there, ended) = (state.written - self.at, state.ended);
        drop(state);
        if there == 0 && ended == Some(false) {
            return Err(io::Error::other("who wrote this did not come to the end"));
        }
        let length = buffer.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        let length = self.spool.file.read_at(&mut buffer[..length], self.at)?;
        if length == 0 && there > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn ends() -> (Writer, Reader, Cancel) {
        let cancel = Cancel::new().unwrap();
        let (writer, reader) = spool(tempfile::tempfile().unwrap(), "here".into(), cancel.clone());
        (writer, reader, cancel)
    }

    #[test]
    fn what_is_written_is_read_whoever_is_faster() {
        let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        for pieces in [1, 7000, 500_000, 2_000_000] {
            let (mut writer, mut reader, _) = ends();
            let mut read = Vec::new();
            thread::scope(|scope| {
                scope.spawn(|| {
                    bytes
                        .chunks(pieces.max(1000))
                        .for_each(|piece| writer.write_all(piece).unwrap());
                    writer.finish();
                });
                reader.read_to_end(&mut read).unwrap();
            });
            assert!(read == bytes, "{pieces}");
        }
        // Nobody reads before all is written.
        let (mut writer, mut reader, _) = ends();
        writer.write_all(&bytes).unwrap();
        writer.finish();
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
    }

    #[test]
    fn there_may_be_many_readers_until_the_last_is_gone() {
        let (mut writer, mut reader, _) = ends();
        writer.write_all(b"bytes").unwrap();
        writer.finish();
        let source = reader.source();
        for mut reader in [reader.again(), source.reader().unwrap()] {
            assert_eq!(io::read_to_string(&mut reader).unwrap(), "bytes");
        }
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "bytes");
        drop(reader);
        assert!(source.reader().is_none());
    }

    #[test]
    fn what_ends_early_is_an_error() {
        let (mut writer, mut reader, _) = ends();
        writer.write_all(b"half").unwrap();
        drop(writer);
        let mut read = Vec::new();
        assert!(reader.read_to_end(&mut read).is_err());
        assert_eq!(read, b"half");
    }

    #[test]
    fn errors_name_the_place() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (mut writer, _) = spool(full, "here".into(), Cancel::new().unwrap());
        let error = writer.write_all(b"bytes").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(error.to_string(), "cannot write to here");
    }

    #[test]
    fn nobody_reads_on_after_a_cancel() {
        let (mut writer, mut reader, cancel) = ends();
        writer.write_all(b"half").unwrap();
        cancel.cancel();
        assert!(reader.read(&mut [0; 10]).is_err());
        writer.finish();
    }
}
