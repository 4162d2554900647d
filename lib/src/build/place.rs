//! Where a COPY or ADD puts what it takes: changes of the stage's tree, and with them the layer.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use super::{
    error::{BuildError, Problem},
    select::{self, Pick},
};
use crate::{
    containerfile::{ignore::Ignore, values::Chmod},
    tree::{Change, InodeId, Kind, Metadata, Node, Tree, What},
};

/// Puts files into a tree and remembers which paths that touched.
pub(super) struct Placer<'t> {
    tree: &'t mut Tree,
    touched: BTreeSet<PathBuf>,
    /// Owner of everything it makes; without one, sources keep theirs and new directories are root's.
    pub owner: Option<(u32, u32)>,
    /// `--chmod`.
    pub chmod: Option<Chmod>,
    /// Modification time of directories it has to make, seconds since 1970.
    pub now: i64,
}

/// A destination as written: where, and whether it must be a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// Absolute in the image, without the leading slash, not yet resolved.
    pub path: PathBuf,
    /// It ends in `/` or `/.`.
    pub is_directory: bool,
}

impl Destination {
    /// A destination relative to the working directory.
    pub fn new(workdir: &str, text: &str) -> Self {
        let path = Path::new("/").join(workdir).join(text);
        Self {
            path: select::clean(&path.to_string_lossy()),
            is_directory: text.is_empty() || text.ends_with('/') || text == "." || text.ends_with("/."),
        }
    }
}

impl<'t> Placer<'t> {
    /// Puts files into this tree.
    pub fn new(tree: &'t mut Tree, now: i64) -> Self {
        Self {
            tree,
            touched: BTreeSet::new(),
            owner: None,
            chmod: None,
            now,
        }
    }

    /// Copies what a pick of another tree brings. `contents` makes the node as it is put here.
    ///
    /// The rules are those of the reference builder: the entries of a directory are copied, not the directory; a new
    /// destination directory gets mode 0755, an existing one keeps mode and owner, both get the source's time;
    /// links in the destination path are followed, entries inside a copied directory replace links of their name.
    pub fn copy(
        &mut self,
        source: &Tree,
        pick: &Pick,
        exclude: &Ignore,
        destination: &Destination,
    ) -> Result<(), BuildError> {
        let is_directory = source
            .get(&pick.real)
            .is_some_and(|node| matches!(node.kind, Kind::Directory));
        let target = match &pick.kept {
            Some(kept) => self.target_with_parents(source, pick, kept, destination)?,
            None => self.target(pick, is_directory, destination)?,
        };
        let mut links: HashMap<InodeId, PathBuf> = HashMap::new();
        let mut times: Vec<(PathBuf, i64)> = Vec::new();
        select::walk(source, pick, exclude, &mut |relative,
                                                  path,
                                                  node|
         -> Result<(), BuildError> {
            let to = if relative.as_os_str().is_empty() {
                target.clone()
            } else {
                target.join(relative)
            };
            if matches!(node.kind, Kind::Directory) {
                let root = relative.as_os_str().is_empty();
                self.directory(&to, node, root)?;
                times.push((to, node.metadata.mtime));
                return Ok(());
            }
            self.make_room(&to)?;
            let first = source.inode(path).filter(|_| matches!(node.kind, Kind::File(_)));
            match first.and_then(|inode| links.get(&inode)) {
                Some(known) => self.tree.link(&to, known)?,
                None => {
                    self.tree.insert(&to, self.owned(node))?;
                    links.extend(first.map(|inode| (inode, to.clone())));
                }
            }
            self.touched.insert(to);
            Ok(())
        })?;
        for (path, mtime) in times {
            self.change(&path, |metadata| metadata.mtime = mtime)?;
        }
        Ok(())
    }

    /// Where a pick goes; makes the directories on the way.
    fn target(
        &mut self,
        pick: &Pick,
        is_directory: bool,
        destination: &Destination,
    ) -> Result<PathBuf, BuildError> {
        if is_directory || destination.is_directory {
            let path = self.resolve(&destination.path, true)?;
            if !is_directory {
                self.directories(&path)?;
                return Ok(path.join(pick.named.file_name().unwrap_or_default()));
            }
            return match self.tree.get(&path) {
                Some(node) if !matches!(node.kind, Kind::Directory) => {
                    Err(conflict("a directory", &path, "a file is there"))
                }
                _ => {
                    self.directories(&path)?;
                    Ok(path)
                }
            };
        }
        let path = self.resolve(&destination.path, true)?;
        if self
            .tree
            .get(&path)
            .is_some_and(|node| matches!(node.kind, Kind::Directory))
        {
            return Ok(path.join(pick.named.file_name().unwrap_or_default()));
        }
        if let Some(parent) = path.parent() {
            self.directories(parent)?;
        }
        Ok(path)
    }

    /// Where a pick goes whose path is kept; the directories of that path are copied, too.
    fn target_with_parents(
        &mut self,
        source: &Tree,
        pick: &Pick,
        kept: &Path,
        destination: &Destination,
    ) -> Result<PathBuf, BuildError> {
        let root = self.resolve(&destination.path, true)?;
        self.directories(&root)?;
        // The part of the source path before the pivot.
        let above = pick
            .named
            .ancestors()
            .nth(kept.components().count())
            .unwrap_or(Path::new(""));
        let mut so_far = PathBuf::new();
        for component in kept.parent().into_iter().flat_map(Path::components) {
            so_far.push(component);
            match source.get(above.join(&so_far)) {
                Some(node) if matches!(node.kind, Kind::Directory) => {
                    self.directory(&root.join(&so_far), node, false)?;
                }
                _ => self.directories(&root.join(&so_far))?,
            }
        }
        Ok(root.join(kept))
    }

    fn resolve(&self, path: &Path, follow_last: bool) -> Result<PathBuf, BuildError> {
        self.tree
            .resolve(path, follow_last)
            .map(|resolved| resolved.path)
            .map_err(|error| match error {
                crate::tree::Error::NotADirectory(path) => conflict(
                    "something",
                    &path,
                    "it is not a directory, and the path leads through it",
                ),
                error => error.into(),
            })
    }

    /// Makes a working directory where there is none.
    pub fn working_directory(&mut self, destination: &Destination) -> Result<(), BuildError> {
        let path = self.resolve(&destination.path, true)?;
        self.directories(&path)
    }

    /// Makes a directory and those above it, where they are missing. The path is resolved.
    pub fn directories(&mut self, path: &Path) -> Result<(), BuildError> {
        let mut so_far = PathBuf::new();
        for component in path.components() {
            so_far.push(component);
            match self.tree.get(&so_far) {
                Some(Node {
                    kind: Kind::Directory,
                    ..
                }) => {}
                Some(_) => return Err(conflict("a directory", &so_far, "a file is there")),
                None => {
                    let owner = self.owner.unwrap_or((0, 0));
                    // Only the permission bits of an octal --chmod reach directories that had to be made.
                    let mode = match self.chmod {
                        Some(Chmod::Octal(mode)) => mode & 0o777,
                        _ => 0o755,
                    };
                    self.make_directory(&so_far, mode, owner)?;
                }
            }
        }
        Ok(())
    }

    /// Makes one directory where nothing is.
    fn make_directory(&mut self, path: &Path, mode: u32, (uid, gid): (u32, u32)) -> Result<(), BuildError> {
        let metadata = Metadata {
            mode,
            uid,
            gid,
            mtime: self.now,
            ..Metadata::default()
        };
        let kind = Kind::Directory;
        self.tree.insert(path, Node { metadata, kind })?;
        self.touched.insert(path.to_owned());
        Ok(())
    }

    /// A directory of the source: the topmost one only gets its time, nested ones overwrite mode and owner.
    fn directory(&mut self, to: &Path, node: &Node, topmost: bool) -> Result<(), BuildError> {
        match self.tree.get(to) {
            Some(Node {
                kind: Kind::Directory,
                ..
            }) => {
                if !topmost {
                    let metadata = self.owned(node).metadata;
                    self.change(to, |old| *old = metadata)?;
                }
            }
            Some(_) => {
                return Err(conflict(
                    "a directory",
                    to,
                    "something else is there, perhaps a link",
                ));
            }
            None => self.tree.insert(to, self.owned(node))?,
        }
        self.touched.insert(to.to_owned());
        Ok(())
    }

    /// Removes a file or link that is in the way of a file.
    fn make_room(&mut self, path: &Path) -> Result<(), BuildError> {
        match self.tree.get(path) {
            Some(Node {
                kind: Kind::Directory,
                ..
            }) => Err(conflict("a file", path, "a directory is there")),
            Some(_) => {
                self.tree.remove(path)?;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, path: &Path, change: impl FnOnce(&mut Metadata)) -> Result<(), BuildError> {
        if let Some(node) = self.tree.get(path) {
            let mut node = node.clone();
            change(&mut node.metadata);
            self.tree.insert(path, node)?;
            self.touched.insert(path.to_owned());
        }
        Ok(())
    }

    /// A node with the owner and mode it gets here.
    fn owned(&self, node: &Node) -> Node {
        let mut node = node.clone();
        if let Some((uid, gid)) = self.owner {
            (node.metadata.uid, node.metadata.gid) = (uid, gid);
        }
        if let Some(chmod) = &self.chmod
            && !matches!(node.kind, Kind::Symlink(_))
        {
            let is_directory = matches!(node.kind, Kind::Directory);
            node.metadata.mode = chmod.apply(node.metadata.mode, is_directory);
        }
        node
    }

    /// Unpacks an archive into a directory, by tar's rules: what is there gives way, but for a directory in the place
    /// of a directory; modes are the archive's, and so are owners unless `chown` says that they are the placer's; the
    /// archive's own root is passed over.
    pub fn unpack(
        &mut self,
        changes: &[Change],
        destination: &Destination,
        chown: bool,
    ) -> Result<(), BuildError> {
        let root = self.resolve(&destination.path, true)?;
        let chmod = self.chmod.take();
        let made = self.directories(&root);
        self.chmod = chmod;
        made?;
        for change in changes
            .iter()
            .filter(|change| !change.path.as_os_str().is_empty())
        {
            let to = root.join(&change.path);
            if let Some(parent) = change.path.parent() {
                self.archive_parents(&root, parent)?;
            }
            match &change.what {
                What::Node(node) => {
                    let mut node = node.clone();
                    if let Some((uid, gid)) = self.owner.filter(|_| chown) {
                        (node.metadata.uid, node.metadata.gid) = (uid, gid);
                    }
                    self.replace(&to, &node)?;
                    self.tree.insert(&to, node)?;
                }
                What::HardLink(target) => {
                    let target = root.join(target);
                    if self.tree.get(&target).is_none() {
                        return Err(conflict(
                            "a hard link",
                            &to,
                            "the archive does not hold what it names",
                        ));
                    }
                    if target != to {
                        self.tree.remove(&to)?;
                        self.tree.link(&to, target)?;
                    }
                }
                // Such entries mean something in layers, not in archives.
                What::Whiteout | What::Opaque => continue,
            }
            self.touched.insert(to);
        }
        Ok(())
    }

    /// Directories that the archive does not list, root's; links among them are not followed.
    fn archive_parents(&mut self, root: &Path, parent: &Path) -> Result<(), BuildError> {
        let mut so_far = root.to_owned();
        for component in parent.components() {
            so_far.push(component);
            if !self
                .tree
                .get(&so_far)
                .is_some_and(|node| matches!(node.kind, Kind::Directory))
            {
                self.tree.remove(&so_far)?;
                self.make_directory(&so_far, 0o755, (0, 0))?;
            }
        }
        Ok(())
    }

    fn replace(&mut self, path: &Path, node: &Node) -> Result<(), BuildError> {
        let both_directories = matches!(node.kind, Kind::Directory)
            && self
                .tree
                .get(path)
                .is_some_and(|old| matches!(old.kind, Kind::Directory));
        if !both_directories {
            self.tree.remove(path)?;
        }
        Ok(())
    }

    /// The layer: what was touched, and the directories above it.
    pub fn changes(self) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut first: BTreeMap<InodeId, PathBuf> = BTreeMap::new();
        for path in with_parents(self.touched) {
            let Some(node) = self.tree.get(&path) else {
                continue;
            };
            let inode = self
                .tree
                .inode(&path)
                .filter(|_| !matches!(node.kind, Kind::Directory));
            let what = match inode.and_then(|inode| first.get(&inode)) {
                Some(name) => What::HardLink(name.clone()),
                None => What::Node(node.clone()),
            };
            first.extend(
                inode
                    .filter(|inode| !first.contains_key(inode))
                    .map(|inode| (inode, path.clone())),
            );
            changes.push(Change { path, what });
        }
        changes
    }
}

/// With all directories above: some tools that unpack layers give directories which a layer does not list the wrong
/// mode and owner.
pub(super) fn with_parents(paths: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let mut all = paths.clone();
    for path in &paths {
        for parent in path.ancestors().skip(1) {
            if parent.as_os_str().is_empty() || !all.insert(parent.to_owned()) {
                break;
            }
        }
    }
    all
}

fn conflict(what: &'static str, path: &Path, why: &'static str) -> BuildError {
    Problem::Conflict {
        what,
        path: Path::new("/").join(path),
        why,
    }
    .into()
}
