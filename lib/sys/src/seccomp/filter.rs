//! Rules about system calls, as a program that the kernel runs before each of them.

use std::{io, ops::RangeInclusive};

use libc::sock_filter;

/// `AUDIT_ARCH_*` of the system calls that filters know.
const ARCHITECTURE: u32 = if cfg!(target_arch = "x86_64") {
    0xc000_003e
} else if cfg!(target_arch = "aarch64") {
    0xc000_00b7
} else if cfg!(target_arch = "riscv64") {
    0xc000_00f3
} else {
    panic!("filters of system calls are not known for this architecture")
};

/// x86-64 numbers with this bit are those of its 32-bit pointers variant, x32.
#[cfg(target_arch = "x86_64")]
const FIRST_FOREIGN: u32 = 0x4000_0000;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// A jump to the next rule, until its distance is known.
const NEXT_RULE: u8 = u8::MAX;

/// What happens to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Allow,
    /// It fails with this error number (at most 4095).
    Fail(u16),
    /// Whoever holds the listener answers; without one it fails with ENOSYS.
    Notify,
    /// The tracer sees it, with this number; without one it fails with ENOSYS.
    Trace(u16),
    /// It is not made, and the thread gets SIGSYS. Of several filters' verdicts this one counts rather than a failure.
    Trap,
    /// It ends the process.
    Kill,
}

impl Verdict {
    fn value(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Fail(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno.min(4095)),
            Self::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Self::Trace(number) => libc::SECCOMP_RET_TRACE | u32::from(number),
            Self::Trap => libc::SECCOMP_RET_TRAP,
            Self::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
}

/// How an argument must be, as an unsigned number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// This.
    Equal(u64),
    /// Less than this.
    Less(u64),
    /// More than this.
    Greater(u64),
    /// The bits of `mask` are as in `value`.
    Masked {
        /// Which bits count.
        mask: u64,
        /// What they must be.
        value: u64,
    },
}

/// A test of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// From 0 to 5.
    pub argument: u8,
    /// How it must be.
    pub test: Test,
}

/// What happens to some system calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Their numbers.
    pub calls: RangeInclusive<u32>,
    /// All of these must hold, else the rules that follow are asked.
    pub when: Vec<Condition>,
    /// What happens.
    pub verdict: Verdict,
}

/// Rules in order: the first that fits decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The rules.
    pub rules: Vec<Rule>,
    /// What happens to all other system calls.
    pub otherwise: Verdict,
    /// What happens to system calls of another architecture that the kernel also runs: 32-bit programs, x32.
    pub foreign: Verdict,
}

impl Verdict {
    /// It fails as if there were no such call.
    pub const UNKNOWN: Self = Self::Fail(libc::ENOSYS as u16);
}

impl Filter {
    /// Puts the calling thread, and all that it starts from now on, under this filter for good.
    ///
    /// # Errors
    /// EACCES if the thread has neither CAP_SYS_ADMIN nor no_new_privs; EINVAL if there are more than some 1300 rules.
    pub fn install(&self) -> io::Result<()> {
        install(&mut self.program(), 0).map(drop)
    }

    pub(super) fn program(&self) -> Vec<sock_filter> {
        let mut program = vec![load(ARCH), jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0)];
        let foreign = ret(self.foreign);
        program.push(foreign);
        program.push(load(NUMBER));
        #[cfg(target_arch = "x86_64")]
        program.extend([jump(libc::BPF_JGE, FIRST_FOREIGN, 0, 1), foreign]);
        for rule in &self.rules {
            program.extend(rule.program());
        }
        program.push(ret(self.otherwise));
        program
    }
}

impl Rule {
    /// Begins and ends with the number of the call loaded.
    fn program(&self) -> Vec<sock_filter> {
        let mut program = vec![
            jump(libc::BPF_JGE, *self.calls.start(), 0, NEXT_RULE),
            jump(libc::BPF_JGT, *self.calls.end(), NEXT_RULE, 0),
        ];
        program.extend(self.when.iter().flat_map(|condition| condition.program()));
        program.push(ret(self.verdict));
        let end = program.len();
        for (at, instruction) in program.iter_mut().enumerate() {
            // Six conditions of five instructions, and three more: far from the limit of a jump.
            let distance = u8::try_from(end - at - 1).unwrap_or(NEXT_RULE);
            for target in [&mut instruction.jt, &mut instruction.jf] {
                if *target == NEXT_RULE {
                    *target = distance;
                }
            }
        }
        if !self.when.is_empty() {
            program.push(load(NUMBER));
        }
        program
    }
}

impl Condition {
    /// Goes on if it holds; both halves of the argument are compared, the high one first.
    fn program(self) -> Vec<sock_filter> {
        let place = ARGUMENTS + 8 * u32::from(self.argument.min(5));
        let (low, high) = if cfg!(target_endian = "little") {
            (place, place + 4)
        } else {
            (place + 4, place)
        };
        let halves = |value: u64| ((value & u64::from(u32::MAX)) as u32, (value >> 32) as u32);
        match self.test {
            Test::Equal(value) => {
                let (low_value, high_value) = halves(value);
                vec![
                    load(high),
                    jump(libc::BPF_JEQ, high_value, 0, NEXT_RULE),
                    load(low),
                    jump(libc::BPF_JEQ, low_value, 0, NEXT_RULE),
                ]
            }
            Test::Less(value) => {
                let (low_value, high_value) = halves(value);
                vec![
                    load(high),
                    jump(libc::BPF_JGE, high_value, 0, 3),
                    jump(libc::BPF_JEQ, high_value, 0, NEXT_RULE),
                    load(low),
                    jump(libc::BPF_JGE, low_value, NEXT_RULE, 0),
                ]
            }
            Test::Greater(value) => {
                let (low_value, high_value) = halves(value);
                vec![
                    load(high),
                    jump(libc::BPF_JGT, high_value, 3, 0),
                    jump(libc::BPF_JEQ, high_value, 0, NEXT_RULE),
                    load(low),
                    jump(libc::BPF_JGT, low_value, 0, NEXT_RULE),
                ]
            }
            Test::Masked { mask, value } => {
                let ((low_mask, high_mask), (low_value, high_value)) = (halves(mask), halves(value));
                let and = |mask| instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask, 0, 0);
                vec![
                    load(high),
                    and(high_mask),
                    jump(libc::BPF_JEQ, high_value, 0, NEXT_RULE),
                    load(low),
                    and(low_mask),
                    jump(libc::BPF_JEQ, low_value, 0, NEXT_RULE),
                ]
            }
        }
    }
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    // Codes of this language have 16 bits.
    let code = (code & 0xffff) as u16;
    sock_filter { code, jt, jf, k }
}

fn load(offset: u32) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0)
}

fn jump(comparison: u32, value: u32, jt: u8, jf: u8) -> sock_filter {
    instruction(libc::BPF_JMP | comparison | libc::BPF_K, value, jt, jf)
}

fn ret(verdict: Verdict) -> sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, verdict.value(), 0, 0)
}

/// The result is a descriptor if the flags ask for a listener.
pub(super) fn install(program: &mut [sock_filter], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let too_long = |_| io::Error::from_raw_os_error(libc::EINVAL);
    let description = libc::sock_fprog {
        len: program.len().try_into().map_err(too_long)?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the description and the program that it names outlive the call. What a filter does to the thread that
    // asks for it is like what any other sandbox would: calls fail.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const description,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;
    use crate::{Ended, Keep, fork};

    /// What getpid says when it is given an argument, in a child under a filter: the error number, or nothing.
    fn errno_of(filter: &Filter, call: libc::c_long, argument: u64) -> i32 {
        let mut child = fork(Keep::All, || {
            if rustix::thread::set_no_new_privs(true).is_err() || filter.install().is_err() {
                return 255;
            }
            // SAFETY: neither getpid nor getppid looks at arguments.
            let result = unsafe { libc::syscall(call, argument) };
            if result >= 0 {
                return 0;
            }
            Errno::from_io_error(&io::Error::last_os_error()).map_or(254, Errno::raw_os_error)
        })
        .unwrap();
        match child.wait().unwrap() {
            Ended::Exited(code) => code,
            other => panic!("{other:?}"),
        }
    }

    fn getpid_fails_when(when: Vec<Condition>) -> Filter {
        let number = libc::SYS_getpid as u32;
        Filter {
            rules: vec![Rule {
                calls: number..=number,
                when,
                verdict: Verdict::Fail(77),
            }],
            otherwise: Verdict::Allow,
            foreign: Verdict::UNKNOWN,
        }
    }

    #[test]
    fn arguments_are_compared_with_all_their_bits() {
        const HIGH: u64 = 1 << 32;
        let values = [0, 1, 5, 6, 7, HIGH, HIGH + 5, HIGH + 6, 2 * HIGH + 6, u64::MAX];
        let masked = |mask, value| Test::Masked { mask, value };
        type Holds = fn(u64) -> bool;
        let tests: [(Test, Holds); 7] = [
            (Test::Equal(6), |v| v == 6),
            (Test::Equal(HIGH + 6), |v| v == HIGH + 6),
            (Test::Less(6), |v| v < 6),
            (Test::Less(HIGH + 6), |v| v < HIGH + 6),
            (Test::Greater(5), |v| v > 5),
            (Test::Greater(HIGH + 5), |v| v > HIGH + 5),
            (masked(HIGH | 4, 4), |v| v & (HIGH | 4) == 4),
        ];
        for (test, holds) in tests {
            let filter = getpid_fails_when(vec![Condition { argument: 0, test }]);
            for value in values {
                let expected = if holds(value) { 77 } else { 0 };
                assert_eq!(
                    errno_of(&filter, libc::SYS_getpid, value),
                    expected,
                    "{test:?} {value:#x}"
                );
            }
        }
    }

    #[test]
    fn all_conditions_of_a_rule_must_hold() {
        let condition = |test| Condition { argument: 0, test };
        let filter = getpid_fails_when(vec![condition(Test::Greater(3)), condition(Test::Less(6))]);
        let fails = [3, 4, 5, 6].map(|value| errno_of(&filter, libc::SYS_getpid, value) == 77);
        assert_eq!(fails, [false, true, true, false]);
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let mut filter = getpid_fails_when(Vec::new());
        let (pid, parent) = (libc::SYS_getpid as u32, libc::SYS_getppid as u32);
        filter.rules.push(Rule {
            calls: pid.min(parent)..=pid.max(parent),
            when: Vec::new(),
            verdict: Verdict::Fail(78),
        });
        assert_eq!(errno_of(&filter, libc::SYS_getpid, 0), 77);
        assert_eq!(errno_of(&filter, libc::SYS_getppid, 0), 78);
        assert_eq!(errno_of(&filter, libc::SYS_gettid, 0), 0);
    }

    #[test]
    fn nobody_to_ask_is_an_error_of_the_caller() {
        for verdict in [Verdict::Notify, Verdict::Trace(1)] {
            let mut filter = getpid_fails_when(Vec::new());
            filter.rules[0].verdict = verdict;
            assert_eq!(errno_of(&filter, libc::SYS_getpid, 0), libc::ENOSYS);
        }
    }

    #[test]
    fn filters_that_are_too_long_are_refused() {
        let mut filter = getpid_fails_when(Vec::new());
        filter.rules = vec![filter.rules[0].clone(); 2000];
        assert_eq!(errno_of(&filter, libc::SYS_getpid, 0), 255);
    }
}
