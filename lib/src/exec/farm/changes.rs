//! The layer that a run has made: what differs at the paths that it touched.

use std::{
    collections::BTreeSet,
    fs::{self},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Statx, openat, openat2, readlinkat, renameat,
        statx, utimensat,
    },
    io::Errno,
};

use super::{
    Contents, Farm,
    access::file_type,
    copy_up::without_a_trace,
    make::{seconds, special},
    owners::{FIELDS, Key, Meta, key},
    touched::Extent,
};
use crate::{
    layer::{self, Error, Found, Standing},
    tree::{Change, Content, Kind, Node, Origin, Tree, What},
};

impl Farm {
    /// What a run has changed of `lower`, the tree that the farm was made of; nothing counts as touched afterwards. As
    /// [`scan_upper`](layer::scan_upper) says it of an overlay, in every detail.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn changes(&self, lower: &Tree) -> Result<Vec<Change>, Error> {
        let root = self.root();
        let descriptor = rustix::fs::openat(CWD, &root, PLACE, Mode::empty())
            .map_err(Error::disk("cannot open", &root))?;
        let compare = Compare {
            farm: self,
            lower,
            path: root,
            root: descriptor,
        };
        let mut found = Vec::new();
        let paths = self.touched_paths(lower)?;
        for path in &paths {
            found.extend(compare.at(path.clone())?);
        }
        self.touched.done(paths);
        Ok(layer::link(found))
    }

    /// Makes the farm what it would be if it was made anew of `tree`, to which the last [`changes`](Self::changes) led,
    /// and whose layers' contents are these.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn advance(&self, tree: &Tree, contents: &Contents) -> Result<(), Error> {
        let scratch = self.scratch();
        fs::remove_dir_all(&scratch)
            .and_then(|()| fs::create_dir(&scratch))
            .map_err(Error::disk("cannot empty", &scratch))?;
        let path = self.root();
        let root = rustix::fs::openat(CWD, &path, PLACE, Mode::empty())
            .map_err(Error::disk("cannot open", &path))?;
        let compare = Compare {
            farm: self,
            lower: tree,
            path,
            root,
        };
        // Entries before the directories that they are in, whose times come last.
        for path in self.touched.take_done().iter().rev() {
            compare.settle(path, contents)?;
        }
        self.owners.all_lower();
        Ok(())
    }

    /// All paths to look at, sorted.
    fn touched_paths(&self, lower: &Tree) -> Result<BTreeSet<PathBuf>, Error> {
        let mut paths = BTreeSet::new();
        for (path, extent) in self.touched.take() {
            if extent == Extent::Below {
                paths.extend(lower.walk_at(&path).map(|found| found.path));
                self.list(&path, &mut paths)?;
            }
            paths.insert(path);
        }
        Ok(paths)
    }

    /// Everything below a directory on the disk.
    fn list(&self, path: &Path, paths: &mut BTreeSet<PathBuf>) -> Result<(), Error> {
        let mut directories = vec![path.to_owned()];
        while let Some(directory) = directories.pop() {
            let place = self.root().join(&directory);
            if !fs::symlink_metadata(&place).is_ok_and(|stat| stat.is_dir()) {
                continue;
            }
            let failed = || Error::disk::<io::Error>("cannot read", &place);
            for entry in fs::read_dir(&place).map_err(failed())? {
                let entry = entry.map_err(failed())?;
                let below = directory.join(entry.file_name());
                if entry.file_type().map_err(failed())?.is_dir() {
                    directories.push(below.clone());
                }
                paths.insert(below);
            }
        }
        Ok(())
    }

    /// Puts the contents of a layer that was just made of this farm's files into the directory that the store keeps
    /// them in; `changes` are those of the layer's index.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn share(&self, changes: &[Change], directory: &Path) -> Result<(), Error> {
        layer::collect_contents(&self.root(), changes, directory, &mut |file| {
            let Ok(stat) = statx(CWD, file, AtFlags::SYMLINK_NOFOLLOW, FIELDS) else {
                return Standing::Busy;
            };
            match self.owners.get(key(&stat)) {
                Some(Meta { shared: Some(_), .. }) => Standing::Shared,
                _ if stat.stx_nlink == 1 => Standing::Free,
                _ => Standing::Busy,
            }
        })
    }
}

const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The lower tree and the farm, side by side.
struct Compare<'a> {
    farm: &'a Farm,
    lower: &'a Tree,
    path: PathBuf,
    root: OwnedFd,
}

impl Compare<'_> {
    /// What is different at a path, or may turn out to be.
    fn at(&self, path: PathBuf) -> Result<Option<Found>, Error> {
        let old = self.lower.get(&path);
        let Some((node, inode)) = self.now(&path)? else {
            let parent = path.parent().unwrap_or(Path::new(""));
            let gone = old.is_some() && self.open(parent)?.is_some_and(|(_, stat)| is_directory(&stat));
            return Ok(gone.then(|| found(path, What::Whiteout)));
        };
        if node.kind == Kind::Directory {
            let mut old = old.filter(|old| old.kind == Kind::Directory).cloned();
            if let Some(old) = old.as_mut().filter(|_| path.as_os_str().is_empty()) {
                // A change of the root's time alone is none.
                old.metadata.mtime = node.metadata.mtime;
            }
            return Ok((old.as_ref() != Some(&node)).then(|| found(path, What::Node(node))));
        }
        let same = match old {
            Some(old) => layer::same(&self.path.join(&path), old, &node)?,
            None => false,
        };
        let equals = self.lower.inode(&path).filter(|_| same);
        Ok(Some(Found {
            change: Change {
                path,
                what: What::Node(node),
            },
            inode: inode.map(|key| (key.device, key.number)),
            equals,
        }))
    }

    /// Gives a path what the tree says of it.
    fn settle(&self, path: &Path, contents: &Contents) -> Result<(), Error> {
        let Some((file, stat)) = self.open(path)? else {
            return Ok(());
        };
        let place = self.path.join(path);
        let Some(node) = self.lower.get(path) else {
            // A socket, which no layer has.
            drop(file);
            return fs::remove_file(&place).map_err(Error::disk("cannot remove", place));
        };
        let mtime = node.metadata.mtime;
        let key = key(&stat);
        if let Kind::File(Content {
            origin: Origin::Layer { diff_id, offset },
            ..
        }) = &node.kind
            && let Some(meta) = self.farm.owners.get(key)
            && let Some(root) = contents.get(diff_id)
        {
            return self.share(&place, &stat, meta, &layer::content_path(root, *offset));
        }
        drop(file);
        if !matches!(node.kind, Kind::Directory | Kind::File(_)) && stat.stx_nlink > 1 {
            self.part(&place, &stat, &node.kind)?;
        }
        set_time(&place, mtime)
    }

    /// Makes a link, pipe or device with several names one with a single name: who changes one of them in a later layer
    /// parts it from the others.
    fn part(&self, place: &Path, stat: &Statx, kind: &Kind) -> Result<(), Error> {
        let own = self.farm.fresh();
        let made = || -> Result<(), Errno> {
            special(CWD, own.as_os_str(), kind)?;
            let made = statx(CWD, &own, AtFlags::SYMLINK_NOFOLLOW, FIELDS)?;
            if let Some(meta) = self.farm.owners.get(key(stat)) {
                self.farm.owners.set(key(&made), meta);
            }
            let parent = openat(CWD, place.parent().unwrap_or(place), PLACE, Mode::empty())?;
            without_a_trace(&parent, || renameat(CWD, &own, CWD, place))
        };
        made().map_err(Error::disk("cannot make anew", place))
    }

    /// Makes a name one of a file of the store, which has its contents already. Names that shared a file until now share
    /// that one; who changes one of them parts it from the others.
    fn share(&self, place: &Path, stat: &Statx, meta: Meta, content: &Path) -> Result<(), Error> {
        let kept = statx(CWD, content, AtFlags::SYMLINK_NOFOLLOW, FIELDS)
            .map_err(Error::disk("cannot look at", content))?;
        let known = self.farm.owners.get(key(&kept)).and_then(|known| known.shared);
        if key(&kept) == key(stat) {
            let meta = Meta {
                shared: Some(known.unwrap_or(1)),
                ..meta
            };
            self.farm.owners.set(key(&kept), meta);
            return Ok(());
        }
        let link = self.farm.fresh();
        fs::hard_link(content, &link)
            .and_then(|()| fs::rename(&link, place))
            .map_err(Error::disk("cannot link", place))?;
        let meta = Meta {
            shared: Some(known.unwrap_or(0) + 1),
            ..meta
        };
        self.farm.owners.set(key(&kept), meta);
        Ok(())
    }

    /// What there is at a path; nothing too where no directory is around it. No symbolic link is followed.
    fn open(&self, path: &Path) -> Result<Option<(OwnedFd, Statx)>, Error> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        // A link at the very end is opened itself.
        let flags = PLACE;
        let failed = |error| Error::disk("cannot look at", self.path.join(path))(error);
        match openat2(&self.root, path, flags, Mode::empty(), resolve) {
            Ok(file) => {
                let stat = statx(&file, "", AtFlags::EMPTY_PATH, FIELDS).map_err(failed)?;
                Ok(Some((file, stat)))
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// What a path is now, and which inode if it may have other names.
    fn now(&self, path: &Path) -> Result<Option<(Node, Option<Key>)>, Error> {
        let Some((file, stat)) = self.open(path)? else {
            return Ok(None);
        };
        let key = key(&stat);
        let meta = self.farm.owners.get(key).unwrap_or_else(|| Meta::on_disk(&stat));
        let place = self.path.join(path);
        let kind = match (file_type(&stat), meta.device) {
            (FileType::Socket, _) => return Ok(None),
            (_, Some(device)) => {
                let (major, minor) = device.number;
                if device.block {
                    Kind::BlockDevice { major, minor }
                } else {
                    Kind::CharDevice { major, minor }
                }
            }
            (FileType::Directory, _) => Kind::Directory,
            (FileType::Symlink, _) => {
                let target = readlinkat(&file, "", Vec::new()).map_err(Error::disk("cannot read", &place))?;
                Kind::Symlink(std::os::unix::ffi::OsStringExt::from_vec(target.into_bytes()))
            }
            (FileType::Fifo, _) => Kind::Fifo,
            _ => Kind::File(Content {
                size: stat.stx_size,
                digest: None,
                origin: Origin::Disk(place.into()),
            }),
        };
        let several = meta.shared.is_none() && stat.stx_nlink > 1 && kind != Kind::Directory;
        let metadata = meta.metadata(stat.stx_mtime.tv_sec);
        Ok(Some((Node { metadata, kind }, several.then_some(key))))
    }
}

fn set_time(place: &Path, mtime: i64) -> Result<(), Error> {
    utimensat(CWD, place, &seconds(mtime), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(Error::disk("cannot set times of", place))
}

fn is_directory(stat: &Statx) -> bool {
    file_type(stat) == FileType::Directory
}

fn found(path: PathBuf, what: What) -> Found {
    Found {
        change: Change { path, what },
        inode: None,
        equals: None,
    }
}
