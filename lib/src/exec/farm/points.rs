//! Mount points: found or made, and how the image is left as if they had never been.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, OFlags, mkdirat, openat, renameat, unlinkat},
    io::Errno,
};

use super::{
    copy_up::without_a_trace,
    kept,
    make::MODE,
    mounts::{Kind, Node},
    owners::{Key, Meta},
    resolve::entry,
    setup::Setup,
    touched::Extent,
    view::{Asker, View},
};
use crate::exec::supervised::{Family, Who};

/// What has to be undone after a run.
#[derive(Debug)]
pub(super) enum Undo {
    /// A mount point was made.
    Made { parent: Node, name: OsString, key: Key },
    /// What was at a mount point lies aside.
    Aside {
        parent: Node,
        name: OsString,
        place: PathBuf,
    },
}

/// What has to be there to mount something on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Directory,
    File,
}

impl View {
    /// Takes away what had to be made for mounts. What the run has put into made directories stays, with them.
    pub fn unmount_all(&self) {
        for directory in &self.keeps {
            kept::remember(directory, &self.farm.owners);
        }
        for undo in self.undo.iter().rev() {
            // A failure leaves an empty file or directory in the layer; the run's result counts for more.
            if undo_one(undo).is_err()
                && let Undo::Made { parent, name, .. } = undo
            {
                let _ = self.touch_entry(parent, name, Extent::Itself);
            }
        }
    }
}

fn undo_one(undo: &Undo) -> Result<(), Errno> {
    let (Undo::Made { parent, name, .. } | Undo::Aside { parent, name, .. }) = undo;
    let Some(here) = entry(parent, name)? else {
        return Ok(());
    };
    if let Undo::Made { key, .. } = undo
        && here.key() != *key
    {
        return Ok(());
    }
    let flags = if here.is_directory() {
        AtFlags::REMOVEDIR
    } else {
        AtFlags::empty()
    };
    without_a_trace(&parent.fd, || {
        unlinkat(&parent.fd, name.as_os_str(), flags)?;
        match undo {
            Undo::Made { .. } => Ok(()),
            Undo::Aside { place, .. } => renameat(CWD, place, &parent.fd, name.as_os_str()),
        }
    })
}

impl Setup<'_> {
    /// What a path leads to, with the directory that it is in. What is missing is made; what a mount would only hide from
    /// those who go by name is put aside.
    pub fn find_or_make(&mut self, path: &Path, shape: Shape) -> Result<(Node, Node), Errno> {
        let (root, family) = (self.view.root().clone(), Family::default());
        let asker = Asker {
            who: Who::new(0, 0, &[]).into(),
            root: root.clone(),
            umask: 0,
            pid: 0,
            thread: 0,
            family: &family,
        };
        let found = match self
            .view
            .walk(&asker, &root, path.as_os_str().as_encoded_bytes(), true)
        {
            Err(Errno::NOENT) => {
                let parent = path.parent().ok_or(Errno::NOENT)?;
                self.find_or_make(parent, Shape::Directory)?;
                self.view
                    .walk(&asker, &root, path.as_os_str().as_encoded_bytes(), true)?
            }
            found => found?,
        };
        let Some(node) = found.node else {
            let name = found.name.ok_or(Errno::NOENT)?;
            let node = self.make(&found.parent, &name, shape)?;
            return Ok((found.parent, node));
        };
        let above = match &found.name {
            Some(_) => found.parent,
            None => self.view.up(&root, &node)?,
        };
        let Some(name) = found
            .name
            .filter(|_| above.mount == node.mount && self.must_hide(&node))
        else {
            return Ok((above, node));
        };
        let cover = self.put_aside(&above, &name, &node)?;
        Ok((above, cover))
    }

    /// Whether something has contents, or names elsewhere.
    fn must_hide(&self, node: &Node) -> bool {
        let ours = matches!(self.view.mounts.kind(node), Some(Kind::Root | Kind::Plain));
        let empty = || {
            node.real_path()
                .ok()
                .and_then(|path| fs::read_dir(path).ok()?.next())
                .is_none()
        };
        ours && !(node.is_directory() && empty())
    }

    fn put_aside(&mut self, parent: &Node, name: &OsStr, node: &Node) -> Result<Node, Errno> {
        let shape = if node.is_directory() {
            Shape::Directory
        } else {
            Shape::File
        };
        let place = self.view.farm.fresh();
        without_a_trace(&parent.fd, || {
            renameat(&parent.fd, name, CWD, &place)?;
            create(parent, name, shape)
        })?;
        let undo = Undo::Aside {
            parent: parent.clone(),
            name: name.to_owned(),
            place,
        };
        self.view.undo.push(undo);
        self.made(parent, name, shape)
    }

    /// Makes a mount point. Its directory keeps the time that it had.
    fn make(&mut self, parent: &Node, name: &OsStr, shape: Shape) -> Result<Node, Errno> {
        without_a_trace(&parent.fd, || create(parent, name, shape))?;
        let node = self.made(parent, name, shape)?;
        let undo = Undo::Made {
            parent: parent.clone(),
            name: name.to_owned(),
            key: node.key(),
        };
        self.view.undo.push(undo);
        Ok(node)
    }

    /// Says whose a mount point is that was just made.
    fn made(&self, parent: &Node, name: &OsStr, shape: Shape) -> Result<Node, Errno> {
        let node = entry(parent, name)?.ok_or(Errno::NOENT)?;
        let meta = Meta {
            mode: if shape == Shape::Directory { 0o755 } else { 0o644 },
            ..Meta::default()
        };
        self.view.farm.owners.set(node.key(), meta);
        Ok(node)
    }
}

fn create(parent: &Node, name: &OsStr, shape: Shape) -> Result<(), Errno> {
    match shape {
        Shape::Directory => mkdirat(&parent.fd, name, MODE),
        Shape::File => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(&parent.fd, name, flags, MODE).map(drop)
        }
    }
}
