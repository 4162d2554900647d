//! Mount points: where they are, and how those that had to be made go away again.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Component, Path},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps},
    io::Errno,
    mount::UnmountFlags,
};

/// As many symbolic links as the kernel follows.
const LINK_LIMIT: usize = 40;

/// What a mount point must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::exec) enum Shape {
    Directory,
    File,
}

/// The mount points of a run.
pub(in crate::exec) struct Places {
    root: OwnedFd,
    made: Vec<Made>,
}

/// A mount point that was not there before.
struct Made {
    parent: OwnedFd,
    name: OsString,
    inode: u64,
}

impl Places {
    /// Mount points in this root.
    pub fn new(root: OwnedFd) -> Self {
        Self {
            root,
            made: Vec::new(),
        }
    }

    /// A mount point that stays if it has to be made: images get `/dev`, `/proc` and `/sys` from their first RUN.
    pub fn lasting(&mut self, path: &str) -> io::Result<OwnedFd> {
        let before = self.made.len();
        let place = self.find_or_make(Path::new(path), Shape::Directory);
        self.made.truncate(before);
        place
    }

    /// What a path names in the root, as it is mounted now; what is missing is made. Symbolic links are followed, and
    /// lead nowhere outside the root, `..` neither.
    pub fn find_or_make(&mut self, path: &Path, shape: Shape) -> io::Result<OwnedFd> {
        let mut todo = names(path);
        let mut way: Vec<OwnedFd> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            if name == ".." {
                way.pop();
                continue;
            }
            let here = way.last().unwrap_or(&self.root);
            let next = match open(here, &name) {
                Err(Errno::NOENT) => {
                    let made = make(
                        here,
                        &name,
                        if todo.is_empty() { shape } else { Shape::Directory },
                    )?;
                    self.made.push(made);
                    open(here, &name)
                }
                found => found,
            }?;
            if !is_link(&next)? {
                way.push(next);
                continue;
            }
            links += 1;
            if links > LINK_LIMIT {
                return Err(Errno::LOOP.into());
            }
            let target = OsString::from_vec(rustix::fs::readlinkat(&next, "", Vec::new())?.into_bytes());
            if target.as_encoded_bytes().starts_with(b"/") {
                way.clear();
            }
            let mut names = names(Path::new(&target));
            names.append(&mut todo);
            todo = names;
        }
        way.pop().map_or_else(|| self.root.try_clone(), Ok)
    }

    /// Unmounts and removes the mount points that had to be made, where nobody has put anything into them. Their
    /// directories keep the time that the run left them with.
    pub fn remove_made(&mut self) {
        for made in self.made.drain(..).rev() {
            // A failure leaves an empty file or directory in the layer; the run's result counts for more.
            let _ = made.remove();
        }
    }
}

impl Made {
    fn remove(&self) -> rustix::io::Result<()> {
        rustix::process::fchdir(&self.parent)?;
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        while rustix::mount::unmount(self.name.as_os_str(), flags).is_ok() {}
        let stat = rustix::fs::statat(&self.parent, self.name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)?;
        let file_type = FileType::from_raw_mode(stat.st_mode);
        if stat.st_ino != self.inode || (file_type.is_file() && stat.st_size != 0) {
            return Ok(());
        }
        let time = modified(&self.parent)?;
        let flags = if file_type.is_dir() {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        rustix::fs::unlinkat(&self.parent, self.name.as_os_str(), flags)?;
        set_modified(&self.parent, time)
    }
}

/// Makes a mount point. Its directory keeps the time that it had.
fn make(parent: &OwnedFd, name: &OsStr, shape: Shape) -> io::Result<Made> {
    let parent = parent.try_clone()?;
    let time = modified(&parent)?;
    match shape {
        Shape::Directory => rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?,
        Shape::File => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644))?;
        }
    }
    set_modified(&parent, time)?;
    let inode = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?.st_ino;
    Ok(Made {
        parent,
        name: name.to_owned(),
        inode,
    })
}

fn names(path: &Path) -> VecDeque<OsString> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().filter_map(name).collect()
}

fn open(parent: &OwnedFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(
        parent,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

fn is_link(place: impl AsFd) -> rustix::io::Result<bool> {
    let stat = rustix::fs::statat(place, "", AtFlags::EMPTY_PATH)?;
    Ok(FileType::from_raw_mode(stat.st_mode).is_symlink())
}

fn modified(directory: &OwnedFd) -> rustix::io::Result<Timespec> {
    let stat = rustix::fs::statat(directory, "", AtFlags::EMPTY_PATH)?;
    Ok(Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: stat.st_mtime_nsec as _,
    })
}

fn set_modified(directory: &OwnedFd, time: Timespec) -> rustix::io::Result<()> {
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT,
        },
        last_modification: time,
    };
    rustix::fs::utimensat(directory, ".", &times, AtFlags::empty())
}
