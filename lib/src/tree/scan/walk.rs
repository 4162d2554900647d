//! Names and stats of a directory, on all cores.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{CStr, CString, OsStr, OsString},
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, Stat, major, minor, openat, readlinkat, statat},
    io::Errno,
};

use super::{Filter, ScanError, StatCache, cache::Seen};
use crate::tree::{
    Content, Kind, Metadata, Node, Origin, Tree,
    inodes::{Entries, Entry},
};

/// As many names as one thread looks at before another may help.
const BATCH: usize = 256;

/// The tree of a directory, and which records of the cache it uses.
pub(super) fn walk(
    root: &Path,
    filter: &dyn Filter,
    cache: &StatCache,
    threads: usize,
) -> Result<(Tree, Vec<usize>), ScanError> {
    let scan = Scan {
        root,
        filter,
        cache,
        jobs: Mutex::default(),
        more: Condvar::new(),
    };
    scan.lock().waiting.push(Job::Read(PathBuf::new()));
    let found = thread::scope(|scope| {
        let threads: Vec<_> = (1..threads).map(|_| scope.spawn(|| scan.work())).collect();
        let mut found = scan.work();
        for thread in threads {
            // A panic there is one here.
            found.extend(
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        found
    });
    if let Some(error) = scan.lock().failed.take() {
        return Err(error);
    }
    let stat = statat(CWD, root, AtFlags::empty()).map_err(ScanError::io(root))?;
    let node = Node {
        metadata: metadata(&stat),
        kind: Kind::Directory,
    };
    let (entries, used) = assemble(found);
    Ok((
        Tree {
            root: Entry::directory(Arc::new(node), entries),
        },
        used,
    ))
}

/// What several threads do together.
struct Scan<'a> {
    root: &'a Path,
    filter: &'a dyn Filter,
    cache: &'a StatCache,
    jobs: Mutex<Jobs>,
    more: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: Vec<Job>,
    /// Threads at work, which may add to `waiting`.
    busy: usize,
    failed: Option<ScanError>,
}

enum Job {
    /// Read a directory.
    Read(PathBuf),
    /// Look at some of its entries.
    Look(Arc<Directory>, Vec<(CString, FileType)>),
}

struct Directory {
    path: PathBuf,
    descriptor: OwnedFd,
}

/// A name in a directory.
struct Found {
    name: Arc<OsStr>,
    node: Node,
    /// Device and inode number, if it has other names.
    inode: Option<(u64, u64)>,
    /// The record of the cache that knows it.
    record: Option<usize>,
    /// Left out, but for the sake of what may be below.
    left_out: bool,
}

type Listing = (PathBuf, Vec<Found>);

impl Scan<'_> {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread: takes jobs until all are done or one has failed.
    fn work(&self) -> Vec<Listing> {
        let mut listings = Vec::new();
        while let Some(job) = self.take() {
            let done = match job {
                Job::Read(path) => self.read(path, &mut listings),
                Job::Look(directory, names) => self.look(&directory, names, &mut listings),
            };
            let mut jobs = self.lock();
            jobs.busy -= 1;
            if let Err(error) = done {
                jobs.failed.get_or_insert(error);
            }
            if jobs.failed.is_some() {
                jobs.waiting.clear();
            }
            drop(jobs);
            self.more.notify_all();
        }
        listings
    }

    fn take(&self) -> Option<Job> {
        let mut jobs = self.lock();
        loop {
            if let Some(job) = jobs.waiting.pop() {
                jobs.busy += 1;
                return Some(job);
            }
            if jobs.busy == 0 {
                return None;
            }
            jobs = self.more.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn add(&self, job: Job) {
        self.lock().waiting.push(job);
        self.more.notify_one();
    }

    fn read(&self, path: PathBuf, listings: &mut Vec<Listing>) -> Result<(), ScanError> {
        let is_root = path.as_os_str().is_empty();
        let place = if is_root {
            self.root.to_owned()
        } else {
            self.root.join(&path)
        };
        let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if !is_root {
            flags |= OFlags::NOFOLLOW;
        }
        let descriptor = openat(CWD, &place, flags, Mode::empty()).map_err(ScanError::io(&place))?;
        let directory = Arc::new(Directory { path, descriptor });
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut entries = RawDir::new(&directory.descriptor, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(ScanError::io(&place))?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            names.push((entry.file_name().to_owned(), entry.file_type()));
            if names.len() == BATCH {
                self.add(Job::Look(Arc::clone(&directory), std::mem::take(&mut names)));
            }
        }
        self.look(&directory, names, listings)
    }

    fn look(
        &self,
        directory: &Directory,
        names: Vec<(CString, FileType)>,
        listings: &mut Vec<Listing>,
    ) -> Result<(), ScanError> {
        let mut listing = Vec::with_capacity(names.len());
        for (name, kind) in &names {
            if let Some(found) = self.entry(directory, name, *kind)? {
                listing.push(found);
            }
        }
        listings.push((directory.path.clone(), listing));
        Ok(())
    }

    fn entry(&self, directory: &Directory, name: &CStr, kind: FileType) -> Result<Option<Found>, ScanError> {
        let path = directory.path.join(OsStr::from_bytes(name.to_bytes()));
        let left_out = self.filter.skips(&path);
        let may_be_directory = matches!(kind, FileType::Directory | FileType::Unknown);
        if left_out && !(may_be_directory && self.filter.may_descend(&path)) {
            return Ok(None);
        }
        let place = self.root.join(&path);
        let stat = match statat(&directory.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Removed meanwhile.
            Err(Errno::NOENT) => return Ok(None),
            stat => stat.map_err(ScanError::io(&place))?,
        };
        let record = self.cache.get(&Seen::new(&stat));
        let digest = record.map(|(_, digest)| digest);
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.add(Job::Read(path));
                Kind::Directory
            }
            _ if left_out => return Ok(None),
            FileType::RegularFile => Kind::File(Content {
                size: stat.st_size as u64,
                digest,
                origin: Origin::Disk(place.into()),
            }),
            FileType::Symlink => {
                let target =
                    readlinkat(&directory.descriptor, name, Vec::new()).map_err(ScanError::io(&place))?;
                Kind::Symlink(OsString::from_vec(target.into_bytes()))
            }
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::CharDevice {
                major: major(stat.st_rdev),
                minor: minor(stat.st_rdev),
            },
            FileType::BlockDevice => Kind::BlockDevice {
                major: major(stat.st_rdev),
                minor: minor(stat.st_rdev),
            },
            _ => return Ok(None),
        };
        let linked = kind != Kind::Directory && stat.st_nlink > 1;
        Ok(Some(Found {
            name: OsStr::from_bytes(name.to_bytes()).into(),
            node: Node {
                metadata: metadata(&stat),
                kind,
            },
            inode: linked.then_some((stat.st_dev, stat.st_ino)),
            record: record.map(|(place, _)| place),
            left_out,
        }))
    }
}

fn metadata(stat: &Stat) -> Metadata {
    Metadata {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: stat.st_mtime,
        ..Metadata::default()
    }
}

/// Puts together what the threads found, from the innermost directories to the root; and says which records of the
/// cache are of use.
fn assemble(listings: Vec<Listing>) -> (Entries, Vec<usize>) {
    let mut found: BTreeMap<PathBuf, Vec<Found>> = BTreeMap::new();
    for (path, names) in listings {
        found.entry(path).or_default().extend(names);
    }
    let (mut used, mut linked, mut done) = (Vec::new(), HashMap::new(), HashMap::new());
    while let Some((path, mut names)) = found.pop_last() {
        names.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let entry = |found: Found| {
            used.extend(found.record);
            let is_directory = found.node.kind == Kind::Directory;
            let below = if is_directory {
                done.remove(&path.join(&*found.name))
            } else {
                None
            };
            if found.left_out && below.is_none() {
                return None;
            }
            let node = Arc::new(found.node);
            let node = match found.inode {
                Some(inode) => Arc::clone(linked.entry(inode).or_insert(node)),
                None => node,
            };
            Some((found.name, Entry::directory(node, below.unwrap_or_default())))
        };
        let entries: Entries = names.into_iter().filter_map(entry).collect();
        if !entries.is_empty() {
            done.insert(path, entries);
        }
    }
    (done.remove(Path::new("")).unwrap_or_default(), used)
}
