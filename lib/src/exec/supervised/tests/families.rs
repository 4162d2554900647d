//! Threads, children, signals; programs with and without a loader.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
    time::Duration,
};

use rbuild_testutils::{
    cages::{Cage, inside},
    need,
};

use super::{Bench, compiled};
use crate::exec::{Cancel, Error, Network, Outcome, User};

/// Checks something with the programs of `families.c` as `/bin/families`, and some of busybox.
fn with_families(options: &[&str], check: impl Fn(&Bench)) {
    if need("busybox").is_none() || need("cc").is_none() {
        return;
    }
    let (_made, program) = compiled("families.c", options);
    inside(Cage::Restricted, |room| {
        let bench = Bench::new(room);
        fs::copy(&program, bench.root.join("bin/families")).unwrap();
        for applet in ["true", "echo", "sleep", "sh", "cat"] {
            symlink("busybox", bench.root.join("bin").join(applet)).unwrap();
        }
        bench.file("bin/script", 0o755, "#!/bin/sh\n");
        check(&bench);
    });
}

fn families(what: &str, said: &str) {
    with_families(&["-static"], |bench| {
        let ran = bench.run(&["/bin/families", what], User::default());
        assert_eq!(ran.ok(), said);
    });
}

#[test]
fn threads() {
    families("threads", "done\n");
}

#[test]
fn threads_that_spawn() {
    families("spawns", "done\n");
}

#[test]
fn children_in_the_memory_of_their_parents() {
    families("vforks", "done\n");
}

#[test]
fn a_thread_that_is_not_the_first_executes() {
    families("thread-executes", "executed\n");
}

#[test]
fn stops_and_signals() {
    families("stops", "done\n");
}

#[test]
fn nobody_outlives_a_run() {
    families("orphans", "done\n");
}

/// Libraries that a program of this machine needs, and its loader, as `ldd` tells them.
pub(super) fn libraries(program: &Path) -> Vec<String> {
    let said = Command::new("ldd").arg(program).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let words = said.split_whitespace().filter(|word| word.starts_with('/'));
    words.map(str::to_owned).collect()
}

/// Puts what a program needs where it is on this machine.
pub(super) fn add_libraries(bench: &Bench, program: &str) {
    for library in libraries(&bench.root.join(program)) {
        let place = bench.root.join(library.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(library, place).unwrap();
    }
}

#[test]
fn programs_with_a_loader() {
    if need("ldd").is_none() {
        return;
    }
    for pie in ["-pie", "-no-pie"] {
        with_families(&[pie], |bench| {
            add_libraries(bench, "bin/families");
            let run = |what| bench.run(&["/bin/families", what], User::default()).ok();
            assert_eq!(run("spawns"), "done\n");
            assert_eq!(run("thread-executes"), "executed\n");
            assert_eq!(
                bench.prints("exec -a other /bin/families stops; readlink /proc/self/exe"),
                "done\n"
            );
        });
    }
}

#[test]
fn what_cannot_be_executed() {
    with_families(&["-static"], |bench| {
        bench.file("bin/text", 0o755, "no program\n");
        bench.file("bin/loop", 0o755, "#!/bin/loop\n");
        bench.file("bin/lost", 0o755, "#!/bin/missing\n");
        bench.file("bin/plain", 0o644, "#!/bin/sh\n");
        let code = |program: &str| match bench.run(&[program], User::default()).result {
            Err(Error::Start { code, .. }) => code,
            other => panic!("{program}: {other:?}"),
        };
        let codes = [
            "/bin/text",
            "/bin/loop",
            "/bin/lost",
            "/bin/plain",
            "/bin",
            "/missing",
            "missing",
        ]
        .map(code);
        assert_eq!(codes, [126, 126, 127, 126, 126, 127, 127]);
    });
}

#[test]
fn set_id_programs() {
    with_families(&["-static"], |bench| {
        let user = || User {
            uid: 7,
            gid: 8,
            groups: vec![9],
        };
        let program = bench.root.join("bin/families");
        let ids = |mode| {
            fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
            bench.run(&["/bin/families", "ids"], user()).ok()
        };
        assert_eq!(ids(0o755), "7 7 8 8 0\ndone\n");
        assert_eq!(ids(0o4755), "7 0 8 8 1\ndone\n");
        assert_eq!(ids(0o2755), "7 7 8 0 1\ndone\n");
        assert_eq!(ids(0o2745), "7 7 8 8 0\ndone\n", "not executable by its group");
    });
}

#[test]
fn without_a_network() {
    if need("busybox").is_none() || need("cc").is_none() {
        return;
    }
    let (_made, program) = compiled("families.c", &["-static"]);
    inside(Cage::Restricted, |room| {
        for (network, said) in [(Network::Host, "1 1 1\ndone\n"), (Network::None, "0 0 1\ndone\n")] {
            let directory = room.join(format!("{network:?}"));
            fs::create_dir(&directory).unwrap();
            let mut bench = Bench::new(&directory);
            bench.network = network;
            fs::copy(&program, bench.root.join("bin/families")).unwrap();
            assert_eq!(
                bench.run(&["/bin/families", "networks"], User::default()).ok(),
                said
            );
        }
    });
}

#[test]
fn a_cancelled_run_ends() {
    with_families(&["-static"], |bench| {
        let cancel = Cancel::new().unwrap();
        let other = cancel.clone();
        let timer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            other.cancel();
        });
        let ran = bench.run_with(
            &[
                "/bin/sh",
                "-c",
                "trap '' TERM INT; while :; do sleep 1000 & wait; done",
            ],
            User::default(),
            &cancel,
        );
        assert!(matches!(ran.result, Err(Error::Cancelled)), "{:?}", ran.result);
        timer.join().unwrap();
    });
}

#[test]
fn how_it_ended() {
    with_families(&["-static"], |bench| {
        let ended = |script: &str| {
            bench
                .run(&["/bin/sh", "-c", script], User::default())
                .result
                .unwrap()
        };
        assert_eq!(ended("exit 7"), Outcome::Exited(7));
        assert_eq!(ended("kill -9 $$"), Outcome::Signaled(9));
        assert_eq!(ended("sleep 1000 & exit 3"), Outcome::Exited(3));
    });
}

/// Also where the filter of a container refuses `chroot` before anybody is asked.
#[test]
fn roots_in_the_root() {
    if need("busybox").is_none() {
        return;
    }
    inside(Cage::Restricted, |room| {
        let bench = Bench::new(room);
        for applet in ["sh", "chroot", "mkdir", "cp", "ls"] {
            symlink("busybox", bench.root.join("bin").join(applet)).unwrap();
        }
        let script =
            "mkdir -p /jail/bin; cp /bin/busybox /jail/bin/sh; chroot /jail /bin/sh -c 'cd ..; pwd; echo *'
            cd /; /bin/busybox chroot /jail /bin/sh -c 'echo /bin/*'; echo /j*";
        assert_eq!(bench.prints(script), "/\nbin\n/bin/sh\n/jail\n");
    });
}

#[test]
fn signals_end_what_waits_for_a_pipe() {
    if need("busybox").is_none() {
        return;
    }
    inside(Cage::Restricted, |room| {
        let bench = Bench::new(room);
        for applet in ["sh", "mkfifo", "timeout", "cat", "sleep", "kill"] {
            symlink("busybox", bench.root.join("bin").join(applet)).unwrap();
        }
        let script =
            "exec 2> /dev/null; mkfifo /p; timeout 1 cat /p; echo $?; (sleep 1; echo written > /p) & cat /p";
        assert_eq!(bench.prints(script), "143\nwritten\n");
    });
}

/// A signal with a handler ends calls that wait for something, and no others.
#[test]
fn signals_do_not_end_calls_that_never_wait() {
    if need("busybox").is_none() {
        return;
    }
    inside(Cage::Restricted, |room| {
        let bench = Bench::new(room);
        for applet in ["sh", "sleep"] {
            symlink("busybox", bench.root.join("bin").join(applet)).unwrap();
        }
        // The shell learns of its child's end while it opens a file.
        let script = "exec 2> /dev/null; n=0
            while [ $n -lt 300 ]; do
                n=$((n + 1)); sleep 100 & kill $!; wait $! 2> /dev/null; [ $? = 143 ] || echo $n
            done";
        assert_eq!(bench.prints(script), "");
    });
}
