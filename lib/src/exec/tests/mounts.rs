//! Layers and the mounts of a run.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, symlink},
    time::{Duration, SystemTime},
};

use super::{Mount, MountKind, Whiteouts, on_each_bench};

fn mount(target: &str, kind: MountKind) -> Mount {
    Mount {
        target: target.into(),
        kind,
    }
}

/// What a RUN leaves behind in any case on the base of these tests; `etc` is like the one below.
const USUAL: [&str; 4] = ["dev/", "etc/", "proc/", "sys/"];

#[test]
fn the_upper_directory_holds_what_changed() {
    on_each_bench(|bench| {
        fs::create_dir(bench.base().join("d")).unwrap();
        fs::write(bench.base().join("d/f"), "").unwrap();
        let ran = bench.run(&bench.script("rm /bin/true; rm -r /d; mkdir /d; echo x > /new; chown 5:6 /new"));
        assert_eq!(
            ran.written(),
            ["bin/", "bin/true", "d/", "dev/", "etc/", "new", "proc/", "sys/"]
        );
        let gone = fs::symlink_metadata(ran.upper.join("bin/true")).unwrap();
        assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
        let attribute = match bench.engine.whiteouts() {
            Whiteouts::Trusted => "trusted.overlay.opaque",
            Whiteouts::User => "user.overlay.opaque",
        };
        let mut value = [0; 8];
        assert_eq!(
            rustix::fs::getxattr(ran.upper.join("d"), attribute, &mut value),
            Ok(1)
        );
        let new = ran.upper.join("new");
        bench
            .engine
            .with_ids(|| match fs::metadata(&new) {
                Ok(stat) if (stat.uid(), stat.gid()) == (5, 6) => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .unwrap();
    });
}

#[test]
fn layers_stack_in_order() {
    on_each_bench(|bench| {
        let mut spec = bench.script("cat /which; cat /n* | wc -l");
        let long = bench.room.join("x".repeat(200)).join("y".repeat(200));
        for number in 0..300 {
            let layer = long.join(format!("{number}, a:b"));
            fs::create_dir_all(&layer).unwrap();
            fs::write(layer.join("which"), format!("{number}\n")).unwrap();
            fs::write(layer.join(format!("n{number}")), "n\n").unwrap();
            spec.lowers.insert(0, layer);
        }
        assert_eq!(bench.run(&spec).ok(), "299\n300\n");
    });
}

#[test]
fn binds_show_what_this_machine_has() {
    on_each_bench(|bench| {
        let shared = bench.room.join("shared");
        fs::create_dir(&shared).unwrap();
        fs::write(shared.join("f"), "f\n").unwrap();
        let mut spec = bench.script(
            "cat /m/f /file; echo w > /w/w; (touch /m/q || echo ro; echo > /file || echo ro) 2>/dev/null",
        );
        let bind = |read_only, path: &str| MountKind::Bind {
            source: shared.join(path),
            read_only,
        };
        spec.mounts = vec![
            mount("/m", bind(true, "")),
            mount("/w", bind(false, "")),
            mount("/file", bind(true, "f")),
        ];
        let ran = bench.run(&spec);
        assert_eq!(ran.written(), USUAL);
        assert_eq!(ran.ok(), "f\nf\nro\nro\n");
        assert_eq!(fs::read_to_string(shared.join("w")).unwrap(), "w\n");
    });
}

#[test]
fn other_roots_can_be_mounted() {
    on_each_bench(|bench| {
        let (low, high) = (bench.room.join("low"), bench.room.join("high"));
        fs::create_dir_all(low.join("a/b")).unwrap();
        fs::create_dir_all(high.join("a/b")).unwrap();
        fs::write(low.join("a/b/1"), "1\n").unwrap();
        fs::write(high.join("a/b/2"), "2\n").unwrap();
        symlink("/a", high.join("link")).unwrap();
        let layers = |source: &str, writable| MountKind::Layers {
            layers: of(vec![high.clone(), low.clone()]),
            source: source.into(),
            writable,
        };
        let mut spec = bench.script(
            "cat /r/1 /w/2 /f; (touch /r/x || echo ro) 2>/dev/null; echo w > /w/w; rm /w/1; ls /w; ls /one",
        );
        spec.mounts = vec![
            mount("/r", layers("/link/b", false)),
            mount("/w", layers("a/b", true)),
            mount("/f", layers("/a/b/1", false)),
            mount(
                "/one",
                MountKind::Layers {
                    layers: of(vec![low.join("a")]),
                    source: "/".into(),
                    writable: false,
                },
            ),
        ];
        let ran = bench.run(&spec);
        assert_eq!(ran.written(), USUAL);
        assert_eq!(ran.ok(), "1\n2\n1\nro\n2\nw\nb\n");
        assert!(low.join("a/b/1").exists() && !high.join("a/b/w").exists());
        for source in ["/nothing", "../../../../etc/shadow"] {
            let mut spec = bench.script("true");
            spec.mounts = vec![mount("/r", layers(source, false))];
            let error = bench.run(&spec).result.unwrap_err();
            assert_eq!(error.to_string(), format!("cannot find {source} to mount"));
        }
    });
}

#[test]
fn memory_is_limited_and_vanishes() {
    on_each_bench(|bench| {
        let mut spec = bench.script(
            "ls -A /t; stat -c %a /t; dd if=/dev/zero of=/t/big bs=64k count=32 2>/dev/null || echo full; touch /tmp/x; cp /bin/ls /t/s",
        );
        spec.mounts = vec![
            mount(
                "/t",
                MountKind::Tmpfs {
                    size: Some(1 << 20),
                    mode: 0o1777,
                },
            ),
            mount(
                "/tmp",
                MountKind::Tmpfs {
                    size: None,
                    mode: 0o755,
                },
            ),
        ];
        let ran = bench.run(&spec);
        assert_eq!(ran.written(), USUAL);
        assert!(ran.stdout.starts_with("1777\nfull\n"), "{}", ran.stdout);
    });
}

#[test]
fn files_are_in_memory_only() {
    on_each_bench(|bench| {
        let secret = |uid| MountKind::File {
            contents: b"hush".to_vec(),
            mode: 0o400,
            uid,
            gid: 7,
        };
        let mut spec = bench.script(
            "cat /run/secrets/s; stat -c ' %a %u %g' /run/secrets/s; (echo > /run/secrets/s) 2>/dev/null || echo ro; \
             wc -c < /etc/passwd.copy; su -s /bin/sh nobody -c 'cat /run/secrets/s' 2>/dev/null || echo refused",
        );
        fs::write(
            bench.base().join("etc/passwd"),
            "root:x:0:0::/:/bin/sh\nnobody:x:9:9::/:/bin/sh\n",
        )
        .unwrap();
        spec.mounts = vec![
            mount("/run/secrets/s", secret(5)),
            mount("/etc/passwd.copy", secret(0)),
        ];
        let ran = bench.run(&spec);
        assert_eq!(ran.written(), USUAL);
        assert_eq!(ran.stdout, "hush 400 5 7\nro\n4\nrefused\n");
        let mut spec = bench.script("cat /secret");
        spec.mounts = vec![mount("/secret", secret(9))];
        spec.user = super::User {
            uid: 9,
            gid: 9,
            groups: vec![],
        };
        assert_eq!(bench.run(&spec).ok(), "hush");
    });
}

#[test]
fn mount_points_go_away_unless_used() {
    on_each_bench(|bench| {
        let tmpfs = || MountKind::Tmpfs {
            size: None,
            mode: 0o755,
        };
        let mut spec = bench.script("touch /a/kept; touch /root/.cache/pip/x");
        spec.mounts = vec![
            mount("/a/b/c", tmpfs()),
            mount("/root/.cache", tmpfs()),
            mount("/root/.cache/pip", tmpfs()),
            mount("/usr/bin", tmpfs()),
            mount("/bin/../x/../y", tmpfs()),
        ];
        let ran = bench.run(&spec);
        assert_eq!(
            ran.written(),
            ["a/", "a/kept", "dev/", "etc/", "proc/", "root/", "sys/"]
        );
        ran.ok();
    });
}

#[test]
fn mount_points_stay_inside_the_root() {
    on_each_bench(|bench| {
        let outside = bench.room.join("outside");
        fs::create_dir(&outside).unwrap();
        symlink(&outside, bench.base().join("absolute")).unwrap();
        symlink("../../../..", bench.base().join("up")).unwrap();
        symlink("loop", bench.base().join("loop")).unwrap();
        let tmpfs = || MountKind::Tmpfs {
            size: None,
            mode: 0o711,
        };
        let mut spec = bench.script(&format!(
            "stat -c %a {0}/m /up/n; ls {0}; stat -c %a /n",
            outside.display()
        ));
        spec.mounts = vec![mount("/absolute/m", tmpfs()), mount("/up/n", tmpfs())];
        assert_eq!(bench.run(&spec).ok(), "711\n711\nm\n711\n");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        let mut spec = bench.script("true");
        spec.mounts = vec![mount("/loop/x", tmpfs())];
        let error = bench.run(&spec).result.unwrap_err();
        assert_eq!(error.to_string(), "cannot make the mount point /loop/x");
    });
}

#[test]
fn directories_of_mount_points_keep_their_time() {
    on_each_bench(|bench| {
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000_000_123);
        let set = |name: &str| {
            fs::File::open(bench.base().join(name))
                .unwrap()
                .set_modified(long_ago)
                .unwrap()
        };
        let time = |path: std::path::PathBuf| fs::metadata(path).unwrap().modified().unwrap();
        for name in ["etc", "home", "root"] {
            set(name);
        }
        let mut spec = bench.script("stat -c %Y /home /root; touch /root/new");
        spec.mounts = ["/home/m", "/root/m"]
            .map(|target| {
                mount(
                    target,
                    MountKind::Tmpfs {
                        size: None,
                        mode: 0o755,
                    },
                )
            })
            .into();
        let ran = bench.run(&spec);
        assert_eq!(time(ran.upper.join("etc")), long_ago);
        assert_eq!(time(ran.upper.join("home")), long_ago);
        assert_ne!(time(ran.upper.join("root")), long_ago);
        assert_eq!(ran.ok(), "1000000000\n1000000000\n");
    });
}

#[test]
fn missing_sources_are_named() {
    on_each_bench(|bench| {
        let mut spec = bench.script("true");
        spec.mounts = vec![mount(
            "/m",
            MountKind::Bind {
                source: "/no/source".into(),
                read_only: true,
            },
        )];
        assert_eq!(
            bench.run(&spec).result.unwrap_err().to_string(),
            "cannot open /no/source"
        );
        let mut spec = bench.script("true");
        spec.lowers.push("/no/layer".into());
        assert_eq!(
            bench.run(&spec).result.unwrap_err().to_string(),
            "cannot open the directory /no/layer"
        );
        let mut spec = bench.script("true");
        spec.mounts = vec![mount(
            "/bin/busybox",
            MountKind::Tmpfs {
                size: None,
                mode: 0o755,
            },
        )];
        assert_eq!(
            bench.run(&spec).result.unwrap_err().to_string(),
            "cannot mount on /bin/busybox"
        );
    });
}

fn of(lowers: Vec<std::path::PathBuf>) -> crate::exec::Stack {
    crate::exec::Stack {
        lowers,
        ..Default::default()
    }
}
