//! A Tree made into a directory: directories are made anew, files are hard links to the contents that the store keeps.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, linkat, mknodat, openat, statx,
        symlinkat, unlinkat, utimensat,
    },
    io::Errno,
};

use super::owners::{FIELDS, Meta, Owners, key};
use crate::{
    Digest,
    layer::content_path,
    tree::{Content, InodeId, Kind, Node, Origin, Tree},
};

/// More threads would wait for the disk.
const MAX_THREADS: usize = 8;

/// What the disk says of everything that a run has.
pub(super) const MODE: Mode = Mode::RWXU;

/// Directories of the contents of layers, by diff ID; see [`content_path`].
pub type Contents = HashMap<Digest, PathBuf>;

/// A directory that is to be filled.
struct Job<'t> {
    path: PathBuf,
    node: &'t Node,
    files: Vec<(OsString, &'t Node, InodeId)>,
}

/// Makes what is at `start` of a tree in an empty directory: what a directory has becomes the directory's own; anything
/// else is in it by its name.
pub fn make(
    tree: &Tree,
    start: &Path,
    directory: &Path,
    contents: &Contents,
    owners: &Owners,
) -> io::Result<()> {
    let jobs = jobs(tree, start)?;
    let mut names: HashMap<InodeId, u32> = HashMap::new();
    for (_, _, inode) in jobs.iter().flat_map(|job| &job.files) {
        *names.entry(*inode).or_default() += 1;
    }
    for job in jobs.iter().skip(1) {
        let path = directory.join(&job.path);
        rustix::fs::mkdir(&path, MODE).map_err(|error| explain("make", &path, error))?;
    }
    let maker = Maker {
        directory,
        contents,
        owners,
        names: &names,
    };
    in_parallel(&jobs, &|job| maker.fill(job))?;
    // Last, since filling changes them.
    in_parallel(&jobs, &|job| maker.settle(job))
}

/// Directories before those in them.
fn jobs<'t>(tree: &'t Tree, start: &Path) -> io::Result<Vec<Job<'t>>> {
    let mut jobs: Vec<Job<'t>> = Vec::new();
    let mut numbers: HashMap<PathBuf, usize> = HashMap::new();
    let top = tree.get(start).ok_or(io::ErrorKind::NotFound)?;
    let parent = start.parent().filter(|_| top.kind != Kind::Directory);
    let base = parent.unwrap_or(start);
    if let Some(node) = parent.and_then(|parent| tree.get(parent)) {
        numbers.insert(PathBuf::new(), 0);
        jobs.push(Job {
            path: PathBuf::new(),
            node,
            files: Vec::new(),
        });
    }
    for found in tree.walk_at(start) {
        let path = found.path.strip_prefix(base).unwrap_or(&found.path);
        if found.node.kind == Kind::Directory {
            numbers.insert(path.to_owned(), jobs.len());
            jobs.push(Job {
                path: path.to_owned(),
                node: found.node,
                files: Vec::new(),
            });
        } else if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
            && let Some(job) = numbers.get(parent).and_then(|number| jobs.get_mut(*number))
        {
            job.files.push((name.to_owned(), found.node, found.inode));
        }
    }
    Ok(jobs)
}

/// Does something with each, on all cores; gives one of the errors if there are any.
fn in_parallel<T: Sync>(items: &[T], work: &(impl Fn(&T) -> io::Result<()> + Sync)) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let each = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item)?;
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS));
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(each)).collect();
        let own = each();
        let others = others
            .into_iter()
            .map(|other| other.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())));
        others.fold(own, Result::and)
    })
}

struct Maker<'a> {
    directory: &'a Path,
    contents: &'a Contents,
    owners: &'a Owners,
    names: &'a HashMap<InodeId, u32>,
}

impl Maker<'_> {
    fn fill(&self, job: &Job<'_>) -> io::Result<()> {
        let path = self.directory.join(&job.path);
        let directory = open_directory(&path).map_err(|error| explain("open", &path, error))?;
        let stat = statx(&directory, "", AtFlags::EMPTY_PATH, FIELDS)?;
        self.owners.set(key(&stat), Meta::of(job.node));
        for (name, node, inode) in &job.files {
            self.file(
                directory.as_fd(),
                name,
                node,
                self.names.get(inode).copied().unwrap_or(1),
            )
            .map_err(|error| with_path("make", &path.join(name), &error))?;
        }
        Ok(())
    }

    fn settle(&self, job: &Job<'_>) -> io::Result<()> {
        let path = self.directory.join(&job.path);
        utimensat(CWD, &path, &seconds(job.node.metadata.mtime), AtFlags::empty())
            .map_err(|error| explain("set times of", &path, error))
    }

    fn file(&self, parent: BorrowedFd<'_>, name: &OsStr, node: &Node, names: u32) -> io::Result<()> {
        let meta = Meta::of(node);
        match &node.kind {
            Kind::File(content) => return self.content(parent, name, node, content, names),
            kind => special(parent, name, kind)?,
        }
        utimensat(
            parent,
            name,
            &seconds(node.metadata.mtime),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        self.owners.set(key(&look(parent, name)?), meta);
        Ok(())
    }

    /// A link to what the store has; a copy where that cannot be.
    fn content(
        &self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        node: &Node,
        content: &Content,
        names: u32,
    ) -> io::Result<()> {
        let mtime = node.metadata.mtime;
        let mut meta = Meta::of(node);
        let source = match &content.origin {
            Origin::Layer { diff_id, offset } => {
                let root = self.contents.get(diff_id).ok_or(io::ErrorKind::NotFound)?;
                let source = content_path(root, *offset);
                if let Ok(()) = linkat(CWD, &source, parent, name, AtFlags::empty()) {
                    let stat = look(parent, name)?;
                    let time = (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec);
                    meta.shared = Some(names);
                    if stat.stx_size == content.size
                        && time == (mtime, 0)
                        && self.owners.claim(key(&stat), &meta)
                    {
                        return Ok(());
                    }
                    meta.shared = None;
                    unlinkat(parent, name, AtFlags::empty())?;
                }
                Some(source)
            }
            Origin::Disk(path) => Some(path.to_path_buf()),
            Origin::Memory(_) => None,
        };
        let mut file = create(parent, name)?;
        match (source, &content.origin) {
            (Some(source), _) => _ = io::copy(&mut File::open(source)?.take(content.size), &mut file)?,
            (None, Origin::Memory(bytes)) => file.write_all(bytes)?,
            (None, _) => {}
        }
        rustix::fs::futimens(&file, &seconds(mtime))?;
        self.owners.set(key(&look(parent, name)?), meta);
        Ok(())
    }
}

/// Makes what is no file with contents, nor a directory.
pub(super) fn special(parent: BorrowedFd<'_>, name: &OsStr, kind: &Kind) -> Result<(), Errno> {
    match kind {
        Kind::Symlink(target) => symlinkat(&**target, parent, name),
        Kind::Fifo => mknodat(parent, name, FileType::Fifo, MODE, 0),
        // A device cannot be made, and could not be opened.
        _ => create(parent, name).map(drop),
    }
}

fn create(parent: BorrowedFd<'_>, name: &OsStr) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, MODE).map(File::from)
}

fn open_directory(path: &Path) -> Result<rustix::fd::OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
}

fn look(parent: BorrowedFd<'_>, name: &OsStr) -> Result<rustix::fs::Statx, Errno> {
    statx(parent, name, AtFlags::SYMLINK_NOFOLLOW, FIELDS)
}

/// Whole seconds, as layers have them.
pub(super) fn seconds(mtime: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn explain(what: &str, path: &Path, error: Errno) -> io::Error {
    with_path(what, path, &error.into())
}

fn with_path(what: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {}: {error}", path.display()))
}

/// Makes the directory that [`make`] fills.
pub fn new_directory(path: &Path) -> io::Result<()> {
    fs::create_dir(path).map_err(|error| with_path("make", path, &error))
}
