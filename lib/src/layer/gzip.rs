//! gzip on several threads: members of one MiB each, every one compressed by itself, so that the bytes are the same on
//! any number of threads. RFC 1952 has files of several members; whatever reads gzip reads them.

use std::{
    collections::VecDeque,
    io::{self, Write},
    mem,
    sync::{Arc, Mutex, mpsc},
    thread::Scope,
};

use libdeflater::{CompressionLvl, Compressor};

/// Bytes before compression.
pub(super) const MEMBER: usize = 1 << 20;

/// Something to compress, and where to send the result.
type Job = (Vec<u8>, mpsc::SyncSender<io::Result<Vec<u8>>>);

/// Compresses what is written to it into `blob`.
pub(super) struct Members<W> {
    blob: W,
    /// The member that is being filled.
    input: Vec<u8>,
    jobs: mpsc::SyncSender<Job>,
    /// Members that are being compressed, in order.
    pending: VecDeque<mpsc::Receiver<io::Result<Vec<u8>>>>,
    most_pending: usize,
    wrote: bool,
}

impl<W: Write> Members<W> {
    /// Starts the threads, which end when this is dropped.
    pub(super) fn new<'scope>(scope: &'scope Scope<'scope, '_>, threads: usize, level: i32, blob: W) -> Self {
        let most_pending = threads + 1;
        let (jobs, taken) = mpsc::sync_channel(most_pending);
        let taken = Arc::new(Mutex::new(taken));
        for _ in 0..threads.max(1) {
            let taken = Arc::clone(&taken);
            scope.spawn(move || work(&taken, level));
        }
        Self {
            blob,
            input: Vec::with_capacity(MEMBER),
            jobs,
            pending: VecDeque::new(),
            most_pending,
            wrote: false,
        }
    }

    /// Compresses what is left, and writes what is pending.
    pub(super) fn finish(mut self) -> io::Result<()> {
        // Nothing at all is still one member: an empty file is not gzip.
        if !self.input.is_empty() || !self.wrote {
            self.send()?;
        }
        while !self.pending.is_empty() {
            self.receive()?;
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        if self.pending.len() >= self.most_pending {
            self.receive()?;
        }
        let input = mem::replace(&mut self.input, Vec::with_capacity(MEMBER));
        let (result, receiver) = mpsc::sync_channel(1);
        self.jobs.send((input, result)).map_err(|_| gone())?;
        self.pending.push_back(receiver);
        self.wrote = true;
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        let Some(receiver) = self.pending.pop_front() else {
            return Ok(());
        };
        let member = receiver.recv().map_err(|_| gone())??;
        self.blob.write_all(&member)
    }
}

impl<W: Write> Write for Members<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(MEMBER - self.input.len());
        self.input.extend_from_slice(&bytes[..length]);
        if self.input.len() == MEMBER {
            self.send()?;
        }
        Ok(length)
    }

    /// Members end where they must, and nowhere else.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gone() -> io::Error {
    io::Error::other("a compressing thread ended")
}

/// A thread: takes jobs until there are no more.
fn work(jobs: &Mutex<mpsc::Receiver<Job>>, level: i32) {
    let level = CompressionLvl::new(level.clamp(1, 12)).unwrap_or_default();
    let mut compressor = Compressor::new(level);
    loop {
        let job = jobs.lock().map(|jobs| jobs.recv());
        let Ok(Ok((input, result))) = job else { return };
        let mut member = vec![0; compressor.gzip_compress_bound(input.len())];
        let compressed = compressor
            .gzip_compress(&input, &mut member)
            .map_err(io::Error::other);
        // Nobody waits for it when the build has failed meanwhile.
        _ = result.send(compressed.map(|length| {
            member.truncate(length);
            member
        }));
    }
}
