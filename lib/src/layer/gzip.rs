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

/// A member, in buffers that are used again: what is new has to be mapped and filled by the kernel, which takes longer
/// than copying it.
#[derive(Default)]
struct Member {
    input: Vec<u8>,
    /// As large as it can become.
    output: Vec<u8>,
    /// How much of that it has become.
    length: usize,
}

/// Something to compress, and where to send the result.
type Job = (Member, mpsc::SyncSender<io::Result<Member>>);

/// Compresses what is written to it into `blob`.
pub(super) struct Members<W> {
    blob: W,
    /// The member that is being filled.
    current: Member,
    spare: Vec<Member>,
    jobs: mpsc::SyncSender<Job>,
    /// Members that are being compressed, in order.
    pending: VecDeque<mpsc::Receiver<io::Result<Member>>>,
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
            current: Member::default(),
            spare: Vec::new(),
            jobs,
            pending: VecDeque::new(),
            most_pending,
            wrote: false,
        }
    }

    /// Compresses what is left, and writes what is pending.
    pub(super) fn finish(mut self) -> io::Result<()> {
        // Nothing at all is still one member: an empty file is not gzip.
        if !self.current.input.is_empty() || !self.wrote {
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
        let next = self.spare.pop().unwrap_or_default();
        let member = mem::replace(&mut self.current, next);
        let (result, receiver) = mpsc::sync_channel(1);
        self.jobs.send((member, result)).map_err(|_| gone())?;
        self.pending.push_back(receiver);
        self.wrote = true;
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        let Some(receiver) = self.pending.pop_front() else {
            return Ok(());
        };
        let mut member = receiver.recv().map_err(|_| gone())??;
        self.blob.write_all(&member.output[..member.length])?;
        member.input.clear();
        self.spare.push(member);
        Ok(())
    }
}

impl<W: Write> Write for Members<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let input = &mut self.current.input;
        let length = bytes.len().min(MEMBER - input.len());
        input.reserve_exact(MEMBER - input.len());
        input.extend_from_slice(&bytes[..length]);
        if input.len() == MEMBER {
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
        let Ok(Ok((mut member, result))) = job else { return };
        let Member { input, output, .. } = &mut member;
        let most = compressor.gzip_compress_bound(input.len());
        output.resize(most.max(output.len()), 0);
        let compressed = compressor.gzip_compress(input, output);
        // Nobody waits for it when the build has failed meanwhile.
        _ = result.send(compressed.map_err(io::Error::other).map(|length| {
            member.length = length;
            member
        }));
    }
}
