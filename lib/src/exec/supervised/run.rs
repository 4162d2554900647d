//! A run as its caller sees it.

use std::{
    fs::File,
    io::{self, PipeReader, PipeWriter, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use rbuild_sys::{Child as Forked, Keep, receive_descriptor, seccomp::Listener};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use super::{
    Shared, Who,
    filter::filter,
    load::{Copies, Emulators, Loader, PLACE},
    process::State,
    serve::{Handlers, serve},
    start::{self, Child},
    tracer::trace,
};
use crate::{
    event::Stream,
    exec::{
        Cancel, Error, Outcome, RunSpec,
        child::{Report, Task},
        run::{CHUNK, drain, outcome},
    },
};

/// Where a run takes place.
pub(crate) struct Place<'a> {
    /// What its processes share.
    pub shared: &'a Shared,
    /// An empty directory that the run has no name for.
    pub programs: &'a Path,
}

/// Runs a process to its end, and everything that it started.
pub(crate) fn run(
    spec: &RunSpec,
    place: Place<'_>,
    cancel: &Cancel,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Outcome, Error> {
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    let setup = |source| Error::Setup {
        what: "run a process under supervision".to_owned(),
        source,
    };
    let (ended, report) = supervise(spec, place, cancel, output).map_err(setup)?;
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    match (report, ended) {
        (Report::Done, Some(ended)) => Ok(ended),
        (Report::Done, None) => Err(Error::WithIds("nobody knows how the process ended".to_owned())),
        (report, _) => outcome(spec, report),
    }
}

/// What a run needs from beginning to end.
struct Ends {
    go: PipeWriter,
    socket: UnixStream,
    output: [(Stream, Option<PipeReader>); 2],
}

fn supervise(
    spec: &RunSpec,
    place: Place<'_>,
    cancel: &Cancel,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> io::Result<(Option<Outcome>, Report)> {
    let handlers = Handlers::new();
    // The child has a copy of it, at the same address.
    let buffer = vec![0_u8; PLACE];
    let root = &place.shared.view.root().fd;
    let (mut task, mut ends) = fork(spec, &handlers, place.programs, root)?;
    let state = State {
        who: Arc::new(Who::new(0, 0, &[])),
        umask: 0o022,
        directory: Arc::clone(root),
        root: None,
        program: Arc::default(),
        loader: Arc::default(),
        place: buffer.as_ptr().addr() as u64,
    };
    let loader = Loader {
        shared: place.shared,
        copies: Copies::new(place.programs.to_owned(), real_path(root)?),
        emulators: Emulators::default(),
    };
    let (ended, end) = io::pipe()?;
    let first = task.child.pid();
    let listener = std::sync::OnceLock::new();
    let outcome = thread::scope(|scope| {
        let (listener, ended, handlers, go) = (&listener, &ended, &handlers, ends.go);
        let tracer = thread::Builder::new().spawn_scoped(scope, move || {
            // Closed when this thread ends, be it by a panic.
            let _end = end;
            trace(first, state, place.shared, &handlers.prompt(), loader, || {
                // If it does not read this, it is gone.
                let _ = (&go).write_all(b"!");
            })
        })?;
        let socket = ends.socket;
        thread::Builder::new().spawn_scoped(scope, move || {
            // Nothing comes if the child ends before; what fails then is told by the child.
            let Ok(descriptor) = receive_descriptor(&socket) else {
                return;
            };
            let listener: &Listener = listener.get_or_init(|| descriptor.into());
            let _ = serve(scope, listener, place.shared, handlers, ended.as_fd());
        })?;
        let followed = follow(&task.child, ended.as_fd(), &mut ends.output, cancel, output);
        if followed.is_err() {
            task.child.kill();
        }
        let outcome = tracer
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        followed.and(outcome)
    });
    drop(buffer);
    // Once it is the payload it reports nothing.
    let report = task.next_report()?.unwrap_or(Report::Done);
    Ok((outcome?, report))
}

/// Where a directory is on this machine.
fn real_path(directory: &OwnedFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

fn fork(spec: &RunSpec, handlers: &Handlers, programs: &Path, root: &OwnedFd) -> io::Result<(Task, Ends)> {
    let filter = filter(&handlers.numbers(), spec.network);
    let launching = rbuild_sys::launching();
    let (stdout, stdout_writer) = io::pipe()?;
    let (stderr, stderr_writer) = io::pipe()?;
    let (wait, go) = io::pipe()?;
    let (here, there) = UnixStream::pair()?;
    let directory = File::open(programs)?;
    let child = Child {
        spec,
        filter: &filter,
        output: [stdout_writer.as_fd(), stderr_writer.as_fd()],
        go: wait.as_fd(),
        socket: &there,
        directory: directory.as_fd(),
        root: root.as_fd(),
    };
    let task = Task::spawn(&launching, Keep::Only(&start::kept(&child)), |_| {
        child.become_payload().map(|never| match never {})
    })?;
    for pipe in [&stdout, &stderr] {
        rustix::io::ioctl_fionbio(pipe, true)?;
    }
    let output = [(Stream::Stdout, Some(stdout)), (Stream::Stderr, Some(stderr))];
    let ends = Ends {
        go,
        socket: here,
        output,
    };
    Ok((task, ends))
}

/// Hands output on until all processes have ended; ends the first one, once cancelled, and the tracer all others.
fn follow(
    first: &Forked,
    ended: BorrowedFd<'_>,
    pipes: &mut [(Stream, Option<PipeReader>); 2],
    cancel: &Cancel,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut cancelled = false;
    loop {
        let mut sources = vec![PollFd::from_borrowed_fd(ended, PollFlags::IN)];
        let pipes_left = pipes.iter().filter_map(|(_, pipe)| pipe.as_ref());
        sources.extend(pipes_left.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        if !cancelled {
            sources.push(PollFd::new(cancel, PollFlags::IN));
        }
        match poll(&mut sources, None) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let over = sources.first().is_some_and(|source| !source.revents().is_empty());
        drop(sources);
        if !cancelled && cancel.is_cancelled() {
            cancelled = true;
            first.kill();
        }
        for (stream, pipe) in pipes.iter_mut() {
            drain(*stream, pipe, over, &mut chunk, output)?;
        }
        if over {
            return Ok(());
        }
    }
}
