//! Digests by what `stat` says, from one build to the next.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::Stat;

use crate::Digest;

/// Changes with the form.
const MAGIC: &[u8; 16] = b"rbuild stats 1\n\0";

/// Which file: device and inode number, such that records sort.
const KEY: usize = 16;
/// Its size and times.
const STAMP: usize = 32;
const DIGEST: usize = 32;
const RECORD: usize = KEY + STAMP + DIGEST;

type Key = [u8; KEY];
type Stamp = [u8; STAMP];

/// A file as `stat` sees it. Whoever writes to it changes this: the kernel sets the change time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    key: Key,
    stamp: Stamp,
}

/// What a file's digest was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) seen: Seen,
    pub(super) digest: Digest,
}

/// Digests of files by their inode, size and times, for the next time.
///
/// The file is a sorted array of records, which are looked up as they lie: loading it takes no longer than reading it.
#[derive(Clone, Debug, Default)]
pub struct StatCache {
    file: Option<PathBuf>,
    /// Read when they are first asked for.
    records: OnceLock<Vec<u8>>,
    news: BTreeMap<Key, (Stamp, Digest)>,
}

impl Seen {
    pub(super) fn new(stat: &Stat) -> Self {
        let mut key = [0; KEY];
        key[..8].copy_from_slice(&stat.st_dev.to_be_bytes());
        key[8..].copy_from_slice(&stat.st_ino.to_be_bytes());
        let mut stamp = [0; STAMP];
        stamp[..8].copy_from_slice(&stat.st_size.to_be_bytes());
        stamp[8..16].copy_from_slice(&stat.st_mtime.to_be_bytes());
        stamp[16..24].copy_from_slice(&stat.st_ctime.to_be_bytes());
        stamp[24..28].copy_from_slice(&(stat.st_mtime_nsec as u32).to_be_bytes());
        stamp[28..32].copy_from_slice(&(stat.st_ctime_nsec as u32).to_be_bytes());
        Self { key, stamp }
    }

    /// For digests.
    pub(super) fn to_bytes(self) -> [u8; KEY + STAMP] {
        let mut bytes = [0; KEY + STAMP];
        bytes[..KEY].copy_from_slice(&self.key);
        bytes[KEY..].copy_from_slice(&self.stamp);
        bytes
    }
}

/// Whether a file's times are so recent that it could be written to without changing them: clocks tick, and files
/// written within one tick have equal times.
pub(super) fn is_racy(stat: &Stat, now: SystemTime) -> bool {
    let coarse = stat.st_mtime_nsec == 0 && stat.st_ctime_nsec == 0;
    // Kernels tick at 100 Hz or faster; the coarsest file systems count in two seconds.
    let tick = if coarse {
        Duration::from_secs(2)
    } else {
        Duration::from_millis(20)
    };
    let time = |seconds: i64, nanos: u64| {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        UNIX_EPOCH.checked_add(Duration::new(seconds, nanos as u32))
    };
    let times = [
        time(stat.st_mtime, stat.st_mtime_nsec),
        time(stat.st_ctime, stat.st_ctime_nsec),
    ];
    !times.iter().all(|time| {
        time.and_then(|time| time.checked_add(tick))
            .is_some_and(|time| time < now)
    })
}

impl StatCache {
    /// What [`Context::save_cache`](super::Context::save_cache) wrote; empty if there is no such file, or it is damaged. The
    /// file is read when that is asked for.
    pub fn load(file: &Path) -> Self {
        Self {
            file: Some(file.to_owned()),
            ..Self::default()
        }
    }

    fn records(&self) -> &[u8] {
        self.records.get_or_init(|| {
            let bytes = self.file.as_ref().and_then(|file| fs::read(file).ok());
            bytes.and_then(records).unwrap_or_default()
        })
    }

    /// The digest of a file that is as it was, and its place.
    pub(super) fn get(&self, seen: &Seen) -> Option<(usize, Digest)> {
        let (mut low, mut high) = (0, self.records().len() / RECORD);
        while low < high {
            let middle = low.midpoint(high);
            let (key, stamp, digest) = self.record(middle)?;
            match key.cmp(&seen.key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return (*stamp == seen.stamp).then_some((middle, digest)),
            }
        }
        None
    }

    /// Takes note of new digests.
    pub(super) fn learn(&mut self, records: impl Iterator<Item = Record>) {
        self.news
            .extend(records.map(|record| (record.seen.key, (record.seen.stamp, record.digest))));
    }

    /// Writes it all, if there is news. `used` are the places of files that are still there.
    pub(super) fn save(&self, file: &Path, used: &[usize]) -> io::Result<()> {
        if self.news.is_empty() {
            return Ok(());
        }
        let mut bytes = MAGIC.to_vec();
        for (key, (stamp, digest)) in self.kept(used) {
            bytes.extend_from_slice(&key);
            bytes.extend_from_slice(&stamp);
            bytes.extend_from_slice(digest.as_bytes());
        }
        bytes.extend_from_slice(Digest::of(&bytes).as_bytes());
        let directory = file.parent().unwrap_or(Path::new("."));
        let mut new = tempfile::NamedTempFile::new_in(directory)?;
        new.write_all(&bytes)?;
        new.persist(file)?;
        Ok(())
    }

    /// What goes into the file: the news, what is still of use, and what may be of use to a scan that leaves out
    /// something else, if that is not the larger part.
    fn kept(&self, used: &[usize]) -> BTreeMap<Key, (Stamp, Digest)> {
        let count = self.records().len() / RECORD;
        let all: Vec<usize> = (0..count).collect();
        let known = if count <= 2 * (used.len() + self.news.len()) {
            &all
        } else {
            used
        };
        let known = known.iter().filter_map(|at| self.record(*at));
        let mut kept: BTreeMap<_, _> = known
            .map(|(key, stamp, digest)| (*key, (*stamp, digest)))
            .collect();
        kept.extend(&self.news);
        kept
    }

    fn record(&self, at: usize) -> Option<(&Key, &Stamp, Digest)> {
        let bytes = self.records().get(at * RECORD..(at + 1) * RECORD)?;
        let (key, rest) = bytes.split_first_chunk()?;
        let (stamp, rest) = rest.split_first_chunk()?;
        Some((key, stamp, Digest::from_bytes(*rest.first_chunk()?)))
    }
}

/// The records in a file, if it is one of ours and undamaged.
fn records(mut file: Vec<u8>) -> Option<Vec<u8>> {
    let (bytes, digest) = file.split_last_chunk::<DIGEST>()?;
    let fine = bytes.starts_with(MAGIC)
        && (bytes.len() - MAGIC.len()).is_multiple_of(RECORD)
        && Digest::of(bytes).as_bytes() == digest;
    let length = bytes.len();
    fine.then(|| {
        file.truncate(length);
        file.drain(..MAGIC.len());
        file
    })
}
