//! Other processes under ptrace: where they stop.

use std::{io, marker::PhantomData, ptr};

use crate::registers::Registers;

/// What a stop at a system call says in place of a signal, with `PTRACE_O_TRACESYSGOOD`.
const SYSTEM_CALL: i32 = libc::SIGTRAP | 0x80;

/// `linux/ptrace.h`; libc has it for some targets only.
const PTRACE_LISTEN: Request = 0x4208;

/// The number of a request: the C libraries differ in its sign.
#[cfg(target_env = "musl")]
type Request = libc::c_int;
#[cfg(not(target_env = "musl"))]
type Request = libc::c_uint;

/// A thread that this thread traces; no other thread of this process can.
#[derive(Debug)]
pub struct Tracee {
    thread: libc::pid_t,
    only_here: PhantomData<*const ()>,
}

/// What a tracee stopped for, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A filter's verdict was `Trace`, with this number; the call has not been made.
    Seccomp(u16),
    /// The system call has been made that it was resumed into with [`Tracee::resume_to_return`].
    Returned,
    /// It runs another program now, and is its process's only thread; this was its number before.
    Exec(i32),
    /// It has a child or a thread of this number, which is traced as well.
    Fork(i32),
    /// A signal came, to be passed on by [`Tracee::resume`] or not.
    Signal(i32),
    /// A signal stopped its process, until another one lets it go on: to be left so by [`Tracee::leave_stopped`].
    Group(i32),
    /// It is new, or was let go on by a signal after it had been stopped by one.
    Started,
    /// Something else that it stops for.
    Other(i32),
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Killed(i32),
}

impl Tracee {
    /// Traces a thread from now on. It does not stop, and dies with this process.
    ///
    /// # Errors
    /// EPERM if it may not be traced (it is another user's, traced already, or Yama forbids it).
    pub fn seize(thread: i32) -> io::Result<Self> {
        let options = libc::PTRACE_O_EXITKILL
            | libc::PTRACE_O_TRACESYSGOOD
            | libc::PTRACE_O_TRACESECCOMP
            | libc::PTRACE_O_TRACEEXEC
            | libc::PTRACE_O_TRACEFORK
            | libc::PTRACE_O_TRACEVFORK
            | libc::PTRACE_O_TRACECLONE;
        let none: *mut libc::c_void = ptr::null_mut();
        // SAFETY: neither argument is used as a pointer.
        let result = unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, none, options as libc::c_long) };
        checked(result)?;
        Ok(Self::of(thread))
    }

    /// A thread that [`Stop::Fork`] told of.
    pub fn of(thread: i32) -> Self {
        Self {
            thread,
            only_here: PhantomData,
        }
    }

    /// Waits until it stops or ends.
    pub fn wait(&self) -> io::Result<Stop> {
        wait_for(self.thread).and_then(|(_, status)| self.meaning(status))
    }

    /// Waits until any tracee or child of the calling thread stops or ends. ECHILD if there is none left.
    ///
    /// What is told of one that was killed meanwhile is [`Stop::Other`]; its end is told next.
    pub fn wait_any() -> io::Result<(Self, Stop)> {
        let (thread, status) = wait_for(-1)?;
        let tracee = Self::of(thread);
        let stop = match tracee.meaning(status) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Stop::Other(0),
            other => other?,
        };
        Ok((tracee, stop))
    }

    /// Its number.
    pub fn thread(&self) -> i32 {
        self.thread
    }

    fn meaning(&self, status: i32) -> io::Result<Stop> {
        if libc::WIFEXITED(status) {
            return Ok(Stop::Exited(libc::WEXITSTATUS(status)));
        }
        if libc::WIFSIGNALED(status) {
            return Ok(Stop::Killed(libc::WTERMSIG(status)));
        }
        let (event, signal) = (status >> 16, libc::WSTOPSIG(status));
        Ok(match event {
            0 if signal == SYSTEM_CALL => Stop::Returned,
            0 => Stop::Signal(signal),
            libc::PTRACE_EVENT_SECCOMP => Stop::Seccomp(self.message()? as u16),
            libc::PTRACE_EVENT_EXEC => Stop::Exec(self.message()? as i32),
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                Stop::Fork(self.message()? as i32)
            }
            libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => Stop::Started,
            libc::PTRACE_EVENT_STOP => Stop::Group(signal),
            other => Stop::Other(other),
        })
    }

    fn message(&self) -> io::Result<libc::c_ulong> {
        let mut message: libc::c_ulong = 0;
        let none: *mut libc::c_void = ptr::null_mut();
        // SAFETY: the pointer is to a number of the size that this request writes.
        let result = unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, self.thread, none, &raw mut message) };
        checked(result).map(|()| message)
    }

    /// Lets it go on, after it has got this signal if there is one.
    pub fn resume(&self, signal: Option<i32>) -> io::Result<()> {
        self.go_on(libc::PTRACE_CONT, signal.unwrap_or(0))
    }

    /// Lets it go on at [`Stop::Seccomp`], and stops it again when the call returns.
    pub fn resume_to_return(&self) -> io::Result<()> {
        self.go_on(libc::PTRACE_SYSCALL, 0)
    }

    /// Leaves it stopped at [`Stop::Group`], until a signal lets it go on.
    pub fn leave_stopped(&self) -> io::Result<()> {
        self.go_on(PTRACE_LISTEN, 0)
    }

    fn go_on(&self, how: Request, signal: i32) -> io::Result<()> {
        let none: *mut libc::c_void = ptr::null_mut();
        // SAFETY: neither argument is used as a pointer.
        checked(unsafe { libc::ptrace(how, self.thread, none, libc::c_long::from(signal)) })
    }

    /// Does not trace it any more; it goes on.
    pub fn detach(self) -> io::Result<()> {
        let none: *mut libc::c_void = ptr::null_mut();
        // SAFETY: neither argument is used as a pointer.
        checked(unsafe { libc::ptrace(libc::PTRACE_DETACH, self.thread, none, none) })
    }

    /// The registers of a stopped tracee.
    pub fn registers(&self) -> io::Result<Registers> {
        Registers::of(self.thread)
    }

    /// Gives a stopped tracee other registers.
    pub fn set_registers(&self, registers: Registers) -> io::Result<()> {
        registers.give(self.thread)
    }
}

/// Waits for a stop or the end of one of this thread's own, or of any with -1. Gives its number and what `waitpid` says.
fn wait_for(thread: libc::pid_t) -> io::Result<(libc::pid_t, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: the pointer is to a number that the call writes.
        let waited = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if waited >= 0 {
            return Ok((waited, status));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

pub(crate) fn checked(result: libc::c_long) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
