//! The thread that traces: it knows every process of a run from birth to end, and lets them `exec`.
//!
//! A process begins stopped. Its parent says that it has a child, and stops as well; whichever of the two is seen
//! first makes the child known, so nothing waits for the other to be seen, and a parent may die in between.

use std::{
    collections::{HashMap, HashSet},
    io,
    time::Duration,
};

use nix::libc;
use rbuild_sys::{Registers, Stop, Tracee};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    Shared,
    load::{Loader, Plan},
    process::{Process, State},
};
use crate::exec::Outcome;

/// How often it is tried to execute what somebody has open for writing, and how long that takes each time.
const MOST_TRIES: u32 = 400;
const PAUSE: Duration = Duration::from_millis(5);

/// Calls that container runtimes' filters refuse before anybody is asked, and others that they let through, to be asked
/// about as if they were those. The kernel has long had no use for these. The filter traps the former: of several
/// filters' verdicts, that one counts.
pub(super) const STAND_INS: [(i64, u32); 1] = [(libc::SYS_chroot, CHROOT as u32)];
#[cfg(target_arch = "x86_64")]
pub(super) const CHROOT: libc::c_long = libc::SYS_epoll_ctl_old;
#[cfg(not(target_arch = "x86_64"))]
pub(super) const CHROOT: libc::c_long = libc::SYS_remap_file_pages;

/// `ERESTARTSYS` and `ERESTARTNOINTR`, which only the kernel sees, and a tracer.
const RESTART_AS_HANDLERS_WANT: i64 = 512;
const RESTART_ALWAYS: i64 = 513;

/// Follows the first process and all that come of it until none is left, and says how the first one ended.
pub(super) fn trace(
    first: i32,
    state: State,
    shared: &Shared,
    answered: &[u32],
    loader: Loader<'_>,
    begin: impl FnOnce(),
) -> io::Result<Option<Outcome>> {
    Tracee::seize(first)?;
    shared.family.begin(first, state);
    begin();
    let mut tracer = Tracer {
        shared,
        answered,
        loader,
        first,
        outcome: None,
        early: HashSet::new(),
        executing: HashMap::new(),
        busy: HashMap::new(),
        tries: HashMap::new(),
    };
    loop {
        match Tracee::wait_any() {
            Ok((tracee, stop)) => tracer.stopped(&tracee, stop),
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(tracer.outcome),
            Err(error) => return Err(error),
        }
    }
}

struct Tracer<'a> {
    shared: &'a Shared,
    /// The calls that are asked about, but for those that may wait in the kernel.
    answered: &'a [u32],
    loader: Loader<'a>,
    first: i32,
    /// How the first process ended. From then on everything else is ended.
    outcome: Option<Outcome>,
    /// Threads that were seen before their parents said that they have them.
    early: HashSet<i32>,
    /// Threads whose `exec` the kernel is at.
    executing: HashMap<i32, Executing>,
    /// Places in memory that hold a path for a thread in `executing`, and threads that wait for theirs: processes
    /// with the same memory share one.
    busy: HashMap<u64, Vec<i32>>,
    /// How often threads have tried again to execute what somebody has open for writing.
    tries: HashMap<i32, u32>,
}

struct Executing {
    /// As they were before.
    registers: Registers,
    place: u64,
    plan: Plan,
}

impl Tracer<'_> {
    /// Does what a stop asks for. Errors of ptrace mean that the thread was killed, which is told next.
    fn stopped(&mut self, tracee: &Tracee, stop: Stop) {
        let thread = tracee.thread();
        let _ = match stop {
            Stop::Exited(code) => return self.ended(thread, Outcome::Exited(code)),
            Stop::Killed(signal) => return self.ended(thread, Outcome::Signaled(signal)),
            Stop::Started => self.started(tracee),
            Stop::Fork(child) => self.forked(tracee, child),
            Stop::Seccomp(_) => self.execute(tracee),
            Stop::Returned if self.executing.contains_key(&thread) => self.not_executed(tracee),
            Stop::Exec(before) => self.executed(tracee, before),
            Stop::Signal(signal) => self.signalled(tracee, signal),
            Stop::Group(_) => tracee.leave_stopped(),
            Stop::Returned | Stop::Other(_) => tracee.resume(None),
        };
    }

    /// A signal may come between a call and its receipt by the listener. The kernel gives up the call then, and would let
    /// a handler's thread know; but these are calls that no signal ends elsewhere, so they are always begun again. (On ARM the
    /// kernel has decided before a tracer is told.)
    ///
    /// One signal tells of a call that another call stands in for, which is made then.
    fn signalled(&self, tracee: &Tracee, signal: i32) -> io::Result<()> {
        let mut registers = tracee.registers()?;
        let number = registers.number();
        if signal == libc::SIGSYS
            && let Some((_, other)) = STAND_INS.iter().find(|(call, _)| call.cast_unsigned() == number)
        {
            registers.make_instead(*other);
            tracee.set_registers(registers)?;
            return tracee.resume(None);
        }
        if registers.result() == -RESTART_AS_HANDLERS_WANT
            && self.answered.iter().any(|call| u64::from(*call) == number)
        {
            registers.set_result(-RESTART_ALWAYS);
            tracee.set_registers(registers)?;
        }
        tracee.resume(Some(signal))
    }

    fn ended(&mut self, thread: i32, outcome: Outcome) {
        self.shared.family.remove(thread);
        self.tries.remove(&thread);
        self.release(thread);
        if thread == self.first {
            self.outcome = Some(outcome);
            for process in self.shared.family.processes() {
                kill(process.id);
            }
            for thread in self.shared.family.threads() {
                kill(thread);
            }
        }
    }

    fn started(&mut self, tracee: &Tracee) -> io::Result<()> {
        let thread = tracee.thread();
        self.shared.processors.let_go(thread);
        if self.outcome.is_some() {
            kill(thread);
        } else if self.shared.family.of(thread).is_none() {
            match self.kin(thread) {
                Some((process, true)) => self.shared.family.add(thread, &process),
                Some((parent, false)) => {
                    self.shared.family.begin(thread, parent.inherited());
                }
                // Its parent is gone, and nobody knows who it is.
                None => kill(thread),
            }
            self.early.insert(thread);
        }
        tracee.resume(None)
    }

    /// The process that a thread belongs to, or else its parent.
    fn kin(&self, thread: i32) -> Option<(std::sync::Arc<Process>, bool)> {
        let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            value.trim().parse::<i32>().ok()
        };
        let group = field("Tgid:")?;
        let kin = if group == thread { field("PPid:")? } else { group };
        self.shared
            .family
            .process(kin)
            .map(|process| (process, group != thread))
    }

    fn forked(&mut self, tracee: &Tracee, child: i32) -> io::Result<()> {
        if !self.early.remove(&child)
            && let Some(process) = self.shared.family.of(tracee.thread())
        {
            if makes_thread(tracee) {
                self.shared.family.add(child, &process);
            } else {
                self.shared.family.begin(child, process.inherited());
            }
        }
        tracee.resume(None)
    }

    /// A thread is about to make a call that the filter gives to the tracer: `exec`, unless the process has filters of
    /// its own.
    fn execute(&mut self, tracee: &Tracee) -> io::Result<()> {
        let thread = tracee.thread();
        let mut registers = tracee.registers()?;
        let Some(process) = self.shared.family.of(thread) else {
            kill(thread);
            return tracee.resume(None);
        };
        let place = process.place();
        if self.is_busy(place) {
            // It goes on when the other is done.
            self.busy.entry(place).or_default().push(thread);
            return Ok(());
        }
        let before = registers;
        match self.loader.plan(thread, &process, &mut registers) {
            Ok(plan) => {
                self.executing.insert(
                    thread,
                    Executing {
                        registers: before,
                        place,
                        plan,
                    },
                );
                tracee.set_registers(registers)?;
                tracee.resume_to_return()
            }
            Err(errno) => {
                registers.skip(-i64::from(errno.raw_os_error()));
                tracee.set_registers(registers)?;
                tracee.resume(None)
            }
        }
    }

    fn is_busy(&self, place: u64) -> bool {
        self.executing.values().any(|executing| executing.place == place)
    }

    /// The kernel could not execute what was planned.
    fn not_executed(&mut self, tracee: &Tracee) -> io::Result<()> {
        let result = tracee.registers()?.result();
        if let Some(mut executing) = self.release(tracee.thread()) {
            let is_busy = result == -i64::from(libc::ETXTBSY) && executing.plan.is_shared;
            match u32::try_from(executing.registers.number()) {
                Ok(number) if self.tries_again(tracee.thread(), is_busy) => {
                    executing.registers.make_instead(number);
                }
                _ => executing.registers.set_result(result),
            }
            tracee.set_registers(executing.registers)?;
        }
        tracee.resume(None)
    }

    /// Waits a little if somebody has a program of the store open for writing, but not for ever. That is a child of this
    /// process which another build has forked while the program was unpacked: it does not know what it has, and ends
    /// soon. What the run writes itself is its own affair.
    fn tries_again(&mut self, thread: i32, is_busy: bool) -> bool {
        let tries = self.tries.entry(thread).or_default();
        let again = is_busy && *tries < MOST_TRIES;
        if again {
            *tries += 1;
            std::thread::sleep(PAUSE);
        } else {
            self.tries.remove(&thread);
        }
        again
    }

    fn executed(&mut self, tracee: &Tracee, before: i32) -> io::Result<()> {
        let thread = tracee.thread();
        self.shared.family.renew(thread);
        self.tries.remove(&before);
        if before != thread {
            self.shared.family.remove(before);
        }
        let done = match (self.release(before), self.shared.family.of(thread)) {
            (Some(executing), Some(process)) => self.loader.finish(tracee, &process, executing.plan).is_ok(),
            _ => false,
        };
        if !done {
            kill(thread);
        }
        tracee.resume(None)
    }

    /// A thread does not need its place any more, whose next user goes on.
    fn release(&mut self, thread: i32) -> Option<Executing> {
        let executing = self.executing.remove(&thread);
        let place = match &executing {
            Some(executing) => executing.place,
            None => {
                self.busy.retain(|_, waiting| {
                    waiting.retain(|waits| *waits != thread);
                    !waiting.is_empty()
                });
                return None;
            }
        };
        for next in self.busy.remove(&place).unwrap_or_default() {
            let _ = self.execute(&Tracee::of(next));
        }
        executing
    }
}

/// Whether the call that made a child made a thread.
fn makes_thread(parent: &Tracee) -> bool {
    let Ok(mut registers) = parent.registers() else {
        return false;
    };
    registers.number() == libc::SYS_clone.cast_unsigned()
        && registers
            .argument(0)
            .is_some_and(|flags| *flags & libc::CLONE_THREAD as u64 != 0)
}

/// Of a thread that has not been waited for, so the number is still its own.
fn kill(thread: i32) {
    if let Some(pid) = Pid::from_raw(thread) {
        let _ = kill_process(pid, Signal::KILL);
    }
}
