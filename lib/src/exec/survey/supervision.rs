//! What a supervisor of other processes would need, each tried on a child.

use std::{
    io::{self, PipeReader, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use nix::libc::{SYS_getuid, SYS_openat};
use rbuild_sys::{
    Keep, Tracee, read_memory, receive_descriptor,
    seccomp::{Call, Filter, Listener, Rule, Verdict},
    send_descriptor,
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{CWD, Mode, OFlags},
    io::Errno,
};

use super::{Finding, trials::words};
use crate::exec::child::{Doing, Report, Task};

/// Who a supervised child is told to be.
const SOMEBODY: u32 = 4242;

/// What the descriptor says that a supervised child gets for `/`.
const WORD: &[u8; 4] = b"word";

/// What only makes supervision faster.
pub(in crate::exec) const OPTIONAL: &str = "synchronous wake-up";

/// Tries all of it.
pub(in crate::exec) fn tried() -> Vec<Finding> {
    let answers = answers();
    let waking = |answers: &Answers| answers.woken_synchronously;
    let synchronous = match answers.as_ref().map(waking) {
        Ok(true) => Ok(""),
        _ => Err("Linux 6.6 and later have it".to_owned()),
    };
    vec![
        Finding::tried("seccomp notification", answers.map(|_| "calls and descriptors")),
        Finding::tried(OPTIONAL, synchronous),
        Finding::tried(
            "ptrace",
            on_a_child(|pid, _| Tracee::seize(pid).map(|_| "of children")),
        ),
        Finding::tried(
            "process_vm_readv",
            on_a_child(|pid, mark| {
                let mut byte = [0];
                read_memory(pid, mark, &mut byte).map(|_| "of children")
            }),
        ),
    ]
}

struct Answers {
    woken_synchronously: bool,
}

/// Answers two system calls of a child: one with a number, and one with a descriptor.
fn answers() -> Result<Answers, String> {
    let text = |error: io::Error| error.to_string();
    let (here, there) = UnixStream::pair().map_err(text)?;
    let (reader, mut writer) = io::pipe().map_err(text)?;
    writer.write_all(WORD).map_err(text)?;
    let launching = rbuild_sys::launching();
    let task = Task::spawn(&launching, Keep::Only(&[there.as_fd()]), |_| {
        rustix::thread::set_no_new_privs(true).doing(|| "set no_new_privs".to_owned())?;
        let listener = filter().install_listening();
        let listener = listener.doing(|| "install a filter with a listener".to_owned())?;
        send_descriptor(&there, &listener).doing(|| "send a listener".to_owned())?;
        drop(listener);
        believes().doing(|| "get answers from a listener".to_owned())?;
        Ok(Report::Done)
    });
    drop(there);
    drop(launching);
    let task = task.map_err(text)?;
    let woken_synchronously = receive_descriptor(&here).is_ok_and(|descriptor| {
        let listener = Listener::from(descriptor);
        let woken = listener.wake_synchronously().is_ok();
        // If this fails, the child says so: what it asked fails when the listener is closed.
        let _ = answer(&listener, reader.as_fd(), task.child.as_fd());
        woken
    });
    match task.join().map_err(text)? {
        Report::Done => Ok(Answers { woken_synchronously }),
        failure => Err(words(failure)),
    }
}

fn filter() -> Filter {
    let ask = |number: nix::libc::c_long| {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        Rule {
            calls: number..=number,
            when: Vec::new(),
            verdict: Verdict::Notify,
        }
    };
    Filter {
        rules: vec![ask(SYS_getuid), ask(SYS_openat)],
        otherwise: Verdict::Allow,
        foreign: Verdict::UNKNOWN,
    }
}

/// In the child: whether the answers are what they should be.
fn believes() -> io::Result<()> {
    if rustix::process::getuid().as_raw() != SOMEBODY {
        return Err(Errno::PROTO.into());
    }
    let file = rustix::fs::openat(CWD, "/", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut word = [0; WORD.len()];
    PipeReader::from(file).read_exact(&mut word)?;
    if word == *WORD {
        Ok(())
    } else {
        Err(Errno::PROTO.into())
    }
}

/// Answers the child until it has ended. Before Linux 6.11 a listener says that nobody is left only once the child has been
/// waited for.
fn answer(listener: &Listener, descriptor: BorrowedFd<'_>, child: BorrowedFd<'_>) -> io::Result<()> {
    let number = |call: &Call| i64::from(call.number);
    loop {
        let mut sources = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::from_borrowed_fd(child, PollFlags::IN),
        ];
        rustix::io::retry_on_intr(|| poll(&mut sources, None))?;
        if !sources[0].revents().contains(PollFlags::IN) {
            return Ok(());
        }
        match listener.receive()? {
            Some(call) if number(&call) == SYS_getuid => listener.answer(&call, SOMEBODY.into())?,
            Some(call) => listener.answer_with(&call, descriptor, true)?,
            None => {}
        }
    }
}

/// Does something with a child, and an address that is mapped in it.
fn on_a_child<T>(work: impl FnOnce(i32, u64) -> io::Result<T>) -> Result<T, String> {
    let mark = Box::new(0_u8);
    let address = (&raw const *mark).addr() as u64;
    let tried = || {
        let (wait, hold) = io::pipe()?;
        let launching = rbuild_sys::launching();
        let child = rbuild_sys::fork(Keep::Only(&[wait.as_fd()]), || {
            let _ = (&wait).read(&mut [0]);
            0
        });
        drop(launching);
        let child = child?;
        let result = work(child.pid(), address);
        drop(hold);
        result
    };
    tried().map_err(|error| error.to_string())
}
