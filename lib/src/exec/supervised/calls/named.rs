//! Paths and descriptors among the arguments of a call.

use std::ffi::CString;

use nix::libc;
use rustix::io::Errno;

use super::super::Asked;
use crate::exec::farm::{Asker, Node, View};

/// A path that a call names, and who names it.
pub(super) struct Named<'a> {
    pub view: &'a View,
    pub asker: Asker<'a>,
    /// Where it begins, unless it is absolute.
    pub base: Node,
    pub path: CString,
}

/// `AT_FDCWD`, as an argument.
const HERE: u64 = libc::AT_FDCWD as u64;

impl<'a> Named<'a> {
    /// What there is.
    pub fn find(&self, follow: bool) -> Result<Node, Errno> {
        self.view.find(&self.asker, &self.base, self.path(), follow)
    }

    pub fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
}

impl<'a> Asked<'a> {
    /// Who asks.
    pub(super) fn asker(&self) -> Result<Asker<'a>, Errno> {
        let shared = self.shared();
        shared.view.asker(self.process(), self.thread(), &shared.family)
    }

    /// The path that an argument points to, from the directory that another says; the working directory without one.
    pub(super) fn named(&self, directory: Option<usize>, path: usize) -> Result<Named<'a>, Errno> {
        let path = self.path(path)?;
        let (view, asker) = (&*self.shared().view, self.asker()?);
        let base = match directory {
            // It is not looked at.
            _ if path.as_bytes().starts_with(b"/") => asker.root.clone(),
            Some(directory) => view.node(self.directory(directory)?)?,
            None => view.node(self.process().directory())?,
        };
        Ok(Named {
            view,
            asker,
            base,
            path,
        })
    }

    /// What one of its descriptors refers to.
    pub(super) fn node(&self, descriptor: usize) -> Result<Node, Errno> {
        self.shared().view.node(self.descriptor(self.int(descriptor))?)
    }

    /// The file of a call with `AT_` flags: what the path leads to, or what the descriptor refers to.
    pub(super) fn file_at(
        &self,
        directory: usize,
        path: usize,
        flags: u32,
    ) -> Result<(Asker<'a>, Node), Errno> {
        let has = |flag: i32| flags & flag.cast_unsigned() != 0;
        let empty = has(libc::AT_EMPTY_PATH) && (self.word(path) == 0 || self.path(path)?.is_empty());
        if empty {
            let view = &*self.shared().view;
            return Ok((self.asker()?, view.node(self.directory(directory)?)?));
        }
        let named = self.named(Some(directory), path)?;
        let node = named.find(!has(libc::AT_SYMLINK_NOFOLLOW))?;
        Ok((named.asker, node))
    }

    /// Whether a descriptor argument stands for the working directory.
    pub(super) fn is_here(&self, argument: usize) -> bool {
        self.int(argument) == HERE as i32
    }
}
