//! Names and stats of a directory, on all cores.

use std::{
    ffi::{OsStr, OsString},
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::SystemTime,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, readlinkat, statat},
    io::Errno,
};

use super::{
    Filter, ScanError,
    found::{Found, Listing, Names, Scanned},
};

/// As many names as one thread looks at before another may help.
const BATCH: usize = 256;

/// All names and stats of a directory.
pub(super) fn walk(root: &Path, filter: &dyn Filter, threads: usize) -> Result<Scanned, ScanError> {
    let began = SystemTime::now();
    let scan = Scan {
        root,
        filter,
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
    Ok(Scanned::new(root, stat, found, began))
}

/// What several threads do together.
struct Scan<'a> {
    root: &'a Path,
    filter: &'a dyn Filter,
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
    Look(Arc<Directory>, Names),
}

struct Directory {
    path: PathBuf,
    descriptor: OwnedFd,
}

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
        let mut names = Names::default();
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(ScanError::io(&place))?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            names.push(entry.file_name(), entry.file_type());
            if names.len() == BATCH {
                self.add(Job::Look(Arc::clone(&directory), std::mem::take(&mut names)));
            }
        }
        self.look(&directory, names, listings)
    }

    fn look(
        &self,
        directory: &Directory,
        names: Names,
        listings: &mut Vec<Listing>,
    ) -> Result<(), ScanError> {
        let mut found = Vec::with_capacity(names.len());
        let mut path = directory.path.clone();
        for number in 0..names.len() {
            path.push(OsStr::from_bytes(names.get(number).0.to_bytes()));
            found.extend(self.entry(directory, &path, &names, number)?);
            path.pop();
        }
        listings.push(Listing {
            directory: path,
            names,
            found,
        });
        Ok(())
    }

    fn entry(
        &self,
        directory: &Directory,
        path: &Path,
        names: &Names,
        number: usize,
    ) -> Result<Option<Found>, ScanError> {
        let (name, kind) = names.get(number);
        let left_out = self.filter.skips(path);
        let may_be_directory = matches!(kind, FileType::Directory | FileType::Unknown);
        if left_out && !(may_be_directory && self.filter.may_descend(path)) {
            return Ok(None);
        }
        let place = || self.root.join(path);
        let stat = match statat(&directory.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Removed meanwhile.
            Err(Errno::NOENT) => return Ok(None),
            stat => stat.map_err(|error| ScanError::io(place())(error))?,
        };
        let mut target = None;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.add(Job::Read(path.to_owned())),
            FileType::Socket | FileType::Unknown => return Ok(None),
            _ if left_out => return Ok(None),
            FileType::Symlink => {
                let read = readlinkat(&directory.descriptor, name, Vec::new());
                let read = read.map_err(|error| ScanError::io(place())(error))?;
                target = Some(OsString::from_vec(read.into_bytes()));
            }
            _ => {}
        }
        Ok(Some(Found {
            name: number,
            stat,
            target,
            left_out,
        }))
    }
}
