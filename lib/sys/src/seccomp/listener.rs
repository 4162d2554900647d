//! Answers to system calls on behalf of the processes that make them.

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use rustix::io::Errno;

use super::filter::{Filter, install};

/// Wakes the other side on the processor of the one that wakes: the two never run at the same time.
const SYNC_WAKE_UP: u64 = 1;

/// A system call that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Names it to the listener.
    pub id: u64,
    /// The thread that makes it. Once it is killed, the number may come to mean another: see [`Listener::is_waiting`].
    pub thread: i32,
    /// Which system call.
    pub number: u32,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// Where system calls that wait for an answer arrive.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Filter {
    /// Like [`install`](Self::install), and whoever holds the listener is asked about calls to [`Notify`].
    ///
    /// Where the kernel can (Linux 5.19), no signal that does not kill ends a call that was received: else it would be
    /// begun again, and what has been done for it would be done twice.
    ///
    /// [`Notify`]: super::Verdict::Notify
    ///
    /// # Errors
    /// As for [`install`](Self::install), and EBUSY if the thread is under a filter with a listener already.
    pub fn install_listening(&self) -> io::Result<Listener> {
        let patient = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        // Never freed: an allocator may open files to decide what to give back, and nobody answers calls yet.
        let program = self.program().leak();
        let fd = match install(program, patient) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                install(program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?
            }
            other => other?,
        };
        let fd = i32::try_from(fd).map_err(|_| io::Error::from(Errno::BADF))?;
        // SAFETY: with this flag the kernel returns a new descriptor, which nobody else knows.
        Ok(Listener(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

impl Listener {
    /// Makes waking up cheap where the one that asks and the one that answers take turns (Linux 6.6).
    pub fn wake_synchronously(&self) -> io::Result<()> {
        // SAFETY: this request takes a number instead of a pointer.
        let result = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
                SYNC_WAKE_UP,
            )
        };
        checked(result)
    }

    /// Waits for a call. `None` if there was one and its thread is gone already, or if a signal came.
    ///
    /// To be used when polling says that there is one, unless the kernel [tells](Self::tells_end) that all threads under
    /// the filter have ended: that is a `None`, too. Before Linux 6.11 polling tells it when they were waited for.
    pub fn receive(&self) -> io::Result<Option<Call>> {
        // SAFETY: all zero is a valid seccomp_notif, and the kernel asks for it.
        let mut call: libc::seccomp_notif = unsafe { mem::zeroed() };
        // SAFETY: the pointer is to the structure that this request writes.
        let result =
            unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call) };
        match checked(result) {
            Ok(()) => Ok(Some(Call {
                id: call.id,
                thread: call.pid.cast_signed(),
                number: call.data.nr.cast_unsigned(),
                arguments: call.data.args,
            })),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether [`receive`](Self::receive) does not wait for ever once all threads under the filter have ended (Linux 6.11).
    pub fn tells_end() -> bool {
        let system = rustix::system::uname();
        let release = system.release().to_str().unwrap_or_default();
        let mut numbers = release.split(|end: char| !end.is_ascii_digit());
        let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
        (next(), next()) >= (Some(6), Some(11))
    }

    /// Whether the call still waits. What was read of its thread before this says so is the thread's own.
    pub fn is_waiting(&self, call: &Call) -> bool {
        // SAFETY: the pointer is to the number that this request reads.
        let result = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ID_VALID,
                &raw const call.id,
            )
        };
        result == 0
    }

    /// The call returns this value.
    ///
    /// # Errors
    /// For all answers: ENOENT if the call does not wait any more, since its thread was killed or a signal came.
    pub fn answer(&self, call: &Call, value: i64) -> io::Result<()> {
        self.respond(call, value, 0, 0)
    }

    /// The call fails.
    pub fn fail(&self, call: &Call, errno: Errno) -> io::Result<()> {
        self.respond(call, 0, -errno.raw_os_error(), 0)
    }

    /// The kernel makes the call. What pointers among its arguments point to may have changed since it was looked at:
    /// nothing that must not happen can be prevented so.
    pub fn proceed(&self, call: &Call) -> io::Result<()> {
        self.respond(call, 0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32)
    }

    fn respond(&self, call: &Call, val: i64, error: i32, flags: u32) -> io::Result<()> {
        let mut response = libc::seccomp_notif_resp {
            id: call.id,
            val,
            error,
            flags,
        };
        // SAFETY: the pointer is to the structure that this request reads.
        let result = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SEND,
                &raw mut response,
            )
        };
        checked(result)
    }

    /// The call returns a copy of this descriptor, in one step (Linux 5.14).
    pub fn answer_with(
        &self,
        call: &Call,
        descriptor: BorrowedFd<'_>,
        close_on_exec: bool,
    ) -> io::Result<()> {
        self.add(call, descriptor, close_on_exec, libc::SECCOMP_ADDFD_FLAG_SEND)
            .map(drop)
    }

    /// Gives the calling process a copy of this descriptor, and says which number it got. The call still waits.
    pub fn give(&self, call: &Call, descriptor: BorrowedFd<'_>, close_on_exec: bool) -> io::Result<i32> {
        self.add(call, descriptor, close_on_exec, 0)
    }

    /// Puts a copy of this descriptor in place of one that the calling process has. The call still waits.
    pub fn replace(
        &self,
        call: &Call,
        place: i32,
        descriptor: BorrowedFd<'_>,
        close_on_exec: bool,
    ) -> io::Result<()> {
        let request = request(call, descriptor, close_on_exec);
        self.send(libc::seccomp_notif_addfd {
            flags: libc::SECCOMP_ADDFD_FLAG_SETFD as u32,
            newfd: place.cast_unsigned(),
            ..request
        })
        .map(drop)
    }

    fn add(
        &self,
        call: &Call,
        descriptor: BorrowedFd<'_>,
        close_on_exec: bool,
        flags: libc::c_ulong,
    ) -> io::Result<i32> {
        self.send(libc::seccomp_notif_addfd {
            flags: flags as u32,
            ..request(call, descriptor, close_on_exec)
        })
    }

    fn send(&self, request: libc::seccomp_notif_addfd) -> io::Result<i32> {
        // SAFETY: the pointer is to the structure that this request reads.
        let result = unsafe {
            libc::ioctl(
                self.0.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ADDFD,
                &raw const request,
            )
        };
        checked(result).map(|()| result)
    }
}

impl AsFd for Listener {
    /// Readable when a call waits; hung up when all threads under the filter have ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Listener {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

fn request(call: &Call, descriptor: BorrowedFd<'_>, close_on_exec: bool) -> libc::seccomp_notif_addfd {
    libc::seccomp_notif_addfd {
        id: call.id,
        flags: 0,
        srcfd: descriptor.as_raw_fd().cast_unsigned(),
        newfd: 0,
        newfd_flags: if close_on_exec {
            libc::O_CLOEXEC.cast_unsigned()
        } else {
            0
        },
    }
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
