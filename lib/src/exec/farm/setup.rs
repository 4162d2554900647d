//! The mounts of a run.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, MemfdFlags, Mode, SealFlags, statx},
    io::Errno,
};

use super::{
    kept,
    mounts::{Kind, fd_path},
    owners::{FIELDS, Meta, TERMINAL, key},
    points::{Shape, Undo},
    process, terminals,
    touched::Extent,
    view::View,
};
use crate::exec::{Mount, MountKind, Network, RunSpec};

/// Devices of this machine that a run sees. Terminals are not among them: they would be rbuild's.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

const DEVICE_LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Empty to begin with, and their modes.
const DEVICE_DIRECTORIES: [(&str, u32); 2] = [("pts", 0o755), ("mqueue", 0o1777)];

/// Parts of `/sys` that speak of the whole machine, and where others are mounted in it, which a `/sys` of one's own has not.
const MASKED: [&str; 10] = [
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/sys/fs/bpf",
    "/sys/fs/cgroup",
    "/sys/fs/pstore",
    "/sys/fs/selinux",
    "/sys/kernel/config",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
];

/// The mounts of a run under way to be made.
pub(super) struct Setup<'v> {
    pub view: &'v mut View,
}

/// A failure, with what was tried.
type Failed = (String, io::Error);

fn doing<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Failed {
    let what = what.into();
    move |error| (what, error.into())
}

impl View {
    /// Mounts what every run sees, and what this one asks for.
    ///
    /// # Errors
    /// What could not be done, and why.
    pub fn mount_all(&mut self, spec: &RunSpec) -> Result<(), (String, io::Error)> {
        self.network = spec.network == Network::Host;
        let mut setup = Setup { view: self };
        setup.devices()?;
        setup.system()?;
        setup.processes()?;
        setup.names(spec)?;
        spec.mounts
            .iter()
            .enumerate()
            .try_for_each(|(number, mount)| setup.wanted(mount, number))
    }
}

impl Setup<'_> {
    fn devices(&mut self) -> Result<(), Failed> {
        let directory = self.scratch_directory(Meta {
            mode: 0o755,
            ..Meta::default()
        })?;
        let make = || {
            for name in DEVICES {
                fs::write(directory.join(name), "")?;
            }
            for (name, target) in DEVICE_LINKS {
                symlink(target, directory.join(name))?;
            }
            for (name, _) in DEVICE_DIRECTORIES {
                fs::create_dir(directory.join(name))?;
            }
            fs::write(directory.join("tty"), "")?;
            fs::write(directory.join("pts/ptmx"), "")
        };
        make().map_err(doing("make /dev"))?;
        let links = DEVICE_LINKS.map(|(name, _)| (name, 0o777));
        let devices = DEVICES.map(|name| (name, 0o666));
        let special = [("tty", 0o666), ("pts/ptmx", 0o666)];
        let all = [&links[..], &DEVICE_DIRECTORIES, &devices, &special].concat();
        for (name, mode) in all {
            let device = match name {
                "tty" => Some(TERMINAL),
                "pts/ptmx" => Some(terminals::MASTER),
                _ => None,
            };
            let meta = Meta {
                mode,
                device,
                ..Meta::default()
            };
            self.know(&directory.join(name), meta)?;
        }
        self.lasting("/dev")?;
        self.mount(Path::new("/dev"), &directory, Kind::Plain, false)?;
        // A machine without any gives none.
        let (id, _) = self
            .view
            .mounts
            .of_real(&directory)
            .ok_or_else(|| doing("mount /dev")(Errno::NOENT))?;
        let _ = self.view.mounts.with_terminals(directory.join("pts"), id);
        for name in DEVICES {
            let device = Path::new("/dev").join(name);
            self.mount(&device, &device, Kind::Machine, false)?;
        }
        let memory = self.scratch_directory(Meta {
            mode: 0o1777,
            ..Meta::default()
        })?;
        self.mount(Path::new("/dev/shm"), &memory, Kind::Plain, false)
    }

    fn system(&mut self) -> Result<(), Failed> {
        self.lasting("/sys")?;
        self.mount(Path::new("/sys"), Path::new("/sys"), Kind::Machine, true)?;
        for path in MASKED.map(Path::new).into_iter().filter(|path| path.is_dir()) {
            let empty = self.scratch_directory(Meta {
                mode: 0o755,
                ..Meta::default()
            })?;
            self.mount(path, &empty, Kind::Plain, true)?;
        }
        Ok(())
    }

    fn processes(&mut self) -> Result<(), Failed> {
        let directory = self.view.farm.fresh();
        for link in process::make_names(&directory).map_err(doing("make /proc"))? {
            let meta = Meta {
                mode: 0o777,
                ..Meta::default()
            };
            self.know(&directory.join(link), meta)?;
        }
        self.know(
            &directory,
            Meta {
                mode: 0o555,
                ..Meta::default()
            },
        )?;
        self.lasting("/proc")?;
        self.mount(Path::new("/proc"), &directory, Kind::Processes, false)
    }

    fn names(&mut self, spec: &RunSpec) -> Result<(), Failed> {
        let name = &spec.hostname;
        let hosts = format!("127.0.0.1\tlocalhost {name}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
        let resolver = fs::read("/etc/resolv.conf").unwrap_or_default();
        for (name, contents) in [("hosts", hosts.as_bytes()), ("resolv.conf", &resolver)] {
            let file = self.view.farm.fresh();
            fs::write(&file, contents).map_err(doing(format!("write {name}")))?;
            self.know(
                &file,
                Meta {
                    mode: 0o644,
                    ..Meta::default()
                },
            )?;
            self.mount(&Path::new("/etc").join(name), &file, Kind::Plain, true)?;
        }
        Ok(())
    }

    /// A mount that the run asks for.
    fn wanted(&mut self, Mount { target, kind }: &Mount, number: usize) -> Result<(), Failed> {
        match kind {
            MountKind::Bind { source, read_only } => {
                kept::recall(source, &self.view.farm.owners);
                if !read_only {
                    self.view.keeps.push(source.clone());
                }
                self.mount(target, source, Kind::Plain, *read_only)
            }
            MountKind::Layers {
                layers,
                source,
                writable,
            } => {
                let shown = source.display();
                let found = layers.tree.resolve(source, true).map_err(io::Error::other);
                let found = found.map_err(doing(format!("find {shown} to mount")))?;
                let directory = self.view.farm.fresh();
                let planted = self
                    .view
                    .farm
                    .plant(&layers.tree, &found.path, &directory, &layers.contents);
                planted.map_err(doing(format!("find {shown} to mount")))?;
                let is_directory = found
                    .node
                    .is_some_and(|node| node.kind == crate::tree::Kind::Directory);
                let place = match found.path.file_name().filter(|_| !is_directory) {
                    Some(name) => directory.join(name),
                    None => directory,
                };
                self.mount(target, &place, Kind::Plain, !writable)
            }
            MountKind::Tmpfs { mode, .. } => {
                let directory = self.scratch_directory(Meta {
                    mode: *mode,
                    ..Meta::default()
                })?;
                self.mount(target, &directory, Kind::Plain, false)
            }
            MountKind::File {
                contents,
                mode,
                uid,
                gid,
            } => {
                let file =
                    in_memory(&format!("file{number}"), contents).map_err(doing("keep a file in memory"))?;
                let path = PathBuf::from(fd_path(&file));
                let stat = statx(&file, "", AtFlags::EMPTY_PATH, FIELDS)
                    .map_err(doing("look at a file in memory"))?;
                let meta = Meta {
                    mode: mode & 0o777,
                    uid: *uid,
                    gid: *gid,
                    ..Meta::default()
                };
                self.view.farm.owners.set(key(&stat), meta);
                self.mount(target, &path, Kind::Plain, true)
            }
        }
    }

    fn scratch_directory(&self, meta: Meta) -> Result<PathBuf, Failed> {
        let directory = self.view.farm.fresh();
        fs::create_dir(&directory).map_err(doing(format!("make {}", directory.display())))?;
        self.know(&directory, meta)?;
        Ok(directory)
    }

    /// Says whose a file of ours is.
    fn know(&self, path: &Path, meta: Meta) -> Result<(), Failed> {
        let stat = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, FIELDS);
        let stat = stat.map_err(doing(format!("look at {}", path.display())))?;
        self.view.farm.owners.set(key(&stat), meta);
        Ok(())
    }

    /// Makes a directory that stays, if it is not there: images get `/dev`, `/proc` and `/sys` from their first RUN.
    fn lasting(&mut self, path: &str) -> Result<(), Failed> {
        let before = self.view.undo.len();
        let made = self.find_or_make(Path::new(path), Shape::Directory);
        made.map_err(doing(format!("make {path}")))?;
        for made in self.view.undo.split_off(before) {
            if let Undo::Made { parent, name, .. } = made {
                self.view
                    .touch_entry(&parent, &name, Extent::Itself)
                    .map_err(doing(format!("make {path}")))?;
            }
        }
        Ok(())
    }

    /// Shows what is at a path of this machine at a path of the root.
    fn mount(&mut self, target: &Path, source: &Path, kind: Kind, read_only: bool) -> Result<(), Failed> {
        let shown = target.display();
        let shape = match fs::metadata(source)
            .map_err(doing(format!("mount {}", source.display())))?
            .is_dir()
        {
            true => Shape::Directory,
            false => Shape::File,
        };
        let point = self.find_or_make(target, shape);
        let (above, cover) = point.map_err(doing(format!("make the mount point {shown}")))?;
        let is_directory = if shape == Shape::Directory {
            cover.is_directory()
        } else {
            !cover.is_directory()
        };
        if !is_directory {
            return Err((format!("mount on {shown}"), Errno::NOTDIR.into()));
        }
        let path = self
            .view
            .whole_path(&cover)
            .map_err(doing(format!("mount on {shown}")))?;
        let mounted = self
            .view
            .mounts
            .add(source, kind, read_only, (above, &cover, path));
        self.view.directories.forget();
        mounted.map_err(doing(format!("mount on {shown}")))
    }
}

/// A file that is nowhere on the disk, and does not change any more.
fn in_memory(name: &str, contents: &[u8]) -> io::Result<fs::File> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = fs::File::from(file);
    file.write_all(contents)?;
    rustix::fs::fchmod(&file, Mode::RWXU)?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(file)
}
