//! The thread that answers.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    thread::Scope,
};

use rbuild_sys::seccomp::{Call, Listener};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use super::{
    Answer, Asked, Reply, Shared,
    asked::errno,
    calls::{Handler, TABLES},
};

/// What the kernel may be told to do after all, and may take long.
const CONNECTIONS: [nix::libc::c_long; 7] = [
    nix::libc::SYS_connect,
    nix::libc::SYS_sendto,
    nix::libc::SYS_sendmsg,
    nix::libc::SYS_sendmmsg,
    nix::libc::SYS_recvfrom,
    nix::libc::SYS_recvmsg,
    nix::libc::SYS_recvmmsg,
];

/// Handlers by the numbers of their calls.
pub(super) struct Handlers(Vec<Option<Handler>>);

impl Handlers {
    pub fn new() -> Self {
        let mut handlers = Vec::new();
        for (number, handler) in TABLES.iter().copied().flatten() {
            let Ok(number) = usize::try_from(*number) else {
                continue;
            };
            if handlers.len() <= number {
                handlers.resize(number + 1, None);
            }
            handlers[number] = Some(*handler);
        }
        Self(handlers)
    }

    /// The calls that have one.
    pub fn numbers(&self) -> Vec<u32> {
        let numbers = self.0.iter().enumerate().filter(|(_, handler)| handler.is_some());
        numbers
            .filter_map(|(number, _)| u32::try_from(number).ok())
            .collect()
    }

    /// Those of them that the kernel never makes: what waits for others is left to it.
    pub fn prompt(&self) -> Vec<u32> {
        let mut numbers = self.numbers();
        numbers.retain(|number| !CONNECTIONS.contains(&(*number).into()));
        numbers
    }

    fn of(&self, call: &Call) -> Option<Handler> {
        self.0.get(call.number as usize).copied().flatten()
    }
}

/// Answers calls until nobody can make any, or `end` is at its end.
pub(super) fn serve<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    listener: &'scope Listener,
    shared: &'env Shared,
    handlers: &Handlers,
    end: BorrowedFd<'_>,
) -> io::Result<()> {
    // Not every kernel can; it is no more than faster.
    let _ = listener.wake_synchronously();
    let tells_end = Listener::tells_end();
    loop {
        if tells_end && let Some(call) = listener.receive()? {
            handle(scope, listener, shared, handlers, call);
            continue;
        }
        let mut sources = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::from_borrowed_fd(end, PollFlags::IN),
        ];
        match poll(&mut sources, None) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let [calls, end] = sources.map(|source| source.revents());
        if calls.contains(PollFlags::IN) {
            if let Some(call) = listener.receive()? {
                handle(scope, listener, shared, handlers, call);
            }
        } else if !calls.is_empty() || !end.is_empty() {
            return Ok(());
        }
    }
}

/// Answers a call, or has it answered later. Whoever asked may be gone by then: nobody needs the answer then.
fn handle<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    listener: &'scope Listener,
    shared: &'env Shared,
    handlers: &Handlers,
    call: Call,
) {
    let (Some(process), Some(handler)) = (shared.family.of(call.thread), handlers.of(&call)) else {
        let _ = listener.fail(&call, Errno::NOSYS);
        return;
    };
    let asked = Asked::new(call, process, listener, shared);
    match handler(&asked) {
        Ok(Answer::Later(work)) => {
            let started = std::thread::Builder::new().spawn_scoped(scope, move || {
                let reply = work(&asked);
                respond(listener, &call, reply);
            });
            if started.is_err() {
                let _ = listener.fail(&call, Errno::AGAIN);
            }
        }
        Ok(Answer::Descriptor { file, close_on_exec }) => {
            let _together = shared.processors.together(call.thread);
            give(listener, &call, &file, close_on_exec);
        }
        reply => respond(listener, &call, reply),
    }
}

fn respond(listener: &Listener, call: &Call, reply: Reply) {
    let _ = match reply {
        Ok(Answer::Value(value)) => listener.answer(call, value),
        Ok(Answer::Descriptor { file, close_on_exec }) => {
            return give(listener, call, &file, close_on_exec);
        }
        Ok(Answer::Proceed) => listener.proceed(call),
        Ok(Answer::Later(_)) => listener.fail(call, Errno::NOSYS),
        Err(errno) => listener.fail(call, errno),
    };
}

fn give(listener: &Listener, call: &Call, file: &OwnedFd, close_on_exec: bool) {
    let given = listener.answer_with(call, file.as_fd(), close_on_exec);
    // It has as many descriptors as it may; or nobody waits any more, and then this fails too.
    let _ = given.or_else(|error| listener.fail(call, errno(error)));
}
