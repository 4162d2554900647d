//! A program that tries to get out: one test for each way.

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::PermissionsExt,
            net::{SocketAddr, UnixDatagram, UnixListener},
        },
    },
    path::Path,
};

use rbuild_sys::Ipc;
use rbuild_testutils::{
    cages::{Cage, inside, on_a_small_disk},
    need,
};

use super::{Bench, compiled};
use crate::exec::{Outcome, User};

/// What must stay as it is, in a directory outside of the root.
struct Outside {
    listener: UnixListener,
    nameless: UnixListener,
    messages: UnixDatagram,
    memory: i32,
}

impl Outside {
    fn new(room: &Path) -> Self {
        fs::write(room.join("secret"), "secret").unwrap();
        fs::write(room.join("program"), "#!/bin/sh\nexit 42\n").unwrap();
        fs::set_permissions(room.join("program"), fs::Permissions::from_mode(0o755)).unwrap();
        let name = format!("rbuild-test-{}", std::process::id());
        let nameless = SocketAddr::from_abstract_name(name).unwrap();
        let outside = Self {
            listener: UnixListener::bind(room.join("socket")).unwrap(),
            nameless: UnixListener::bind_addr(&nameless).unwrap(),
            messages: UnixDatagram::bind(room.join("messages")).unwrap(),
            memory: Ipc::Memory.make(4096, 0o600).unwrap(),
        };
        outside.listener.set_nonblocking(true).unwrap();
        outside.nameless.set_nonblocking(true).unwrap();
        outside.messages.set_nonblocking(true).unwrap();
        outside
    }

    fn assert_untouched(&self, room: &Path) {
        assert_eq!(fs::read(room.join("secret")).unwrap(), b"secret");
        assert!(self.listener.accept().is_err());
        assert!(self.nameless.accept().is_err());
        assert!(self.messages.recv(&mut [0]).is_err());
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = Ipc::Memory.remove(self.memory);
    }
}

/// Makes an attempt in the restricted cage, where nothing but the supervisor stands in its way.
fn attempt(name: &str) {
    if need("busybox").is_none() || need("cc").is_none() {
        return;
    }
    let (_made, program) = compiled("hostile.c", &["-static"]);
    inside(Cage::Restricted, |room| {
        let bench = Bench::new(room);
        fs::copy(&program, bench.root.join("bin/hostile")).unwrap();
        let place = room.join("outside");
        fs::create_dir(&place).unwrap();
        let outside = Outside::new(&place);
        let pid = std::process::id().to_string();
        let words = ["/bin/hostile", name, &pid, place.to_str().unwrap()];
        let ran = bench.run(&words, User::default());
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.as_str()),
            ("contained\n", ""),
            "{:?}",
            ran.result
        );
        assert!(matches!(ran.result, Ok(Outcome::Exited(0))));
        outside.assert_untouched(&place);
    });
}

macro_rules! attempts {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            attempt(stringify!($name));
        })*
    };
}

attempts! {
    paths working_directory other_calls processes signals racing_open racing_exec sockets shared_memory devices
    shared_files wild_pointers descriptors nameless_program secrets_of_memory fork_bomb
}

/// It learns that there is no more room, and goes on, as does the next one.
#[test]
fn a_full_disk() {
    if need("busybox").is_none() {
        return;
    }
    on_a_small_disk(24 << 20, |room| {
        let bench = Bench::new(room);
        let script = "alias busybox=/bin/busybox; exec 2> /dev/null
            busybox dd if=/dev/zero of=/all bs=64k; echo $?
            echo more > /more; busybox test -s /more || echo no room
            busybox rm /all; echo again > /more; busybox cat /more";
        assert_eq!(bench.prints(script), "1\nno room\nagain\n");
        let fill = ["/bin/busybox", "dd", "if=/dev/zero", "of=/all", "bs=64k"];
        let ran = bench.run(&fill, User::default());
        assert!(matches!(ran.result, Ok(Outcome::Exited(1))), "{:?}", ran.result);
        assert!(ran.stderr.contains("No space left on device"), "{}", ran.stderr);
        assert_eq!(bench.prints("echo over"), "over\n");
    });
}
