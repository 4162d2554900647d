//! An upper directory to changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs::{self, File, FileType, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, major, minor, utimensat};

use super::{
    attributes,
    links::{Found, link},
    place::times,
    unpack::Whiteouts,
};
use crate::{
    Digest, Hasher,
    layer::{Error, belongs_to_image},
    tree::{Change, Content, Kind, Metadata, Node, Origin, Tree, What},
};

/// Makes a directory to be the upper one of an overlay mount over `lower`: the mount's root takes owner, mode and time
/// from it. Its parent has to exist.
///
/// Fit for a forked child, as [`scan_upper`] is.
///
/// # Errors
/// [`Error::Disk`].
pub fn make_upper(upper: &Path, lower: &Tree) -> Result<(), Error> {
    let make = || -> io::Result<()> {
        fs::create_dir(upper)?;
        if let Some(Node { metadata, .. }) = lower.get("") {
            lchown(upper, Some(metadata.uid), Some(metadata.gid))?;
            fs::set_permissions(upper, Permissions::from_mode(metadata.mode))?;
            attributes::set(upper, &metadata.xattrs)?;
            utimensat(CWD, upper, &times(metadata.mtime), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    };
    make().map_err(Error::disk("cannot create", upper))
}

/// The layer that an overlay's upper directory is, over `lower`: without what equals it (times to the second), and
/// with hard links. Sorted; all names of an inode are in it or none. Sockets and overlayfs's own attributes are left out;
/// an opaque directory becomes whiteouts, so that equal results have equal layers. Files are read only where everything
/// else about them is as it was; the contents of changes are on the disk, most without a digest.
///
/// A change of the root's time alone is none: make the upper directory with [`make_upper`].
///
/// Spawns no threads, and does not touch the environment, the working directory or the standard streams: fit for a
/// forked child.
///
/// # Errors
/// [`Error::Disk`], and [`Error::Overlay`] if the mount had `metacopy` or `redirect_dir` on.
pub fn scan_upper(upper: &Path, format: Whiteouts, lower: &Tree) -> Result<Vec<Change>, Error> {
    let mut scan = Scan {
        upper,
        format,
        lower,
        found: Vec::new(),
        directories: Vec::new(),
    };
    let (root, opaque) = scan.metadata(Path::new(""), &stat(upper)?)?;
    if let Some(old) = lower.get("")
        && old.metadata
            != (Metadata {
                mtime: old.metadata.mtime,
                ..root.clone()
            })
    {
        scan.push(
            PathBuf::new(),
            What::Node(Node {
                metadata: root,
                kind: Kind::Directory,
            }),
        );
    }
    scan.directories.push((PathBuf::new(), opaque));
    // Not by recursion: trees may be deeper than stacks.
    while let Some((path, opaque)) = scan.directories.pop() {
        scan.directory(&path, opaque)?;
    }
    scan.found.sort_by(|a, b| a.change.path.cmp(&b.change.path));
    Ok(link(scan.found))
}

/// Cuts the modification times of changed files on disk to whole seconds, as the layer has them: so that what runs on
/// top of a directory just written sees what it would see had it been unpacked from the layer.
///
/// # Errors
/// [`Error::Disk`].
pub fn set_times(upper: &Path, changes: &[Change]) -> Result<(), Error> {
    for change in changes {
        if let What::Node(node) = &change.what {
            let path = upper.join(&change.path);
            let last_access = Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            };
            let times = Timestamps {
                last_access,
                ..times(node.metadata.mtime)
            };
            utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(Error::disk("cannot set times of", path))?;
        }
    }
    Ok(())
}

struct Scan<'a> {
    upper: &'a Path,
    format: Whiteouts,
    lower: &'a Tree,
    found: Vec<Found>,
    /// Still to be read, and whether lower layers do not show in them.
    directories: Vec<(PathBuf, bool)>,
}

impl Scan<'_> {
    fn push(&mut self, path: PathBuf, what: What) {
        self.found.push(Found {
            change: Change { path, what },
            inode: None,
            equals: None,
        });
    }

    fn directory(&mut self, path: &Path, opaque: bool) -> Result<(), Error> {
        let place = self.upper.join(path);
        let failed = || Error::disk::<io::Error>("cannot read", &place);
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(&place).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let metadata = entry.metadata().map_err(failed())?;
            names.insert(entry.file_name(), metadata);
        }
        let lower = self.lower;
        let hidden: BTreeSet<OsString> = match opaque {
            true => lower.children(path).map(|(name, _)| name.to_owned()).collect(),
            false => BTreeSet::new(),
        };
        let all: BTreeSet<&OsStr> = names.keys().chain(&hidden).map(OsString::as_os_str).collect();
        for name in all {
            let below = path.join(name);
            match names.get(name) {
                Some(stat) => self.entry(below, stat, opaque)?,
                None => self.push(below, What::Whiteout),
            }
        }
        Ok(())
    }

    /// `hides`: nothing of the lower tree shows in the directory that this is in, nor in those below it.
    fn entry(&mut self, path: PathBuf, stat: &fs::Metadata, hides: bool) -> Result<(), Error> {
        let old = self.lower.get(&path);
        if is_nothing(stat.file_type(), stat.rdev()) {
            if old.is_some() {
                self.push(path, What::Whiteout);
            }
            return Ok(());
        }
        let (mut metadata, opaque) = self.metadata(&path, stat)?;
        if let Some(old) = old.filter(|_| self.format == Whiteouts::User) {
            // What cannot be seen in a user namespace cannot be changed in one.
            let hidden = old
                .metadata
                .xattrs
                .iter()
                .filter(|(name, _)| name.as_bytes().starts_with(b"trusted."));
            metadata
                .xattrs
                .extend(hidden.map(|(name, value)| (name.clone(), value.clone())));
        }
        let kind = self.kind(&path, stat)?;
        let node = Node { metadata, kind };
        if stat.is_dir() {
            let old = old.filter(|old| old.kind == Kind::Directory);
            if old != Some(&node) {
                self.push(path.clone(), What::Node(node));
            }
            self.directories.push((path, opaque || hides));
            return Ok(());
        }
        let same = old
            .map(|old| same(&self.upper.join(&path), old, &node))
            .transpose()?
            .unwrap_or(false);
        let equals = self.lower.inode(&path).filter(|_| same);
        let inode = (stat.nlink() > 1).then(|| (stat.dev(), stat.ino()));
        self.found.push(Found {
            change: Change {
                path,
                what: What::Node(node),
            },
            inode,
            equals,
        });
        Ok(())
    }

    /// What a file has, and whether it is an opaque directory.
    fn metadata(&self, path: &Path, stat: &fs::Metadata) -> Result<(Metadata, bool), Error> {
        let place = self.upper.join(path);
        let mut xattrs =
            attributes::read(&place).map_err(Error::disk("cannot read attributes of", &place))?;
        let opaque = xattrs
            .get(OsStr::new(self.format.opaque()))
            .is_some_and(|value| value == b"y");
        for attribute in ["metacopy", "redirect"] {
            let attribute = format!("{}{attribute}", self.format.prefix());
            if xattrs.contains_key(OsStr::new(&attribute)) {
                return Err(Error::Overlay {
                    path: path.to_owned(),
                    attribute,
                });
            }
        }
        xattrs.retain(|name, _| belongs_to_image(name));
        let (uid, gid, mtime) = (stat.uid(), stat.gid(), stat.mtime());
        Ok((
            Metadata {
                mode: stat.mode() & 0o7777,
                uid,
                gid,
                mtime,
                xattrs,
            },
            opaque,
        ))
    }

    fn kind(&self, path: &Path, stat: &fs::Metadata) -> Result<Kind, Error> {
        let (kind, rdev) = (stat.file_type(), stat.rdev());
        let place = self.upper.join(path);
        Ok(if kind.is_dir() {
            Kind::Directory
        } else if kind.is_symlink() {
            let target = fs::read_link(&place).map_err(Error::disk("cannot read", &place))?;
            Kind::Symlink(target.into_os_string())
        } else if kind.is_fifo() {
            Kind::Fifo
        } else if kind.is_char_device() {
            Kind::CharDevice {
                major: major(rdev),
                minor: minor(rdev),
            }
        } else if kind.is_block_device() {
            Kind::BlockDevice {
                major: major(rdev),
                minor: minor(rdev),
            }
        } else {
            Kind::File(Content {
                size: stat.len(),
                digest: None,
                origin: Origin::Disk(place.into()),
            })
        })
    }
}

/// Where a lower layer's name is hidden, or was and is nothing that a layer can hold.
fn is_nothing(kind: FileType, device: u64) -> bool {
    kind.is_socket() || kind.is_char_device() && device == 0
}

fn stat(path: &Path) -> Result<fs::Metadata, Error> {
    fs::symlink_metadata(path).map_err(Error::disk("cannot look at", path))
}

/// Whether the file at `path` is what it was. Reads it only if that is the question left.
pub(crate) fn same(path: &Path, old: &Node, new: &Node) -> Result<bool, Error> {
    if old.metadata != new.metadata {
        return Ok(false);
    }
    match (&old.kind, &new.kind) {
        (Kind::File(old), Kind::File(new)) => {
            Ok(old.size == new.size && old.digest.is_some() && old.digest == Some(digest(path)?))
        }
        (old, new) => Ok(old == new),
    }
}

fn digest(path: &Path) -> Result<Digest, Error> {
    let hash = || {
        let mut hasher = Hasher::new();
        io::copy(&mut File::open(path)?, &mut hasher)?;
        Ok::<_, io::Error>(hasher.finish())
    };
    hash().map_err(Error::disk("cannot read", path))
}
