//! Names to files. Nothing that a name says leads out of the root and its mounts.
//!
//! The walker takes one component at a time, and knows of mounts, permissions and processes. Most names of most users
//! need none of that: for them the kernel walks, and what it finds counts where the walker would have found the same.

use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, openat, openat2, readlinkat, statx,
    },
    io::Errno,
    thread::CapabilitySet,
};

use super::{
    access::{self, Want, file_type},
    bounds::Bounds,
    directories::Directory,
    mounts::{Kind, MountId, Node},
    owners::{FIELDS, key},
    paths::{MAX_PATH, below, check, components, split},
    process::Link,
    view::{Asker, View},
};

/// As many symbolic links as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Clone, Debug)]
pub struct Found {
    /// The directory that it is in.
    pub parent: Node,
    /// Its name there; none if the path ends in `.`, `..` or nothing.
    pub name: Option<OsString>,
    /// What is there, as it is seen.
    pub node: Option<Node>,
    /// Whether the path says that it is a directory, by a slash at its end.
    pub slash: bool,
}

impl Found {
    /// What is there.
    ///
    /// # Errors
    /// ENOENT, and ENOTDIR if it must be a directory and is not.
    pub fn node(&self) -> Result<&Node, Errno> {
        let node = self.node.as_ref().ok_or(Errno::NOENT)?;
        if self.slash && !node.is_directory() {
            return Err(Errno::NOTDIR);
        }
        Ok(node)
    }
}

/// What a look into a directory tells of one of its names, for somebody to whom its permissions mean nothing.
pub(super) struct Glance<'p> {
    pub parent: Node,
    pub name: &'p OsStr,
    /// What the disk says of it; none if it is not there. Nothing is mounted over it, and it is no link to be followed.
    pub stat: Option<Statx>,
}

const PLACE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// A path under way.
struct Walk {
    bounds: Bounds,
    here: Node,
    /// What is left, the next component last.
    pending: Vec<Vec<u8>>,
    links: usize,
    slash: bool,
}

impl View {
    /// What a path leads to, with the directory that it is in.
    ///
    /// # Errors
    /// As path_resolution(7) has it; a missing last component is none.
    pub fn locate(&self, asker: &Asker<'_>, base: &Node, path: &[u8], follow: bool) -> Result<Found, Errno> {
        check(path)?;
        self.quick_parent(asker, base, path, follow)
            .unwrap_or_else(|| self.walk(asker, base, path, follow))
    }

    /// What there is at a path.
    ///
    /// # Errors
    /// As for [`locate`](Self::locate), and ENOENT.
    pub fn find(&self, asker: &Asker<'_>, base: &Node, path: &[u8], follow: bool) -> Result<Node, Errno> {
        check(path)?;
        if let Some(found) = self.quick(asker, base, path, follow) {
            return found;
        }
        self.walk(asker, base, path, follow)?.node().cloned()
    }

    /// What there is at a path within bounds.
    ///
    /// # Errors
    /// As for [`locate_within`](Self::locate_within), and ENOENT.
    pub fn find_within(
        &self,
        asker: &Asker<'_>,
        base: &Node,
        path: &[u8],
        follow: bool,
        bounds: ResolveFlags,
    ) -> Result<Node, Errno> {
        if bounds.is_empty() {
            return self.find(asker, base, path, follow);
        }
        self.locate_within(asker, base, path, follow, bounds)?
            .node()
            .cloned()
    }

    /// Like [`locate`](Self::locate), within bounds: a path that leads out of them leads nowhere.
    ///
    /// # Errors
    /// Also EXDEV and ELOOP, as openat2(2) has it.
    pub fn locate_within(
        &self,
        asker: &Asker<'_>,
        base: &Node,
        path: &[u8],
        follow: bool,
        bounds: ResolveFlags,
    ) -> Result<Found, Errno> {
        if bounds.is_empty() {
            return self.locate(asker, base, path, follow);
        }
        check(path)?;
        self.walk_within(asker, base, path, follow, bounds)
    }

    /// Component by component.
    pub(super) fn walk(
        &self,
        asker: &Asker<'_>,
        base: &Node,
        path: &[u8],
        follow: bool,
    ) -> Result<Found, Errno> {
        self.walk_within(asker, base, path, follow, ResolveFlags::empty())
    }

    fn walk_within(
        &self,
        asker: &Asker<'_>,
        base: &Node,
        path: &[u8],
        follow: bool,
        bounds: ResolveFlags,
    ) -> Result<Found, Errno> {
        let mut bounds = Bounds::new(bounds, asker, base);
        let mut walk = Walk {
            here: bounds.start(base, path)?,
            bounds,
            pending: Vec::new(),
            links: 0,
            slash: false,
        };
        walk.push(path);
        loop {
            let Some(name) = walk.pending.pop() else {
                let here = walk.here;
                return Ok(Found {
                    parent: here.clone(),
                    name: None,
                    node: Some(here),
                    slash: walk.slash,
                });
            };
            let parent = walk.here.clone();
            if !parent.is_directory() {
                return Err(Errno::NOTDIR);
            }
            self.may(asker, &parent, Want::EXECUTE)?;
            match name.as_slice() {
                b"." => continue,
                b".." => {
                    walk.bounds.up(&parent)?;
                    walk.here = self.up(&walk.bounds.root, &parent)?;
                    walk.bounds.cross(&parent, &walk.here)?;
                    continue;
                }
                _ => {}
            }
            let last = walk.pending.is_empty();
            let name = OsString::from_vec(name);
            let Some((node, link)) = self.child(asker, &parent, &name)? else {
                let found = Found {
                    parent,
                    name: Some(name),
                    node: None,
                    slash: walk.slash,
                };
                return if last { Ok(found) } else { Err(Errno::NOENT) };
            };
            walk.bounds.cross(&parent, &node)?;
            match link {
                Some(link) if !last || follow || walk.slash => walk.follow(link)?,
                _ if last => {
                    return Ok(Found {
                        parent,
                        name: Some(name),
                        node: Some(node),
                        slash: walk.slash,
                    });
                }
                _ => walk.here = node,
            }
        }
    }

    /// The directory above.
    pub(super) fn up(&self, root: &Node, here: &Node) -> Result<Node, Errno> {
        if here.is(root) {
            return Ok(here.clone());
        }
        if let Some(above) = self.mounts.above(here) {
            return Ok(above);
        }
        if self.mounts.kind(here) == Some(Kind::Processes) {
            return self.process_up(here);
        }
        let above = openat(&here.fd, "..", PLACE | OFlags::DIRECTORY, Mode::empty())?;
        Node::new(above, here.mount)
    }

    /// What a name in a directory stands for, as it is seen, and where it leads if it is a link.
    fn child(
        &self,
        asker: &Asker<'_>,
        parent: &Node,
        name: &OsStr,
    ) -> Result<Option<(Node, Option<Link>)>, Errno> {
        if self.mounts.kind(parent) == Some(Kind::Processes) {
            return self.process_child(asker, parent, name);
        }
        let Some(node) = entry(parent, name)? else {
            return Ok(None);
        };
        let node = self.mounts.top(node);
        if file_type(&node.stat) != FileType::Symlink {
            return Ok(Some((node, None)));
        }
        let target = readlinkat(&node.fd, "", Vec::new())?;
        Ok(Some((node, Some(Link::Path(target.into_bytes())))))
    }

    /// What the kernel finds, where that is what the walker would find.
    fn quick(
        &self,
        asker: &Asker<'_>,
        base: &Node,
        path: &[u8],
        follow: bool,
    ) -> Option<Result<Node, Errno>> {
        let (fd, mount, resolve) = self.quick_start(asker, base, path)?;
        let flags = if follow { PLACE } else { PLACE | OFlags::NOFOLLOW };
        match openat2(fd.as_fd(), path, flags, Mode::empty(), resolve) {
            Ok(found) => Some(Node::new(found, mount).map(|node| self.mounts.top(node))),
            Err(Errno::NOENT) if self.is_missing(fd, path, resolve) => Some(Err(Errno::NOENT)),
            Err(_) => None,
        }
    }

    /// The same with the directory around it, which must be there.
    fn quick_parent(
        &self,
        asker: &Asker<'_>,
        base: &Node,
        path: &[u8],
        follow: bool,
    ) -> Option<Result<Found, Errno>> {
        let (parent, name) = self.around(asker, base, path)?;
        if !matches!(self.mounts.kind(&parent), Some(Kind::Root | Kind::Plain)) {
            return None;
        }
        let node = entry(&parent, name).ok()?;
        if follow
            && node
                .as_ref()
                .is_some_and(|node| file_type(&node.stat) == FileType::Symlink)
        {
            return None;
        }
        let node = node.map(|node| self.mounts.top(node));
        Some(Ok(Found {
            parent,
            name: Some(name.to_owned()),
            node,
            slash: false,
        }))
    }

    /// The directory of the last name of a path, where that may be asked of the kernel.
    pub(super) fn around<'p>(
        &self,
        asker: &Asker<'_>,
        base: &Node,
        path: &'p [u8],
    ) -> Option<(Node, &'p OsStr)> {
        let (parent, name) = split(path)?;
        if !asker.who.can(CapabilitySet::DAC_OVERRIDE) {
            return None;
        }
        if parent.is_empty() {
            return base.is_directory().then(|| (base.clone(), name));
        }
        let in_root = asker.root.mount == MountId::ROOT && asker.root.key() == self.root().key();
        let whole = path.starts_with(b"/") && in_root;
        if whole && let Some(known) = self.directories.at(parent) {
            return Some((known.node.clone(), name));
        }
        let since = self.directories.now();
        let (fd, mount, resolve) = self.quick_start(asker, base, path)?;
        let flags = PLACE | OFlags::DIRECTORY;
        let found = openat2(fd.as_fd(), parent, flags, Mode::empty(), resolve).ok()?;
        let node = self.mounts.top(Node::new(found, mount).ok()?);
        if whole && node.mount == MountId::ROOT {
            let real = node.real_path().ok()?;
            let below = below(&real, &self.mounts.root_mount().real).map(Path::to_owned);
            let directory = Directory {
                node: node.clone(),
                below,
            };
            self.directories.add(since, Some(parent), directory);
        }
        Some((node, name))
    }

    /// What a path leads to, unless that takes more than a look into one directory.
    pub(super) fn glance<'p>(
        &self,
        asker: &Asker<'_>,
        base: &Node,
        path: &'p [u8],
        follow: bool,
    ) -> Option<Glance<'p>> {
        if path.len() >= MAX_PATH {
            return None;
        }
        let (parent, name) = self.around(asker, base, path)?;
        match self.mounts.kind(&parent)? {
            Kind::Root | Kind::Plain | Kind::Machine => {}
            Kind::Processes | Kind::Terminals => return None,
        }
        match statx(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW, FIELDS) {
            Ok(stat) if self.mounts.hides(&parent, key(&stat)) => None,
            Ok(stat) if follow && file_type(&stat) == FileType::Symlink => None,
            Ok(stat) => Some(Glance {
                parent,
                name,
                stat: Some(stat),
            }),
            Err(Errno::NOENT) => Some(Glance {
                parent,
                name,
                stat: None,
            }),
            Err(_) => None,
        }
    }

    /// Where the kernel may begin, and what it must not do on its way.
    fn quick_start<'n>(
        &self,
        asker: &'n Asker<'_>,
        base: &'n Node,
        path: &[u8],
    ) -> Option<(&'n std::sync::Arc<OwnedFd>, MountId, ResolveFlags)> {
        let absolute = path.starts_with(b"/");
        let start = if absolute { &asker.root } else { base };
        let known = matches!(self.mounts.kind(start), Some(Kind::Root | Kind::Plain)) && start.is_directory();
        if !known || !asker.who.can(CapabilitySet::DAC_OVERRIDE) {
            return None;
        }
        let stay = match absolute {
            true => ResolveFlags::IN_ROOT,
            // An absolute link would leave from here.
            false => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        };
        Some((
            &start.fd,
            start.mount,
            stay | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV,
        ))
    }

    /// Whether a path that the kernel does not find is really not there: not below a mount, which it does not know of.
    fn is_missing(&self, fd: &OwnedFd, path: &[u8], resolve: ResolveFlags) -> bool {
        let mut path = path;
        while let Some((parent, name)) = split(path) {
            let parent_path = if parent.is_empty() { b"." } else { parent };
            match openat2(fd, parent_path, PLACE, Mode::empty(), resolve) {
                Ok(found) => {
                    let Ok(parent) = Node::new(found, MountId::ROOT) else {
                        return false;
                    };
                    // A link that is there leads somewhere else.
                    let there = statx(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE);
                    return !self.mounts.is_cover(parent.key()) && there.err() == Some(Errno::NOENT);
                }
                Err(Errno::NOENT) if !parent.is_empty() => path = parent,
                Err(_) => return false,
            }
        }
        false
    }

    /// Checks permissions of a directory or file.
    pub(super) fn may(&self, asker: &Asker<'_>, node: &Node, want: Want) -> Result<(), Errno> {
        if asker.who.can(CapabilitySet::DAC_OVERRIDE) && node.is_directory() {
            return Ok(());
        }
        let mut meta = self.meta(node);
        if let Some(owner) = self.process_owner(asker, node) {
            (meta.uid, meta.gid) = owner;
        }
        access::may(&asker.who, &meta, node.is_directory(), want)
    }
}

impl Walk {
    fn push(&mut self, path: &[u8]) {
        let last = self.pending.is_empty();
        let mut names: Vec<Vec<u8>> = components(path).map(<[u8]>::to_vec).collect();
        if last {
            self.slash |= path.ends_with(b"/");
        }
        names.reverse();
        self.pending.append(&mut names);
    }

    fn follow(&mut self, link: Link) -> Result<(), Errno> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP);
        }
        self.bounds.follow(&self.here, &link)?;
        match link {
            Link::Path(target) if target.is_empty() => return Err(Errno::NOENT),
            Link::Path(target) | Link::Program(target) => {
                if target.starts_with(b"/") {
                    self.here = self.bounds.root.clone();
                }
                self.push(&target);
            }
            Link::Node(node) => self.here = *node,
            Link::Closed => return Err(Errno::ACCESS),
        }
        Ok(())
    }
}

/// What a name in a directory stands for, mounts aside.
pub(super) fn entry(parent: &Node, name: &OsStr) -> Result<Option<Node>, Errno> {
    match openat(&parent.fd, name, PLACE | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(fd) => Node::new(fd, parent.mount).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
