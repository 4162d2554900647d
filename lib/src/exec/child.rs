//! Forked children that do a piece of work and report how it went.

use std::{
    any::Any,
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::fd::{AsFd, BorrowedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::MutexGuard,
};

use rbuild_sys::{Child, Ended, Keep};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{Pid, Signal},
};

use super::Error;

/// Texts are cut there, so that a report always fits into a pipe at once.
const TEXT_LIMIT: usize = 3000;

/// What a child has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The work is done.
    Done,
    /// The payload exited with this code.
    Exited(i32),
    /// The payload was ended by this signal.
    Signaled(i32),
    /// The kernel refused something.
    Setup { what: String, errno: i32 },
    /// The payload's program could not be started.
    Start { code: i32, reason: String },
    /// The work failed, and said this.
    Failed(String),
    /// The payload was about to make a device node.
    Device,
    /// The payload was about to use an id that there is not.
    Id,
    /// The payload's program is for another machine.
    Foreign { machine: String },
}

impl Report {
    /// A report of failure as the error that this room gives.
    pub fn into_error(self) -> Error {
        match self {
            Self::Setup { what, errno } => Error::Setup {
                what,
                source: io::Error::from_raw_os_error(errno),
            },
            Self::Failed(message) => Error::WithIds(message),
            other => Error::WithIds(format!("a child process said what it should not: {other:?}")),
        }
    }
}

/// Adds to an error of the kernel what was tried.
pub(super) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Report>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Report> {
        self.map_err(|error| {
            let error = error.into();
            match error.raw_os_error() {
                Some(errno) => Report::Setup { what: what(), errno },
                None => Report::Failed(format!("cannot {}: {error}", what())),
            }
        })
    }
}

/// The end of a pipe that reports are written to.
pub(super) struct Reporter(PipeWriter);

impl Reporter {
    /// Sends a report in one write; if nobody listens any more, there is nobody to tell that either.
    pub fn send(&self, report: &Report) {
        let (tag, number, text) = match report {
            Report::Done => (0, 0, ""),
            Report::Exited(code) => (1, *code, ""),
            Report::Signaled(signal) => (2, *signal, ""),
            Report::Setup { what, errno } => (3, *errno, what.as_str()),
            Report::Start { code, reason } => (4, *code, reason.as_str()),
            Report::Failed(message) => (5, 0, message.as_str()),
            Report::Device => (6, 0, ""),
            Report::Id => (8, 0, ""),
            Report::Foreign { machine } => (7, 0, machine.as_str()),
        };
        let text = &text.as_bytes()[..text.floor_char_boundary(TEXT_LIMIT)];
        let mut bytes = vec![tag];
        bytes.extend(number.to_le_bytes());
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text);
        let _ = (&self.0).write_all(&bytes);
    }

    /// Does some work and reports its failure, be it an error or a panic. Gives the work's result if there is one.
    pub fn watch<T>(&self, work: impl FnOnce() -> Result<T, Report>) -> Option<T> {
        let failure = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(report)) => report,
            Err(panic) => Report::Failed(format!("panicked: {}", panic_message(&*panic))),
        };
        self.send(&failure);
        None
    }
}

impl AsFd for Reporter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Takes the first report out of what came through a pipe, and says how long it was.
fn parse(bytes: &[u8]) -> Option<(Report, usize)> {
    let (tag, rest) = bytes.split_first()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let number = i32::from_le_bytes(*number);
    let text = rest.get(..u16::from_le_bytes(*length).into())?;
    let length = bytes.len() - rest.len() + text.len();
    let text = || String::from_utf8_lossy(text).into_owned();
    let report = match tag {
        0 => Report::Done,
        1 => Report::Exited(number),
        2 => Report::Signaled(number),
        3 => Report::Setup {
            what: text(),
            errno: number,
        },
        4 => Report::Start {
            code: number,
            reason: text(),
        },
        6 => Report::Device,
        8 => Report::Id,
        7 => Report::Foreign { machine: text() },
        _ => Report::Failed(text()),
    };
    Some((report, length))
}

/// A child at work.
pub(super) struct Task {
    pub child: Child,
    reports: PipeReader,
    unread: Vec<u8>,
}

impl Task {
    /// Forks a child; what it may do is told at [`rbuild_sys::fork`]. The guard is that of [`rbuild_sys::launching`].
    pub fn spawn(
        _launching: &MutexGuard<'_, ()>,
        keep: Keep<'_>,
        work: impl FnOnce(&Reporter) -> Result<Report, Report>,
    ) -> io::Result<Self> {
        Self::spawn_within(keep, work)
    }

    /// Like [`spawn`](Self::spawn), in a child: it has no threads to guard against, and no locks that can be waited for.
    pub fn spawn_within(
        keep: Keep<'_>,
        work: impl FnOnce(&Reporter) -> Result<Report, Report>,
    ) -> io::Result<Self> {
        let (reports, writer) = io::pipe()?;
        let reporter = Reporter(writer);
        let all;
        let keep = match keep {
            Keep::All => Keep::All,
            Keep::Only(some) => {
                all = [some, &[reporter.as_fd()]].concat();
                Keep::Only(&all)
            }
        };
        let child = rbuild_sys::fork(keep, || match reporter.watch(|| work(&reporter)) {
            Some(report) => {
                reporter.send(&report);
                0
            }
            None => 1,
        })?;
        Ok(Self {
            child,
            reports,
            unread: Vec::new(),
        })
    }

    /// Waits for the next report, or for the end of the child without one.
    pub fn next_report(&mut self) -> io::Result<Option<Report>> {
        let mut sources = [
            PollFd::new(&self.reports, PollFlags::IN),
            PollFd::new(&self.child, PollFlags::IN),
        ];
        while let Err(error) = poll(&mut sources, None) {
            if error != Errno::INTR {
                return Err(error.into());
            }
        }
        self.received()
    }

    /// Waits for the child's end, and gives its next report: the cause, if there are several.
    pub fn join(mut self) -> io::Result<Report> {
        let ended = self.child.wait()?;
        Ok(self.received()?.unwrap_or_else(|| {
            Report::Failed(match ended {
                Ended::Signaled(signal) => format!("a child process was ended by signal {signal}"),
                _ => "a child process ended without a report".to_owned(),
            })
        }))
    }

    /// The next report of those that have come. Does not wait for the end of the pipe, which other children may hold
    /// open.
    fn received(&mut self) -> io::Result<Option<Report>> {
        rustix::io::ioctl_fionbio(&self.reports, true)?;
        match self.reports.read_to_end(&mut self.unread) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        let Some((report, length)) = parse(&self.unread) else {
            return Ok(None);
        };
        self.unread.drain(..length);
        Ok(Some(report))
    }
}

/// Makes this child die with the thread that forked it, whose process is `parent`.
pub(super) fn die_with(parent: Pid) -> Result<(), Report> {
    let asked = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    asked.doing(|| "ask to end with the parent process".to_owned())?;
    match rustix::process::getppid() {
        Some(now) if now == parent => Ok(()),
        _ => Err(Report::Failed("the parent process is gone".to_owned())),
    }
}
