//! Digests of what the cache does not know, on all cores.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::SystemTime,
};

use rustix::fs::fstat;

use super::{
    ScanError,
    cache::{Record, Seen, is_racy},
};
use crate::{
    Digest, Hasher,
    tree::{Content, InodeId, Kind, Origin, Tree},
};

/// A file that was read.
pub(super) struct Hashed {
    pub(super) inode: InodeId,
    pub(super) digest: Digest,
    /// For the cache, if the file can be told from what it may become.
    pub(super) record: Option<Record>,
}

/// A file to read.
struct Wanted {
    inode: InodeId,
    file: Arc<Path>,
    size: u64,
}

/// Reads all files at and below some paths that have no digest.
pub(super) fn hash(tree: &Tree, paths: &[PathBuf], threads: usize) -> Result<Vec<Hashed>, ScanError> {
    let wanted = wanted(tree, paths);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Ok(Vec::with_capacity(wanted.len())));
    let work = || {
        let mut buffer = vec![0; 128 << 10];
        while let Some(wanted) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let hashed = hash_one(wanted, &mut buffer);
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *results, hashed) {
                (Ok(results), Ok(hashed)) => results.push(hashed),
                (Ok(_), Err(error)) => *results = Err(error),
                (Err(_), _) => return,
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(wanted.len()) {
            scope.spawn(work);
        }
        work();
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn wanted(tree: &Tree, paths: &[PathBuf]) -> Vec<Wanted> {
    let mut inodes = HashSet::new();
    let mut wanted = Vec::new();
    for found in paths.iter().flat_map(|path| tree.walk_at(path)) {
        if let Kind::File(Content {
            size,
            digest: None,
            origin: Origin::Disk(file),
        }) = &found.node.kind
            && inodes.insert(found.inode)
        {
            wanted.push(Wanted {
                inode: found.inode,
                file: Arc::clone(file),
                size: *size,
            });
        }
    }
    wanted
}

fn hash_one(Wanted { inode, file, size }: &Wanted, buffer: &mut [u8]) -> Result<Hashed, ScanError> {
    let failed = || ScanError::io::<io::Error>(&**file);
    let now = SystemTime::now();
    let mut open = File::open(file).map_err(failed())?;
    let before = fstat(&open).map_err(ScanError::io(&**file))?;
    let mut hasher = Hasher::new();
    loop {
        match open.read(buffer) {
            Ok(0) => break,
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed()(error)),
        }
    }
    let seen = Seen::new(&before);
    let after = fstat(&open).map_err(ScanError::io(&**file))?;
    if Seen::new(&after) != seen || u64::try_from(after.st_size) != Ok(*size) {
        return Err(ScanError::Changed(file.to_path_buf()));
    }
    let digest = hasher.finish();
    Ok(Hashed {
        inode: *inode,
        digest,
        record: (!is_racy(&before, now)).then_some(Record { seen, digest }),
    })
}
