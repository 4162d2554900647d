//! Paths and descriptors among the arguments of a call.

use std::ffi::CString;

use nix::libc;
use rustix::{fs::Statx, io::Errno};

use super::super::Asked;
use crate::exec::farm::{Asker, Node, Target, Told, View};

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

    /// What is told of it.
    pub fn look(&self, follow: bool) -> Result<Told, Errno> {
        self.view.look(&self.asker, &self.base, self.path(), follow)
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
        self.named_by(directory, self.path(path)?)
    }

    /// The same, of a path that was read already.
    fn named_by(&self, directory: Option<usize>, path: CString) -> Result<Named<'a>, Errno> {
        let (view, asker) = (&*self.shared().view, self.asker()?);
        let base = match directory {
            // It is not looked at.
            _ if path.as_bytes().starts_with(b"/") => asker.root.clone(),
            Some(directory) => self.base(directory)?,
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

    /// The same, for one whose mode, owner or times are to be set.
    pub(super) fn node_to_change(&self, descriptor: usize) -> Result<Node, Errno> {
        let file = self.descriptor(self.int(descriptor))?;
        self.shared().view.node_to_change(file)
    }

    /// The directory that a call with this descriptor begins at: the working directory for `AT_FDCWD`.
    pub(super) fn base(&self, argument: usize) -> Result<Node, Errno> {
        let view = &self.shared().view;
        if !self.is_here(argument) {
            let stat = self.described(self.int(argument))?;
            if let Some(known) = view.known_directory(&stat) {
                return Ok(known);
            }
        }
        view.node(self.directory(argument)?)
    }

    /// What the disk says of what one of its descriptors refers to, if that is a file of the root or its mounts.
    pub(super) fn known(&self, descriptor: usize) -> Result<Option<Statx>, Errno> {
        let stat = self.described(self.int(descriptor))?;
        Ok(Some(stat).filter(|stat| self.shared().view.knows(stat)))
    }

    /// What is told of what one of its descriptors refers to.
    pub(super) fn told(&self, descriptor: usize) -> Result<Told, Errno> {
        let view = &self.shared().view;
        Ok(match self.known(descriptor)? {
            Some(stat) => view.tell_of(&stat),
            None => view.tell(&self.node(descriptor)?),
        })
    }

    /// What a path leads to, and what is told of that, for calls that do no more than write it to memory: it is then
    /// that they see whether they still wait.
    pub(super) fn look(
        &self,
        directory: Option<usize>,
        path: usize,
        follow: bool,
    ) -> Result<(Asker<'a>, Told), Errno> {
        let named = self.named_by(directory, self.glimpse_path(path)?)?;
        let told = named.look(follow)?;
        Ok((named.asker, told))
    }

    /// What is told of the file of a call with `AT_` flags, as [`look`](Self::look) has it.
    pub(super) fn told_at(&self, directory: usize, path: usize, flags: u32) -> Result<Told, Errno> {
        if self.is_empty(path, flags)? {
            return match self.is_here(directory) {
                true => Ok(self.shared().view.tell(&self.base(directory)?)),
                false => self.told(directory),
            };
        }
        let follow = flags & libc::AT_SYMLINK_NOFOLLOW.cast_unsigned() == 0;
        self.look(Some(directory), path, follow).map(|(_, told)| told)
    }

    /// Whether a call with `AT_` flags is about what the descriptor refers to, if it still waits.
    fn is_empty(&self, path: usize, flags: u32) -> Result<bool, Errno> {
        let may_be = flags & libc::AT_EMPTY_PATH.cast_unsigned() != 0;
        if !may_be || self.word(path) == 0 {
            return Ok(may_be);
        }
        let mut first = [0];
        self.glimpse(self.word(path), &mut first)?;
        Ok(first == [0])
    }

    /// What a path leads to, to be changed, and who asks.
    pub(super) fn target(
        &self,
        directory: Option<usize>,
        path: usize,
        follow: bool,
    ) -> Result<(Asker<'a>, Target), Errno> {
        let named = self.named(directory, path)?;
        let target = named
            .view
            .target(&named.asker, &named.base, named.path(), follow)?;
        Ok((named.asker, target))
    }

    /// What one of its descriptors refers to, to be changed, and who asks.
    pub(super) fn target_of(&self, descriptor: usize) -> Result<(Asker<'a>, Target), Errno> {
        let stat = self.described(self.int(descriptor))?;
        let target = match self.shared().view.has_made(&stat) {
            true => Target::Made(stat),
            false => Target::Found(self.node(descriptor)?),
        };
        Ok((self.asker()?, target))
    }

    /// The target of a call with `AT_` flags: what the path leads to, or what the descriptor refers to.
    pub(super) fn target_at(
        &self,
        directory: usize,
        path: usize,
        flags: u32,
    ) -> Result<(Asker<'a>, Target), Errno> {
        if !self.is_empty(path, flags)? {
            let follow = flags & libc::AT_SYMLINK_NOFOLLOW.cast_unsigned() == 0;
            return self.target(Some(directory), path, follow);
        }
        self.still()?;
        match self.is_here(directory) {
            true => Ok((self.asker()?, self.base(directory)?.into())),
            false => self.target_of(directory),
        }
    }

    /// The file of a call with `AT_` flags: what the path leads to, or what the descriptor refers to.
    pub(super) fn file_at(
        &self,
        directory: usize,
        path: usize,
        flags: u32,
    ) -> Result<(Asker<'a>, Node), Errno> {
        if self.is_empty(path, flags)? {
            self.still()?;
            let view = &*self.shared().view;
            return Ok((self.asker()?, view.node(self.directory(directory)?)?));
        }
        let named = self.named(Some(directory), path)?;
        let node = named.find(flags & libc::AT_SYMLINK_NOFOLLOW.cast_unsigned() == 0)?;
        Ok((named.asker, node))
    }

    /// Whether a descriptor argument stands for the working directory.
    pub(super) fn is_here(&self, argument: usize) -> bool {
        self.int(argument) == HERE as i32
    }
}
