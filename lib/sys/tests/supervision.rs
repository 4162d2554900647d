//! Processes under supervision, where nothing is allowed: in the `restricted` cage.

use std::{
    ffi::CString,
    fs,
    io::{self, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    process::Command,
};

use rbuild_sys::{
    Child, Ended, Keep, Stop, Tracee, fork, read_string, receive_descriptor,
    seccomp::{Call, Filter, Listener, Rule, Verdict},
    send_descriptor, write_memory,
};
use rbuild_testutils::cages::{Cage, inside};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

/// A filter that has this verdict on these calls, and allows the others.
fn filter(calls: &[libc::c_long], verdict: Verdict) -> Filter {
    let rule = |call: &libc::c_long| {
        let number = u32::try_from(*call).unwrap();
        Rule {
            calls: number..=number,
            when: Vec::new(),
            verdict,
        }
    };
    Filter {
        rules: calls.iter().map(rule).collect(),
        otherwise: Verdict::Allow,
        foreign: Verdict::UNKNOWN,
    }
}

/// A child that has these calls answered while it does some work; 0 is success.
fn supervised(calls: &[libc::c_long], work: impl Fn() -> i32) -> (Child, Listener) {
    let filter = filter(calls, Verdict::Notify);
    let (here, there) = UnixStream::pair().unwrap();
    let child = fork(Keep::Only(&[there.as_fd()]), || {
        let supervised = filter
            .install_listening()
            .and_then(|listener| send_descriptor(&there, &listener));
        supervised.map_or(99, |()| work())
    });
    drop(there);
    let listener = receive_descriptor(&here).unwrap().into();
    (child.unwrap(), listener)
}

/// Answers the calls of a child until it has ended.
fn answer_all(child: &Child, listener: &Listener, mut answer: impl FnMut(&Call) -> io::Result<()>) {
    loop {
        let mut sources = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(child, PollFlags::IN),
        ];
        poll(&mut sources, None).unwrap();
        if !sources[0].revents().contains(PollFlags::IN) {
            return;
        }
        if let Some(call) = listener.receive().unwrap() {
            answer(&call).unwrap();
        }
    }
}

fn ended(mut child: Child) -> Ended {
    child.wait().unwrap()
}

#[test]
fn an_open_is_answered_with_another_file() {
    inside(Cage::Restricted, |room| {
        let other = room.join("other");
        fs::write(&other, "of another file").unwrap();
        let (child, listener) = supervised(&[libc::SYS_openat], || {
            let text = fs::read_to_string("/etc/passwd");
            let missing = fs::File::open("/nothing").map_err(|error| error.raw_os_error());
            i32::from(
                text.ok().as_deref() != Some("of another file") || missing.err() != Some(Some(libc::EXDEV)),
            )
        });
        let mut paths = Vec::new();
        answer_all(&child, &listener, |call| {
            let path = read_string(call.thread, call.arguments[1], 4096)?;
            assert!(listener.is_waiting(call));
            paths.push(path.into_string().unwrap());
            match paths.last().map(String::as_str) {
                Some("/etc/passwd") => listener.answer_with(call, fs::File::open(&other)?.as_fd(), true),
                _ => listener.fail(call, Errno::XDEV),
            }
        });
        assert_eq!(ended(child), Ended::Exited(0));
        assert_eq!(paths, ["/etc/passwd", "/nothing"]);
    });
}

#[test]
fn a_program_believes_to_be_root() {
    inside(Cage::Restricted, |room| {
        let said = room.join("said");
        let (child, listener) = supervised(&[libc::SYS_getuid, libc::SYS_geteuid], || {
            let script = format!("id -u > {}; id -ru >> {0}", said.display());
            let status = Command::new("/bin/sh").args(["-c", &script]).status();
            status.ok().and_then(|status| status.code()).unwrap_or(98)
        });
        // Not every kernel can; it is no more than faster.
        let _ = listener.wake_synchronously();
        answer_all(&child, &listener, |call| listener.answer(call, 0));
        assert_eq!(ended(child), Ended::Exited(0));
        assert_eq!(fs::read_to_string(said).unwrap(), "0\n0\n");
    });
}

#[test]
fn calls_go_on_and_descriptors_are_given_meanwhile() {
    inside(Cage::Restricted, |_| {
        let (child, listener) = supervised(&[libc::SYS_getpid], || {
            i32::from(nix::unistd::getpid().as_raw().cast_unsigned() != std::process::id())
        });
        let (_reader, writer) = io::pipe().unwrap();
        let mut given = Vec::new();
        answer_all(&child, &listener, |call| {
            given.push(listener.give(call, writer.as_fd(), true)?);
            listener.proceed(call)
        });
        assert_eq!(ended(child), Ended::Exited(0));
        assert_eq!(given.len(), 2);
        assert!(given[1] > given[0] && given[0] > 2, "{given:?}");
    });
}

#[test]
fn calls_of_the_dead_do_not_wait() {
    inside(Cage::Restricted, |_| {
        let (child, listener) = supervised(&[libc::SYS_getppid], || {
            let _ = rustix::process::getppid();
            0
        });
        let call = listener.receive().unwrap().unwrap();
        assert_eq!(call.number, u32::try_from(libc::SYS_getppid).unwrap());
        child.kill();
        assert_eq!(ended(child), Ended::Signaled(libc::SIGKILL));
        assert!(!listener.is_waiting(&call));
        let answered = listener.answer(&call, 0).unwrap_err();
        assert_eq!(answered.raw_os_error(), Some(libc::ENOENT));
    });
}

/// The child waits in a read until its parent traces it.
#[test]
fn a_program_is_replaced_by_another() {
    inside(Cage::Restricted, |room| {
        let said = room.join("said");
        let script = format!("echo $0 > {}", said.display());
        let filter = filter(&[libc::SYS_execve], Verdict::Trace(7));
        let (wait, mut go) = io::pipe().unwrap();
        let child = fork(Keep::Only(&[wait.as_fd()]), || {
            let ready = io::Read::read_exact(&mut &wait, &mut [0]).and_then(|()| filter.install());
            if ready.is_err() {
                return 99;
            }
            let arguments = ["name", "-c", &script].map(|text| CString::new(text).unwrap());
            let _ = nix::unistd::execv(c"/no/such/program", &arguments);
            98
        })
        .unwrap();
        let tracee = Tracee::seize(child.pid()).unwrap();
        go.write_all(b"!").unwrap();
        assert_eq!(tracee.wait().unwrap(), Stop::Seccomp(7));
        let mut registers = tracee.registers().unwrap();
        assert_eq!(registers.number(), libc::SYS_execve as u64);
        let path = registers.argument(0).copied().unwrap();
        assert_eq!(
            read_string(child.pid(), path, 4096).unwrap(),
            c"/no/such/program".to_owned()
        );
        // Below what the stack may use without a word (the red zone of x86-64 has 128 bytes).
        let place = registers.stack_pointer() - 256;
        assert_eq!(write_memory(child.pid(), place, b"/bin/sh\0").unwrap(), 8);
        *registers.argument(0).unwrap() = place;
        tracee.set_registers(registers).unwrap();
        tracee.resume(None).unwrap();
        assert_eq!(tracee.wait().unwrap(), Stop::Exec(child.pid()));
        tracee.detach().unwrap();
        assert_eq!(ended(child), Ended::Exited(0));
        assert_eq!(fs::read_to_string(said).unwrap(), "name\n");
    });
}

#[test]
fn signals_and_children_of_a_tracee_are_seen() {
    inside(Cage::Restricted, |_| {
        let (wait, mut go) = io::pipe().unwrap();
        let child = fork(Keep::Only(&[wait.as_fd()]), || {
            if io::Read::read_exact(&mut &wait, &mut [0]).is_err() {
                return 99;
            }
            let Ok(mut grandchild) = fork(Keep::All, || 5) else {
                return 98;
            };
            let ended = grandchild.wait();
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR1);
            i32::from(ended.ok() != Some(Ended::Exited(5)))
        })
        .unwrap();
        let tracee = Tracee::seize(child.pid()).unwrap();
        go.write_all(b"!").unwrap();
        let Stop::Fork(grandchild) = tracee.wait().unwrap() else {
            panic!("no fork")
        };
        let grandchild = Tracee::of(grandchild);
        assert_eq!(grandchild.wait().unwrap(), Stop::Started);
        grandchild.resume(None).unwrap();
        tracee.resume(None).unwrap();
        assert_eq!(grandchild.wait().unwrap(), Stop::Exited(5));
        assert_eq!(tracee.wait().unwrap(), Stop::Signal(libc::SIGCHLD));
        tracee.resume(Some(libc::SIGCHLD)).unwrap();
        assert_eq!(tracee.wait().unwrap(), Stop::Signal(libc::SIGUSR1));
        // Without the signal, which would end it.
        tracee.resume(None).unwrap();
        assert_eq!(tracee.wait().unwrap(), Stop::Exited(0));
    });
}
