//! What concerns other processes, which must be the run's own: all others do not exist.
//!
//! The kernel does these itself once it is clear whom they concern: numbers of processes are in registers, and nobody
//! but the tracer can let one of them come to mean another process.

use nix::libc;
use rustix::{
    io::Errno,
    process::{Pid, getpgid},
    thread::CapabilitySet,
};

use super::Table;
use crate::exec::supervised::{Answer, Asked, Process, Reply};

pub(crate) const TABLE: Table = &[
    (libc::SYS_kill, kill),
    (libc::SYS_tkill, |asked| signal_thread(asked, asked.int(0))),
    (libc::SYS_tgkill, signal_thread_of),
    (libc::SYS_rt_sigqueueinfo, |asked| {
        signal_thread(asked, asked.int(0))
    }),
    (libc::SYS_rt_tgsigqueueinfo, signal_thread_of),
    (libc::SYS_pidfd_open, |asked| about(asked, asked.int(0))),
    (libc::SYS_prlimit64, |asked| about(asked, asked.int(0))),
    (libc::SYS_sched_getaffinity, |asked| about(asked, asked.int(0))),
    (libc::SYS_sched_setaffinity, |asked| {
        asked.shared().processors.leave();
        about(asked, asked.int(0))
    }),
    (libc::SYS_sched_getscheduler, |asked| about(asked, asked.int(0))),
    (libc::SYS_sched_setscheduler, |asked| about(asked, asked.int(0))),
    (libc::SYS_sched_getparam, |asked| about(asked, asked.int(0))),
    (libc::SYS_sched_setparam, |asked| about(asked, asked.int(0))),
    (libc::SYS_sched_getattr, |asked| about(asked, asked.int(0))),
    (libc::SYS_sched_setattr, |asked| about(asked, asked.int(0))),
    (libc::SYS_sched_rr_get_interval, |asked| {
        about(asked, asked.int(0))
    }),
    (libc::SYS_get_robust_list, |asked| about(asked, asked.int(0))),
    (libc::SYS_getpriority, |asked| about_several(asked, 0)),
    (libc::SYS_setpriority, |asked| about_several(asked, 0)),
    (libc::SYS_ioprio_get, |asked| about_several(asked, 1)),
    (libc::SYS_ioprio_set, |asked| about_several(asked, 1)),
    (libc::SYS_fcntl, set_owner),
];

fn kill(asked: &Asked<'_>) -> Reply {
    let signal = asked.int(1);
    match asked.int(0) {
        0 => Ok(Answer::Proceed),
        -1 => kill_all(asked, signal),
        process if process > 0 => signal_thread(asked, process),
        group => {
            let group = group.checked_neg().ok_or(Errno::SRCH)?;
            let members = members(asked, group);
            if members.is_empty() {
                return Err(Errno::SRCH);
            }
            if members.iter().any(|member| may_signal(asked, member, signal)) {
                Ok(Answer::Proceed)
            } else {
                Err(Errno::PERM)
            }
        }
    }
}

/// To everybody but oneself.
fn kill_all(asked: &Asked<'_>, signal: i32) -> Reply {
    let mut others = asked.shared().family.processes();
    others.retain(|process| process.id != asked.process().id);
    if others.is_empty() {
        return Err(Errno::SRCH);
    }
    let signal = match signal {
        0 => None,
        signal => Some(nix::sys::signal::Signal::try_from(signal).map_err(|_| Errno::INVAL)?),
    };
    others.retain(|process| may_signal(asked, process, 0));
    if others.is_empty() {
        return Err(Errno::PERM);
    }
    for process in others {
        // Those that have ended meanwhile need none.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.id), signal);
    }
    Answer::DONE
}

fn signal_thread_of(asked: &Asked<'_>) -> Reply {
    let process = asked.shared().family.of(asked.int(1)).ok_or(Errno::SRCH)?;
    if process.id != asked.int(0) {
        return Err(Errno::SRCH);
    }
    signal_thread(asked, asked.int(1))
}

fn signal_thread(asked: &Asked<'_>, thread: i32) -> Reply {
    if thread <= 0 {
        return Err(Errno::INVAL);
    }
    let process = asked.shared().family.of(thread).ok_or(Errno::SRCH)?;
    if may_signal(asked, &process, asked.int(1)) {
        Ok(Answer::Proceed)
    } else {
        Err(Errno::PERM)
    }
}

/// Whether a process may send a signal to another: kill(2).
fn may_signal(asked: &Asked<'_>, to: &Process, signal: i32) -> bool {
    if to.id == asked.process().id || signal == libc::SIGCONT {
        return true;
    }
    let (from, to) = (asked.who(), to.who());
    let mine = [from.user.real, from.user.effective];
    from.can(CapabilitySet::KILL) || mine.contains(&to.user.real) || mine.contains(&to.user.saved)
}

/// The run's processes in a process group. The run has a session of its own, so nobody else is in it.
fn members(asked: &Asked<'_>, group: i32) -> Vec<std::sync::Arc<Process>> {
    let group = Pid::from_raw(group);
    let mut members = asked.shared().family.processes();
    members.retain(|process| group.is_some() && getpgid(Pid::from_raw(process.id)).ok() == group);
    members
}

/// Something about a process, which is told by its number. Zero is the caller.
fn about(asked: &Asked<'_>, process: i32) -> Reply {
    if process == 0 || asked.shared().family.of(process).is_some() {
        Ok(Answer::Proceed)
    } else {
        Err(Errno::SRCH)
    }
}

/// Something about a process, a group, or all of a user's, which goes beyond the run. These three are numbered from
/// `first`.
fn about_several(asked: &Asked<'_>, first: i32) -> Reply {
    let number = asked.int(1);
    match asked.int(0) - first {
        0 => about(asked, number),
        1 if number == 0 || !members(asked, number).is_empty() => Ok(Answer::Proceed),
        1 => Err(Errno::SRCH),
        2 => Err(Errno::PERM),
        _ => Err(Errno::INVAL),
    }
}

/// `F_SETOWN`: who gets signals about a descriptor.
fn set_owner(asked: &Asked<'_>) -> Reply {
    match asked.int(2) {
        0 => Ok(Answer::Proceed),
        process if process > 0 => about(asked, process),
        group => match group.checked_neg() {
            Some(group) if !members(asked, group).is_empty() => Ok(Answer::Proceed),
            _ => Err(Errno::SRCH),
        },
    }
}
