//! How far a path may lead, as openat2(2) has it.

use rustix::{fs::ResolveFlags, io::Errno};

use super::{mounts::Node, process::Link, view::Asker};

/// The bounds of one path.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    flags: ResolveFlags,
    /// What absolute paths begin at, and where `..` leads nowhere.
    pub root: Node,
    /// Whether the kernel has looked for the root directory by now. Before, an absolute link leads to another mount.
    is_rooted: bool,
}

impl Bounds {
    /// Those of a path that begins at `base` unless it is absolute.
    pub fn new(flags: ResolveFlags, asker: &Asker<'_>, base: &Node) -> Self {
        let root = if flags.intersects(SCOPED) {
            base
        } else {
            &asker.root
        };
        Self {
            flags,
            root: root.clone(),
            is_rooted: flags.intersects(SCOPED),
        }
    }

    /// Where a path begins.
    ///
    /// # Errors
    /// EXDEV if it is absolute and must not be.
    pub fn start(&mut self, base: &Node, path: &[u8]) -> Result<Node, Errno> {
        if !path.starts_with(b"/") {
            return Ok(base.clone());
        }
        if self.has(ResolveFlags::BENEATH) {
            return Err(Errno::XDEV);
        }
        self.is_rooted = true;
        Ok(self.root.clone())
    }

    /// Checks that a link may be followed from somewhere.
    ///
    /// # Errors
    /// ELOOP, or EXDEV if it leads too far.
    pub fn follow(&self, here: &Node, link: &Link) -> Result<(), Errno> {
        let is_magic = !matches!(link, Link::Path(_));
        if self.has(ResolveFlags::NO_SYMLINKS) || is_magic && self.has(ResolveFlags::NO_MAGICLINKS) {
            return Err(Errno::LOOP);
        }
        let end = match link {
            Link::Path(target) | Link::Program(target) => target.starts_with(b"/").then_some(&self.root),
            Link::Node(node) => Some(&**node),
            Link::Closed => None,
        };
        if is_magic && self.flags.intersects(SCOPED) || end.is_some() && self.has(ResolveFlags::BENEATH) {
            return Err(Errno::XDEV);
        }
        if !is_magic && end.is_some() && self.has(ResolveFlags::NO_XDEV) && !self.is_rooted {
            return Err(Errno::XDEV);
        }
        end.map_or(Ok(()), |end| self.cross(here, end))
    }

    /// Checks that `..` may be followed from somewhere, if that is the root.
    ///
    /// # Errors
    /// EXDEV if it may not.
    pub fn up(&mut self, here: &Node) -> Result<(), Errno> {
        self.is_rooted = true;
        let leaves = self.has(ResolveFlags::BENEATH) && here.is(&self.root);
        if leaves { Err(Errno::XDEV) } else { Ok(()) }
    }

    /// Checks that one may go from one place to another, which may be another mount's.
    ///
    /// # Errors
    /// EXDEV if one may not.
    pub fn cross(&self, from: &Node, to: &Node) -> Result<(), Errno> {
        let crosses = self.has(ResolveFlags::NO_XDEV) && from.mount != to.mount;
        if crosses { Err(Errno::XDEV) } else { Ok(()) }
    }

    fn has(&self, flag: ResolveFlags) -> bool {
        self.flags.contains(flag)
    }
}

/// Nothing leads out of where a path begins.
const SCOPED: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::IN_ROOT);
