//! The registers of a thread under ptrace, on x86-64 and on 64-bit ARM.

use std::{io, mem};

use crate::trace::checked;

/// The general registers (`linux/elf.h`).
const NT_PRSTATUS: usize = 1;

/// The number of the system call, which ARM keeps apart from the registers once the call has begun (`linux/elf.h`).
#[cfg(target_arch = "aarch64")]
const NT_ARM_SYSTEM_CALL: usize = 0x404;

/// The registers of a thread at a system call.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    general: libc::user_regs_struct,
    /// The number of the system call that it is to be instead.
    #[cfg(target_arch = "aarch64")]
    other_number: Option<i32>,
}

impl Registers {
    /// Those of a stopped tracee.
    pub(crate) fn of(thread: libc::pid_t) -> io::Result<Self> {
        let mut registers = Self {
            // SAFETY: all zero is a valid user_regs_struct.
            general: unsafe { mem::zeroed() },
            #[cfg(target_arch = "aarch64")]
            other_number: None,
        };
        let mut part = part(&mut registers.general);
        // SAFETY: the part names the structure that this request writes, and its size.
        let result = unsafe { libc::ptrace(libc::PTRACE_GETREGSET, thread, NT_PRSTATUS, &raw mut part) };
        checked(result).map(|()| registers)
    }

    /// Makes them those of a stopped tracee.
    pub(crate) fn give(mut self, thread: libc::pid_t) -> io::Result<()> {
        let mut all = part(&mut self.general);
        // SAFETY: the part names the structure that this request reads, and its size.
        checked(unsafe { libc::ptrace(libc::PTRACE_SETREGSET, thread, NT_PRSTATUS, &raw mut all) })?;
        #[cfg(target_arch = "aarch64")]
        if let Some(number) = &mut self.other_number {
            let mut number = part(number);
            // SAFETY: the part names the number that this request reads, and its size.
            checked(unsafe {
                libc::ptrace(
                    libc::PTRACE_SETREGSET,
                    thread,
                    NT_ARM_SYSTEM_CALL,
                    &raw mut number,
                )
            })?;
        }
        Ok(())
    }

    /// Where the stack ends that is in use.
    pub fn stack_pointer(&self) -> u64 {
        #[cfg(target_arch = "x86_64")]
        return self.general.rsp;
        #[cfg(target_arch = "aarch64")]
        self.general.sp
    }

    /// Moves the end of the stack.
    pub fn set_stack_pointer(&mut self, address: u64) {
        #[cfg(target_arch = "x86_64")]
        {
            self.general.rsp = address;
        }
        #[cfg(target_arch = "aarch64")]
        {
            self.general.sp = address;
        }
    }

    /// Makes it another system call, at [`Stop::Seccomp`](crate::Stop::Seccomp).
    pub fn set_number(&mut self, number: u32) {
        #[cfg(target_arch = "x86_64")]
        {
            self.general.orig_rax = number.into();
        }
        #[cfg(target_arch = "aarch64")]
        {
            self.general.regs[8] = number.into();
            self.other_number = Some(number.cast_signed());
        }
    }

    /// Has it make another system call next, in place of the one that a filter has trapped: at the
    /// [`Stop::Signal`](crate::Stop::Signal) that tells of that.
    pub fn make_instead(&mut self, number: u32) {
        #[cfg(target_arch = "x86_64")]
        {
            self.general.rax = number.into();
            // Two bytes are the instruction.
            self.general.rip = self.general.rip.wrapping_sub(2);
        }
        #[cfg(target_arch = "aarch64")]
        {
            self.general.regs[8] = number.into();
            self.general.pc = self.general.pc.wrapping_sub(4);
        }
    }

    /// Lets no system call be made, at [`Stop::Seccomp`](crate::Stop::Seccomp); this is what it returns then.
    pub fn skip(&mut self, result: i64) {
        #[cfg(target_arch = "x86_64")]
        {
            self.general.orig_rax = u64::MAX;
        }
        #[cfg(target_arch = "aarch64")]
        {
            self.other_number = Some(-1);
        }
        self.set_result(result);
    }

    /// What the system call returned.
    pub fn result(&self) -> i64 {
        #[cfg(target_arch = "x86_64")]
        return self.general.rax.cast_signed();
        #[cfg(target_arch = "aarch64")]
        self.general.regs[0].cast_signed()
    }

    /// Makes the system call return something else.
    pub fn set_result(&mut self, result: i64) {
        #[cfg(target_arch = "x86_64")]
        {
            self.general.rax = result.cast_unsigned();
        }
        #[cfg(target_arch = "aarch64")]
        {
            self.general.regs[0] = result.cast_unsigned();
        }
    }

    /// The number of the system call.
    pub fn number(&self) -> u64 {
        #[cfg(target_arch = "x86_64")]
        return self.general.orig_rax;
        #[cfg(target_arch = "aarch64")]
        self.general.regs[8]
    }

    /// An argument of the system call, counted from 0 to 5.
    pub fn argument(&mut self, index: usize) -> Option<&mut u64> {
        let general = &mut self.general;
        #[cfg(target_arch = "x86_64")]
        let arguments = [
            &mut general.rdi,
            &mut general.rsi,
            &mut general.rdx,
            &mut general.r10,
            &mut general.r8,
            &mut general.r9,
        ];
        #[cfg(target_arch = "aarch64")]
        let arguments = general.regs.iter_mut().take(6);
        arguments.into_iter().nth(index)
    }
}

/// What `PTRACE_GETREGSET` and `PTRACE_SETREGSET` take: where something is, and how large.
fn part<T>(whole: &mut T) -> libc::iovec {
    libc::iovec {
        iov_base: (&raw mut *whole).cast(),
        iov_len: size_of::<T>(),
    }
}
