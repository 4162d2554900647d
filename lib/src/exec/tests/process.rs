//! Who a run's process is, how it starts and ends, what it reads and writes.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use rbuild_testutils::cages::Cage;

use super::{Error, Mount, MountKind, Outcome, User, on_each_bench};

#[test]
fn the_payload_is_root_and_process_one() {
    on_each_bench(|bench| assert_eq!(bench.prints("echo $$; id -u; id -g; id -G"), "1\n0\n0\n0\n"));
}

#[test]
fn exit_codes_come_back() {
    on_each_bench(|bench| {
        for code in [0, 1, 3, 255] {
            let ran = bench.run(&bench.script(&format!("exit {code}")));
            assert_eq!(ran.result.unwrap(), Outcome::Exited(code));
        }
        let ran = bench.run(&bench.script("sh -c 'kill -9 $$'; exit $?"));
        assert_eq!(ran.result.unwrap().code(), 137);
    });
    assert_eq!(Outcome::Signaled(9).code(), 137);
    assert!(!Outcome::Signaled(9).success() && Outcome::Exited(0).success());
}

#[test]
fn output_comes_complete_and_apart() {
    on_each_bench(|bench| {
        let ran = bench.run(&bench.script("echo out; echo err >&2; printf end"));
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\nend", "err\n"));
        let long = bench.prints("i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done");
        assert_eq!(long.lines().count(), 20_000);
        assert!(
            long.lines()
                .enumerate()
                .all(|(number, line)| line == number.to_string())
        );
    });
}

#[test]
fn standard_input_is_empty_and_there_is_no_terminal() {
    on_each_bench(|bench| {
        assert_eq!(bench.prints("cat; read x || echo end"), "end\n");
        assert_eq!(
            bench.prints("for fd in 0 1 2; do test -t $fd || echo no $fd; done"),
            "no 0\nno 1\nno 2\n"
        );
        assert_eq!(
            bench.prints("(true < /dev/tty) 2>/dev/null || echo none"),
            "none\n"
        );
        assert_eq!(bench.prints("cut -d' ' -f5,6,7 /proc/1/stat"), "1 1 0\n");
    });
}

#[test]
fn the_process_inherits_nothing() {
    on_each_bench(|bench| {
        let mut spec = bench.spec(&["env"]);
        spec.env.push("A=b c".into());
        assert_eq!(bench.run(&spec).ok(), "PATH=/usr/bin:/bin\nA=b c\n");
        assert_eq!(bench.prints("umask"), "0022\n");
        assert_eq!(
            bench.run(&bench.spec(&["ls", "/proc/self/fd"])).ok(),
            "0\n1\n2\n3\n",
            "3 is that of ls"
        );
        let status = bench
            .run(&bench.spec(&["grep", "-E", "^(SigBlk|SigCgt|NoNewPrivs)", "/proc/self/status"]))
            .ok();
        assert_eq!(
            status,
            "SigBlk:\t0000000000000000\nSigCgt:\t0000000000000000\nNoNewPrivs:\t0\n"
        );
        let limit: u64 = bench.prints("ulimit -n").trim().parse().unwrap();
        assert!((1024..=1 << 20).contains(&limit), "{limit}");
        assert_eq!(bench.prints("ulimit -c"), "0\n");
        // A broken pipe ends a writer: SIGPIPE is not ignored.
        assert_eq!(
            bench.prints("(yes 2>&1; echo $? >&2) 2>/dev/null | head -n 1"),
            "y\n"
        );
    });
}

#[test]
fn capabilities_are_those_of_a_container() {
    on_each_bench(|bench| {
        let mut spec = bench.spec(&["grep", "^Cap", "/proc/self/status"]);
        let all = |permitted: &str| {
            format!(
                "CapInh:\t0000000000000000\nCapPrm:\t{permitted}\nCapEff:\t{permitted}\n\
                 CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\n"
            )
        };
        assert_eq!(bench.run(&spec).ok(), all("00000000a80425fb"));
        spec = super::RunSpec {
            user: User {
                uid: 5,
                gid: 6,
                groups: vec![],
            },
            ..bench.spec(&["grep", "^Cap", "/proc/self/status"])
        };
        assert_eq!(bench.run(&spec).ok(), all("0000000000000000"));
        assert_eq!(
            bench.prints("mount -t tmpfs none /tmp 2>/dev/null || echo refused"),
            "refused\n"
        );
    });
}

#[test]
fn users_and_groups_are_as_given() {
    on_each_bench(|bench| {
        let mut spec = bench.script("id -u; id -g; id -G; touch /tmp/mine; cat /root/secret || echo refused");
        fs::create_dir_all(bench.base().join("root")).unwrap();
        fs::write(bench.base().join("root/secret"), "").unwrap();
        fs::set_permissions(
            bench.base().join("root/secret"),
            fs::Permissions::from_mode(0o600),
        )
        .unwrap();
        spec.user = User {
            uid: 1234,
            gid: 100,
            groups: vec![7, 8],
        };
        let ran = bench.run(&spec);
        assert_eq!(ran.stdout, "1234\n100\n100 7 8\nrefused\n", "{}", ran.stderr);
        // The user owns its standard streams: it can open them by name.
        let mut spec = bench.script("echo a > /dev/stdout; echo b > /dev/stderr; echo c > /proc/self/fd/1");
        spec.user = User {
            uid: 1234,
            gid: 100,
            groups: vec![],
        };
        let ran = bench.run(&spec);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("a\nc\n", "b\n"));
    });
}

#[test]
fn set_user_id_programs_work() {
    on_each_bench(|bench| {
        // `su` of busybox asks for no password where there is none.
        let script =
            "mkdir /s; cp /bin/busybox /s/su; chmod 4755 /s/su; echo root::0:0::/:/bin/sh > /etc/passwd
                      echo me:x:9:9::/:/bin/sh >> /etc/passwd
                      su me -c 'id -u; /s/su root -c \"id -u\"'";
        let ran = bench.run(&bench.script(script));
        assert_eq!(ran.stdout, "9\n0\n", "{}", ran.stderr);
    });
}

#[test]
fn a_user_without_a_number_here_is_an_error() {
    on_each_bench(|bench| {
        let mut spec = bench.script("id -u");
        spec.user = User {
            uid: 3_000_000_000,
            gid: 0,
            groups: vec![],
        };
        match (bench.cage, bench.run(&spec).result) {
            (Cage::Root, Ok(Outcome::Exited(0))) => {}
            // To be run again by what can.
            (Cage::Rootless, Err(Error::Id)) => {}
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn the_working_directory_must_exist() {
    on_each_bench(|bench| {
        let mut spec = bench.script("pwd");
        spec.cwd = "/usr/bin".into();
        assert_eq!(bench.run(&spec).ok(), "/usr/bin\n");
        let mut spec = bench.script("pwd");
        spec.cwd = "/no/where".into();
        let error = bench.run(&spec).result.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot change to the working directory /no/where"
        );
    });
}

#[test]
fn programs_are_searched_in_path() {
    on_each_bench(|bench| {
        let base = bench.base();
        let program = |path: &str, mode| {
            let path = base.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "#!/bin/sh\necho $0\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        program("p/tool", 0o755);
        program("q/tool", 0o644);
        fs::create_dir_all(base.join("r/tool")).unwrap();
        let found = |path: &str, cwd: &str, name: &str| {
            let mut spec = bench.spec(&[name]);
            spec.env = vec![format!("PATH={path}").into()];
            spec.cwd = cwd.into();
            bench.run(&spec)
        };
        assert_eq!(found("/r:/q:/p", "/", "tool").ok(), "/p/tool\n");
        assert_eq!(found("/bin", "/p", "./tool").ok(), "./tool\n");
        for path in ["/bin", ".", "", "/bin:", ":/bin", "p"] {
            assert_start(
                found(path, "/p", "tool").result,
                127,
                &format!("not found in PATH ({path})"),
            );
        }
        assert_start(
            found("/q", "/", "tool").result,
            126,
            "/q/tool cannot be executed: permission denied",
        );
    });
}

#[test]
fn programs_that_cannot_start_say_why() {
    on_each_bench(|bench| {
        let write = |path: &str, text: &str, mode| {
            fs::write(bench.base().join(path), text).unwrap();
            fs::set_permissions(bench.base().join(path), fs::Permissions::from_mode(mode)).unwrap();
        };
        write("script", "#!/no/such -x\n", 0o755);
        write("plain", "text\n", 0o644);
        write("noformat", "text\n", 0o755);
        let cases: [(&str, i32, &str); 8] = [
            ("nosuchprogram", 127, "not found in PATH (/usr/bin:/bin)"),
            ("/no/program", 127, "/no/program does not exist"),
            ("/plain/x", 127, "/plain/x does not exist"),
            (
                "/script",
                127,
                "/script exists, but its interpreter /no/such does not",
            ),
            ("/plain", 126, "/plain cannot be executed: permission denied"),
            ("/tmp", 126, "/tmp cannot be executed: permission denied"),
            (
                "/noformat",
                126,
                "/noformat is not a program that this machine can execute",
            ),
            ("", 127, "there is no program to run"),
        ];
        for (program, code, reason) in cases {
            assert_start(bench.run(&bench.spec(&[program])).result, code, reason);
        }
        assert_start(
            bench.run(&bench.spec(&[])).result,
            127,
            "there is no program to run",
        );
        assert_start(
            bench.run(&bench.spec(&["echo", "a\0b"])).result,
            126,
            "\"a\\0b\" has a NUL character in it",
        );
        let long = "x".repeat(3 << 20);
        assert_start(
            bench.run(&bench.spec(&["echo", &long])).result,
            126,
            "arguments and environment are too long",
        );
        let mut spec = bench.spec(&["/bin/sh", "-c", "printf %s \"$BIG\" | wc -c"]);
        spec.env.push(format!("BIG={}", "x".repeat(100_000)).into());
        assert_eq!(bench.run(&spec).ok(), "100000\n");
    });
}

fn assert_start(result: Result<Outcome, Error>, code: i32, reason: &str) {
    match result {
        Err(Error::Start {
            code: found,
            reason: said,
            ..
        }) => assert_eq!((found, said.as_str()), (code, reason)),
        other => panic!("{reason}: {other:?}"),
    }
}

#[test]
fn device_nodes_of_a_run_cannot_be_opened() {
    on_each_bench(|bench| {
        if bench.cage == Cage::Root {
            let script = "for d in / /dev /tmp /proc /sys /dev/shm /dev/pts /dev/mqueue /bound /mine; do
                mknod $d/node c 1 3 2>/dev/null && (echo x > $d/node) 2>/dev/null && echo $d; done
                mknod /node2 c 1 3 && ls -l /node2 | cut -c1-10; echo fine > /dev/null";
            let mut spec = bench.script(script);
            let bound = bench.room.join("bound");
            fs::create_dir(&bound).unwrap();
            spec.mounts = vec![
                Mount {
                    target: "/bound".into(),
                    kind: MountKind::Bind {
                        source: bound,
                        read_only: false,
                    },
                },
                Mount {
                    target: "/mine".into(),
                    kind: MountKind::Tmpfs {
                        size: None,
                        mode: 0o755,
                    },
                },
                Mount {
                    target: "/tmp".into(),
                    kind: MountKind::Layers {
                        layers: crate::exec::Stack {
                            lowers: vec![bench.base()],
                            ..Default::default()
                        },
                        source: "/tmp".into(),
                        writable: true,
                    },
                },
            ];
            assert_eq!(bench.run(&spec).ok(), "crw-r--r--\n");
        }
    });
}

#[test]
fn devices_of_this_machine_do_not_change() {
    on_each_bench(|bench| {
        let before = fs::metadata("/dev/null").unwrap();
        bench.run(&bench.script("chmod 600 /dev/null; chown 5 /dev/null; rm /dev/null; true"));
        let after = fs::metadata("/dev/null").unwrap();
        assert_eq!((after.mode(), after.uid()), (before.mode(), before.uid()));
    });
}
