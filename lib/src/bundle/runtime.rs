//! `config.json`: how an OCI runtime would run the image (OCI runtime-spec, `config.md`; the conversion is that of the
//! image-spec, `conversion.md`).

use std::{collections::BTreeMap, fs, io::Read as _, path::Path};

use serde_json::{Value, json};

use super::{Error, error::At};
use crate::{
    build::users::Users,
    image::{Image, SMALL},
    inspect::Files,
};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn write(bundle: &Path, image: &Image, files: &Files, rootless: bool) -> Result<(), Error> {
    let path = bundle.join("config.json");
    let text = serde_json::to_vec_pretty(&config(image, files, rootless));
    let text = text.map_err(std::io::Error::from).at("cannot write", &path)?;
    fs::write(&path, text).at("cannot write", &path)
}

fn config(image: &Image, files: &Files, rootless: bool) -> Value {
    let namespaces = ["pid", "ipc", "uts", "mount"].into_iter().chain(match rootless {
        true => ["user"],
        false => ["network"],
    });
    let mut linux = json!({
        "namespaces": namespaces.map(|kind| json!({ "type": kind })).collect::<Vec<_>>(),
        "maskedPaths": [
            "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
            "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
        ],
        "readonlyPaths": ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    });
    if rootless {
        let map = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
        linux["uidMappings"] = map(rustix::process::geteuid().as_raw());
        linux["gidMappings"] = map(rustix::process::getegid().as_raw());
    }
    json!({
        "ociVersion": "1.0.2",
        "process": process(image, files),
        "root": { "path": "rootfs" },
        "hostname": "rbuild",
        "mounts": mounts(image, rootless),
        "annotations": annotations(image),
        "linux": linux,
    })
}

fn process(image: &Image, files: &Files) -> Value {
    let config = &image.config().config;
    let text = |path: &str| {
        let mut bytes = Vec::new();
        let read = files
            .open(path)
            .map(|file| file.take(SMALL).read_to_end(&mut bytes));
        if matches!(read, Ok(Ok(_))) {
            bytes
        } else {
            Vec::new()
        }
    };
    let users = Users::parse(&text("/etc/passwd"), &text("/etc/group"));
    // A user that the image does not know is an error of who runs it; its files can be looked at all the same.
    let who = users.identity(&config.user).ok();
    let home = who.as_ref().map_or("/", |who| who.home.as_str());
    let mut env = config.env.clone();
    for (name, default) in [
        ("PATH", PATH.to_owned()),
        ("TERM", "TERM=xterm".into()),
        ("HOME", format!("HOME={home}")),
    ] {
        if config.get_env(name).is_none() {
            env.push(default);
        }
    }
    let args: Vec<&String> = config
        .entrypoint
        .iter()
        .flatten()
        .chain(config.cmd.iter().flatten())
        .collect();
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "terminal": true,
        "user": {
            "uid": who.as_ref().map_or(0, |who| who.uid),
            "gid": who.as_ref().map_or(0, |who| who.gid),
            "additionalGids": who.as_ref().map(|who| who.groups.clone()).unwrap_or_default(),
        },
        "args": if args.is_empty() { json!(["sh"]) } else { json!(args) },
        "env": env,
        "cwd": if config.working_dir.is_empty() { "/" } else { &config.working_dir },
        "capabilities": {
            "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
        },
        "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
        "noNewPrivileges": true,
    })
}

fn mounts(image: &Image, rootless: bool) -> Vec<Value> {
    let mount = |at: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": at, "type": kind, "source": source, "options": options });
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &[]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        match rootless {
            true => mount(
                "/sys",
                "bind",
                "/sys",
                &["rbind", "nosuid", "noexec", "nodev", "ro"],
            ),
            false => mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        },
    ];
    let volumes = image.config().config.volumes.iter();
    mounts.extend(volumes.map(|at| mount(at, "tmpfs", "none", &["rw", "nosuid", "nodev", "mode=1777"])));
    mounts
}

/// As the image-spec's `conversion.md` names them; labels as they are.
fn annotations(image: &Image) -> BTreeMap<String, String> {
    let config = image.config();
    let ports: Vec<&str> = config.config.exposed_ports.iter().map(String::as_str).collect();
    let mut all = config.config.labels.clone();
    for (name, value) in [
        ("os", config.os.clone()),
        ("architecture", config.architecture.clone()),
        ("author", config.author.clone()),
        ("created", config.created.clone().unwrap_or_default()),
        ("stopSignal", config.config.stop_signal.clone()),
        ("exposedPorts", ports.join(",")),
    ] {
        if !value.is_empty() {
            all.entry(format!("org.opencontainers.image.{name}"))
                .or_insert(value);
        }
    }
    all
}
