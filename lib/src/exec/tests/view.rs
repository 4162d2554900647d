//! The surroundings of a run's process.

use std::{fs, path::Path};

use super::{Mount, MountKind, Network, on_each_bench};

#[test]
fn devices_work() {
    on_each_bench(|bench| {
        let script = r"
            for d in null zero full random urandom tty; do test -c /dev/$d && echo $d; done
            for d in fd stdin stdout stderr ptmx; do test -e /dev/$d && echo $d; done
            for d in pts shm; do test -d /dev/$d && echo $d; done
            echo gone > /dev/null; cat /dev/null
            head -c 3 /dev/zero | wc -c
            (echo x > /dev/full) 2>/dev/null || echo full
            head -c 8 /dev/urandom | wc -c
            ls -l /dev/null | cut -c1-10
            touch /dev/x /dev/shm/y && echo writable";
        let expected = "null zero full random urandom tty fd stdin stdout stderr ptmx pts shm \
                        3 full 8 crw-rw-rw- writable";
        let ran = bench.run(&bench.script(script));
        let left = ran.written();
        assert_eq!(
            ran.ok().split_whitespace().collect::<Vec<_>>().join(" "),
            expected
        );
        assert_eq!(left, ["dev/", "etc/", "proc/", "sys/"]);
    });
}

#[test]
fn proc_is_that_of_the_run() {
    on_each_bench(|bench| {
        assert_eq!(bench.prints("echo /proc/[0-9]*"), "/proc/1\n");
        assert_eq!(
            bench.prints("readlink /proc/self/exe; readlink /proc/1/cwd"),
            "/bin/busybox\n/\n"
        );
        assert_eq!(bench.prints("hostname"), "bench\n");
    });
}

#[test]
fn what_concerns_the_machine_is_hidden_or_read_only() {
    on_each_bench(|bench| {
        let script = "for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/uevent_seqnum
            do test ! -e $f || (: > $f) 2>/dev/null && test -e $f && echo $f is writable; done
            cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null
            test -d /sys/firmware && ls -A /sys/firmware
            mkdir /sys/x 2>/dev/null; touch /proc/acpi/x 2>/dev/null; ls /sys | grep x; true";
        assert_eq!(bench.prints(script), "");
        assert!(bench.prints("ls /sys").contains("kernel"));
    });
}

#[test]
fn namespaces_are_its_own_but_for_the_network() {
    on_each_bench(|bench| {
        let names = ["ipc", "mnt", "net", "pid", "uts"];
        let ours = names.map(|name| fs::read_link(format!("/proc/self/ns/{name}")).unwrap());
        let theirs = bench.prints("for n in ipc mnt net pid uts; do readlink /proc/self/ns/$n; done");
        for ((name, ours), theirs) in names.into_iter().zip(ours).zip(theirs.lines()) {
            assert_eq!(ours == Path::new(theirs), name == "net", "{name}");
        }
    });
}

#[test]
fn without_network_there_is_only_loopback() {
    on_each_bench(|bench| {
        let mut spec = bench.script(
            "ip -o link | cut -d: -f2; wc -l < /proc/net/route; ip -o link | grep -c LOOPBACK,UP; ip -o addr | grep -c 127.0.0.1",
        );
        spec.network = Network::None;
        assert_eq!(bench.run(&spec).ok(), " lo\n1\n1\n1\n");
    });
}

#[test]
fn name_resolution_is_there_but_not_kept() {
    on_each_bench(|bench| {
        let spec = bench.script("cat /etc/resolv.conf; (echo x >> /etc/hosts) 2>/dev/null || echo protected");
        let ran = bench.run(&spec);
        let left = ran.written();
        let ours = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        assert_eq!(ran.ok(), format!("{ours}protected\n"));
        assert_eq!(left, ["dev/", "etc/", "proc/", "sys/"]);
        assert!(
            bench
                .prints("cat /etc/hosts")
                .starts_with("127.0.0.1\tlocalhost bench\n")
        );
        // Those of the image are covered and stay; a link leads to a place inside the root.
        fs::write(bench.base().join("etc/hosts"), "of the image\n").unwrap();
        std::os::unix::fs::symlink("../run/resolve/resolv.conf", bench.base().join("etc/resolv.conf"))
            .unwrap();
        let ran = bench
            .run(&bench.script("grep -c image /etc/hosts; test -f /run/resolve/resolv.conf && echo linked"));
        assert_eq!(ran.written(), ["dev/", "proc/", "sys/"]);
        assert_eq!(ran.stdout, "0\nlinked\n");
    });
}

#[test]
fn an_empty_root_gets_mount_points_only() {
    on_each_bench(|bench| {
        let mut spec = bench.spec(&["/bin/busybox", "true"]);
        spec.lowers.clear();
        let kind = MountKind::Bind {
            source: bench.base().join("bin/busybox"),
            read_only: true,
        };
        spec.mounts.push(Mount {
            target: "/bin/busybox".into(),
            kind,
        });
        let ran = bench.run(&spec);
        assert_eq!(ran.written(), ["dev/", "proc/", "sys/"]);
        ran.ok();
    });
}

#[test]
fn the_mount_table_tells_nothing_of_this_machine() {
    on_each_bench(|bench| {
        let table = bench.prints("cat /proc/self/mountinfo");
        assert!(!table.contains(bench.room.to_str().unwrap()), "{table}");
        let root = table
            .lines()
            .find(|line| line.split(' ').nth(4) == Some("/"))
            .unwrap();
        assert!(!root.contains("nosuid"), "{root}");
    });
}
