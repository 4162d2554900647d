//! Children of a process with threads, without `exec`.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

/// What a child says of itself when its work panicked.
const PANICKED: i32 = 101;

/// The descriptors that a child keeps.
#[derive(Clone, Copy, Debug)]
pub enum Keep<'a> {
    /// All of them.
    All,
    /// These; and standard input, output and error become `/dev/null`.
    Only(&'a [BorrowedFd<'a>]),
}

/// A forked child. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    /// Readable once it has ended.
    handle: OwnedFd,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Somebody should wait for it.
    Started,
    /// That was done.
    Waited,
    /// It had ended, and nobody waits for it, before there was a process handle.
    Lost,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// Nobody knows: this process ignores SIGCHLD, or another part of it waited for the child.
    Unknown,
}

/// Forks a child that does some work, and exits with the code that the work returns.
///
/// The child is a copy of this process with the calling thread alone: what is locked by another thread at this moment
/// stays locked there for ever. Memory can be allocated, since libc sees to its own locks; files, pipes and system
/// calls are fine. The work must not wait for locks or threads of this process, nor use standard output, the
/// environment, or anything else that is global. It never returns into the caller's copy: neither its panic nor its
/// end unwinds the stack below.
///
/// All signals have their default meaning in the child, but SIGPIPE, which is ignored as in every Rust program. The
/// child has its own session, so what is typed at the terminal does not reach it.
pub fn fork(keep: Keep<'_>, work: impl FnOnce() -> i32) -> io::Result<Child> {
    let blocked = BlockedSignals::new()?;
    // SAFETY: the child runs only what the documentation above allows, and ends in `_exit`.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => be_child(keep, work),
        pid => {
            drop(blocked);
            Child::of(pid)
        }
    }
}

/// Held while descriptors for a child are made, until the child is forked and this process has closed its copies of
/// them; so no other child of this library inherits them meanwhile, and keeps a pipe open that should be at its end.
pub fn launching() -> MutexGuard<'static, ()> {
    static LAUNCHING: Mutex<()> = Mutex::new(());
    LAUNCHING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn be_child(keep: Keep<'_>, work: impl FnOnce() -> i32) -> ! {
    // The closure must not be dropped by an unwinding stack here: `_exit` below is the only way out.
    let code = catch_unwind(AssertUnwindSafe(|| {
        default_signals(&[libc::SIGPIPE]);
        let _ = rustix::process::setsid();
        if let Keep::Only(keep) = keep
            && close_others(keep).is_err()
        {
            return PANICKED;
        }
        work()
    }));
    // SAFETY: ends the process without running what others registered with `atexit`.
    unsafe { libc::_exit(code.unwrap_or(PANICKED)) }
}

/// Gives every signal its default meaning and unblocks all; those in `ignored` are ignored.
pub fn default_signals(ignored: &[i32]) {
    for signal in 1..=libc::SIGRTMAX() {
        let action = if ignored.contains(&signal) {
            libc::SIG_IGN
        } else {
            libc::SIG_DFL
        };
        // SAFETY: neither action is a function; signals that cannot be set are refused and stay as they are.
        unsafe { libc::signal(signal, action) };
    }
    let mut none = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before it is read; the old mask is not asked for.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}

/// Closes all descriptors but these, and makes standard input, output and error `/dev/null`.
fn close_others(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let null = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    drop(null);
    let mut kept: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).filter(|fd| *fd > 2).collect();
    kept.sort_unstable();
    let mut next = 3;
    for fd in kept {
        close_range(next, fd - 1)?;
        next = fd + 1;
    }
    close_range(next, RawFd::MAX)
}

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: only a new child calls this; its work has been told which descriptors it may use, and it never returns
    // to owners of the others.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

impl Child {
    fn of(pid: libc::pid_t) -> io::Result<Self> {
        let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork gave no process id"))?;
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => Ok(Self {
                pid,
                handle,
                state: State::Started,
            }),
            // A process that ignores SIGCHLD has no children that have ended.
            Err(rustix::io::Errno::SRCH) => {
                let handle = rustix::event::eventfd(1, rustix::event::EventfdFlags::CLOEXEC)?;
                Ok(Self {
                    pid,
                    handle,
                    state: State::Lost,
                })
            }
            Err(error) => {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
                Err(error.into())
            }
        }
    }

    /// Its number in the process id namespace of this process.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Kills it. Fine if it has ended.
    pub fn kill(&self) {
        if self.state != State::Lost {
            let _ = rustix::process::pidfd_send_signal(&self.handle, Signal::KILL);
        }
    }

    /// Waits for its end. To be called once: afterwards nobody knows how it ended.
    pub fn wait(&mut self) -> io::Result<Ended> {
        if self.state == State::Lost {
            return Ok(Ended::Unknown);
        }
        self.state = State::Waited;
        loop {
            match rustix::process::waitid(WaitId::PidFd(self.handle.as_fd()), WaitIdOptions::EXITED) {
                Ok(Some(status)) => {
                    return Ok(match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => Ended::Exited(code),
                        (_, Some(signal)) => Ended::Signaled(signal),
                        _ => Ended::Unknown,
                    });
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CHILD) => return Ok(Ended::Unknown),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Child {
    /// Readable once the child has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.state == State::Started {
            self.kill();
            let _ = self.wait();
        }
    }
}

/// No signal handler of this process may run in a child before the child has reset them.
struct BlockedSignals(libc::sigset_t);

impl BlockedSignals {
    fn new() -> io::Result<Self> {
        let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: sigfillset initialises the set before it is read.
        let result = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr())
        };
        if result != 0 {
            return Err(io::Error::from_raw_os_error(result));
        }
        // SAFETY: pthread_sigmask succeeded, so it has written the old mask.
        Ok(Self(unsafe { before.assume_init() }))
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: the set is the mask that this thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn tells_how_a_child_ended() {
        let code = fork(Keep::All, || 7).unwrap().wait().unwrap();
        assert_eq!(code, Ended::Exited(7));
        let mut killed = fork(Keep::All, || {
            loop {
                std::thread::yield_now()
            }
        })
        .unwrap();
        killed.kill();
        assert_eq!(killed.wait().unwrap(), Ended::Signaled(libc::SIGKILL));
    }

    #[test]
    fn a_panic_stays_in_the_child() {
        let here = std::process::id();
        let child = fork(Keep::Only(&[]), || std::panic::resume_unwind(Box::new("no")));
        assert_eq!(child.unwrap().wait().unwrap(), Ended::Exited(PANICKED));
        assert_eq!(here, std::process::id());
    }

    #[test]
    fn keeps_only_what_it_was_told_to() {
        let (_reader, other) = io::pipe().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let mut child = fork(Keep::Only(&[writer.as_fd()]), || {
            let open = |fd: BorrowedFd<'_>| rustix::io::fcntl_getfd(fd).is_ok();
            let answer = [open(writer.as_fd()), open(other.as_fd())].map(u8::from);
            (&writer).write_all(&answer).map_or(1, |()| 0)
        })
        .unwrap();
        drop(writer);
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, [1, 0]);
        assert_eq!(child.wait().unwrap(), Ended::Exited(0));
    }

    #[test]
    fn children_that_nobody_waits_for_are_no_error() {
        let mut parent = fork(Keep::All, || {
            // SAFETY: the action is not a function.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
            let forked = (0..100).map(|_| fork(Keep::All, || 7));
            let ended = forked.map(|child| child.and_then(|mut child| child.wait()));
            i32::from(
                !ended
                    .into_iter()
                    .all(|ended| ended.is_ok_and(|ended| ended == Ended::Unknown)),
            )
        })
        .unwrap();
        assert_eq!(parent.wait().unwrap(), Ended::Exited(0));
    }

    #[test]
    fn signals_are_as_new() {
        let mask = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
            let of = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name))?;
                // The real-time signals belong to libc: it lets nobody set its own.
                u64::from_str_radix(line.trim(), 16)
                    .ok()
                    .map(|signals| signals & 0x7fff_ffff)
            };
            [of("SigBlk:"), of("SigIgn:"), of("SigCgt:")]
        };
        let before = mask();
        let pipe_only = 1 << (libc::SIGPIPE - 1);
        let mut child = fork(Keep::All, || {
            i32::from(mask() != [Some(0), Some(pipe_only), Some(0)])
        })
        .unwrap();
        assert_eq!(child.wait().unwrap(), Ended::Exited(0));
        assert_eq!(mask(), before);
    }
}
