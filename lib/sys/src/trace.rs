//! Other processes under ptrace: where they stop, and the registers that they have there.

use std::{io, marker::PhantomData, mem, ptr};

/// The general registers, for `PTRACE_GETREGSET`.
const NT_PRSTATUS: usize = 1;

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
    /// It runs another program now.
    Exec,
    /// It has a child or a thread of this number, which is traced as well.
    Fork(i32),
    /// A signal came, to be passed on by [`Tracee::resume`] or not.
    Signal(i32),
    /// A signal stopped it, or that was noticed by the tracer.
    Group,
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
        let mut status = 0;
        // SAFETY: the pointer is to a number that the call writes.
        while unsafe { libc::waitpid(self.thread, &raw mut status, libc::__WALL) } < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        if libc::WIFEXITED(status) {
            return Ok(Stop::Exited(libc::WEXITSTATUS(status)));
        }
        if libc::WIFSIGNALED(status) {
            return Ok(Stop::Killed(libc::WTERMSIG(status)));
        }
        let event = status >> 16;
        Ok(match event {
            0 => Stop::Signal(libc::WSTOPSIG(status)),
            libc::PTRACE_EVENT_SECCOMP => Stop::Seccomp(self.message()? as u16),
            libc::PTRACE_EVENT_EXEC => Stop::Exec,
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                Stop::Fork(self.message()? as i32)
            }
            libc::PTRACE_EVENT_STOP => Stop::Group,
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
        let none: *mut libc::c_void = ptr::null_mut();
        let signal = libc::c_long::from(signal.unwrap_or(0));
        // SAFETY: neither argument is used as a pointer.
        checked(unsafe { libc::ptrace(libc::PTRACE_CONT, self.thread, none, signal) })
    }

    /// Does not trace it any more; it goes on.
    pub fn detach(self) -> io::Result<()> {
        let none: *mut libc::c_void = ptr::null_mut();
        // SAFETY: neither argument is used as a pointer.
        checked(unsafe { libc::ptrace(libc::PTRACE_DETACH, self.thread, none, none) })
    }

    /// The registers of a stopped tracee.
    pub fn registers(&self) -> io::Result<Registers> {
        // SAFETY: all zero is a valid user_regs_struct.
        let mut registers = Registers(unsafe { mem::zeroed() });
        let mut part = registers.part();
        // SAFETY: the part names the structure that this request writes, and its size.
        let result = unsafe { libc::ptrace(libc::PTRACE_GETREGSET, self.thread, NT_PRSTATUS, &raw mut part) };
        checked(result).map(|()| registers)
    }

    /// Gives a stopped tracee other registers.
    pub fn set_registers(&self, mut registers: Registers) -> io::Result<()> {
        let mut part = registers.part();
        // SAFETY: the part names the structure that this request reads, and its size.
        let result = unsafe { libc::ptrace(libc::PTRACE_SETREGSET, self.thread, NT_PRSTATUS, &raw mut part) };
        checked(result)
    }
}

/// The registers of a thread at a system call.
#[derive(Clone, Copy, Debug)]
pub struct Registers(libc::user_regs_struct);

impl Registers {
    fn part(&mut self) -> libc::iovec {
        libc::iovec {
            iov_base: (&raw mut self.0).cast(),
            iov_len: size_of::<libc::user_regs_struct>(),
        }
    }

    /// Where the stack ends that is in use.
    pub fn stack_pointer(&self) -> u64 {
        #[cfg(target_arch = "x86_64")]
        return self.0.rsp;
        #[cfg(not(target_arch = "x86_64"))]
        self.0.sp
    }

    /// The number of the system call.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub fn number(&self) -> u64 {
        #[cfg(target_arch = "x86_64")]
        return self.0.orig_rax;
        #[cfg(target_arch = "aarch64")]
        self.0.regs[8]
    }

    /// An argument of the system call, counted from 0 to 5.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub fn argument(&mut self, index: usize) -> Option<&mut u64> {
        #[cfg(target_arch = "x86_64")]
        let arguments = [
            &mut self.0.rdi,
            &mut self.0.rsi,
            &mut self.0.rdx,
            &mut self.0.r10,
            &mut self.0.r8,
            &mut self.0.r9,
        ];
        #[cfg(target_arch = "aarch64")]
        let arguments = self.0.regs.iter_mut().take(6);
        arguments.into_iter().nth(index)
    }
}

fn checked(result: libc::c_long) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
