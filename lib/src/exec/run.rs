//! The parent's side of a run: starts it, hands its output on, ends it.

use std::{
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::fd::{AsFd, BorrowedFd},
};

use rbuild_sys::Keep;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::getpid,
};

use super::{
    Cancel, Error, Outcome, RunSpec, Whiteouts,
    child::{Report, Task},
    foreign::Machine,
    ids::Ids,
    inside::Inside,
};
use crate::event::Stream;

/// Output is handed on in pieces of at most this size: what a pipe holds.
pub(super) const CHUNK: usize = 64 * 1024;

/// What else a run is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub whiteouts: Whiteouts,
    /// Whether it ends when it is about to do what only another engine can: to make a device node, or to use an id that
    /// there is not. With how many ids there are, from 0 on.
    pub watched: Option<u32>,
}

pub(super) fn run(
    spec: &RunSpec,
    ids: &Ids,
    how: How,
    cancel: &Cancel,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Outcome, Error> {
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    let setup = |source| Error::Setup {
        what: "start a child process".to_owned(),
        source,
    };
    let mut running = Running::start(spec, ids, how).map_err(setup)?;
    let done = running.follow(cancel, output);
    done.map_err(|source| Error::Setup {
        what: "follow a child process".to_owned(),
        source,
    })?;
    let report = running.finish().map_err(setup)?;
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    outcome(spec, report)
}

pub(super) fn outcome(spec: &RunSpec, report: Report) -> Result<Outcome, Error> {
    let program = || {
        let program = spec.argv.first().map(|name| name.to_string_lossy().into_owned());
        program.unwrap_or_default()
    };
    Err(match report {
        Report::Exited(code) => return Ok(Outcome::Exited(code)),
        Report::Signaled(signal) => return Ok(Outcome::Signaled(signal)),
        Report::Device => Error::Device,
        Report::Id => Error::Id,
        Report::Start { code, reason } => Error::Start {
            program: program(),
            code,
            reason,
        },
        Report::Foreign { machine } => match Machine::named(&machine) {
            Some(machine) => machine.refused(program()),
            None => Report::Foreign { machine }.into_error(),
        },
        other => other.into_error(),
    })
}

/// A run under way. Dropping it ends it.
struct Running {
    task: Option<Task>,
    stop: PipeWriter,
    pipes: [(Stream, Option<PipeReader>); 2],
}

impl Running {
    fn start(spec: &RunSpec, ids: &Ids, how: How) -> io::Result<Self> {
        let launching = rbuild_sys::launching();
        let (stdout, stdout_writer) = io::pipe()?;
        let (stderr, stderr_writer) = io::pipe()?;
        let (stop_reader, stop) = io::pipe()?;
        let output = [stdout_writer.as_fd(), stderr_writer.as_fd()];
        let inside = Inside {
            spec,
            ids,
            whiteouts: how.whiteouts,
            watched: how.watched,
            output,
            stop: stop_reader.as_fd(),
            parent: getpid(),
        };
        let mut keep = vec![output[0], output[1], inside.stop];
        keep.extend(ids.namespace().map(|namespace| namespace.as_fd()));
        let task = Task::spawn(&launching, Keep::Only(&keep), |reporter| inside.monitor(reporter))?;
        for pipe in [&stdout, &stderr] {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        let pipes = [(Stream::Stdout, Some(stdout)), (Stream::Stderr, Some(stderr))];
        Ok(Self {
            task: Some(task),
            stop,
            pipes,
        })
    }

    /// Hands output on until the monitor has ended; tells it to, once cancelled.
    fn follow(&mut self, cancel: &Cancel, output: &mut dyn FnMut(Stream, &[u8])) -> io::Result<()> {
        let mut cancelled = false;
        let mut ended = false;
        let mut chunk = vec![0; CHUNK];
        while !ended {
            let [child, stop] = self.wait((!cancelled).then(|| cancel.as_fd()))?;
            if stop {
                cancelled = true;
                self.end();
            }
            // What was written before the end has been written by now, and is read below.
            ended = child;
            for (stream, pipe) in &mut self.pipes {
                drain(*stream, pipe, ended, &mut chunk, output)?;
            }
        }
        Ok(())
    }

    /// Waits for output, the end of the child, or `cancel`; tells which of the latter two came.
    fn wait(&self, cancel: Option<BorrowedFd<'_>>) -> io::Result<[bool; 2]> {
        let Some(task) = &self.task else {
            return Ok([true, false]);
        };
        let mut sources = vec![PollFd::new(&task.child, PollFlags::IN)];
        sources.extend(cancel.map(|cancel| PollFd::from_borrowed_fd(cancel, PollFlags::IN)));
        let pipes = self.pipes.iter().filter_map(|(_, pipe)| pipe.as_ref());
        sources.extend(pipes.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        loop {
            match poll(&mut sources, None) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let ready = |index: usize| {
            sources
                .get(index)
                .is_some_and(|source| !source.revents().is_empty())
        };
        Ok([ready(0), cancel.is_some() && ready(1)])
    }

    /// Tells the monitor to end the payload.
    fn end(&mut self) {
        // If nobody reads this, the monitor has ended.
        let _ = self.stop.write_all(b"!");
    }

    fn finish(mut self) -> io::Result<Report> {
        match self.task.take() {
            Some(task) => task.join(),
            None => Ok(Report::Failed("the run has ended before".to_owned())),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.end();
            let _ = task.join();
        }
    }
}

/// Hands on what a pipe holds: one piece, or with `all` everything. A pipe at its end is closed.
pub(super) fn drain(
    stream: Stream,
    pipe: &mut Option<PipeReader>,
    all: bool,
    chunk: &mut [u8],
    output: &mut dyn FnMut(Stream, &[u8]),
) -> io::Result<()> {
    while let Some(reader) = pipe {
        match reader.read(chunk) {
            Ok(0) => *pipe = None,
            Ok(length) => {
                output(stream, &chunk[..length]);
                if !all {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
