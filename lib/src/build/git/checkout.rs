//! The files of a commit: checked out, given metadata that depends on nobody, and put into the store.

use std::{fs, io, path::Path};

use super::{Commit, program::Git, repository::Repository};
use crate::{
    build::{
        error::{BuildError, Problem},
        layers, select,
        stage::Made,
    },
    layer::{self, Compression, Sources},
    registry::without_password,
    store::Store,
    tree::{self, Filter, Kind, Node, StatCache, Tree},
};

/// A commit to check out.
pub(super) struct Checkout<'a> {
    pub git: &'a Git,
    pub repository: &'a Repository,
    pub commit: &'a Commit,
    pub keep_git_dir: bool,
    pub submodules: bool,
}

impl Checkout<'_> {
    /// The files of a directory in the commit as a layer that is not compressed.
    pub fn make(&self, store: &Store, subdir: &str, now: i64) -> Result<Made, BuildError> {
        let directory = store.tmp_dir()?;
        let files = directory.path().join("files");
        fs::create_dir(&files).map_err(Problem::io("create", &files))?;
        self.check_out(&files)?;
        let filter: &dyn Filter = if self.keep_git_dir { &() } else { &NoGitDir };
        let mut scan = tree::Context::scan(&files, filter, StatCache::default())?;
        scan.digest(&[Path::new("").to_owned()])?;
        let part = self.part(scan.tree(), subdir, now)?;
        pack(store, &part)
    }

    /// Fills a directory. It becomes a repository of its own, since submodules want one.
    fn check_out(&self, files: &Path) -> Result<(), Problem> {
        let git = self.git;
        let format = match self.commit.id.len() {
            64 => "--object-format=sha256",
            _ => "--object-format=sha1",
        };
        git.run(git.command(files, ["init", "--quiet", "--template=", format]))?;
        git.run(git.command(files, ["remote", "add", "--", "origin", git.remote()]))?;
        match self.keep_git_dir {
            true => self.copy_objects(files)?,
            false => self.borrow_objects(&files.join(".git"))?,
        }
        let id = self.commit.id.as_str();
        git.run(git.command(files, ["checkout", "--quiet", "--force", "--detach", id]))?;
        if self.submodules && files.join(".gitmodules").exists() {
            self.fetch_submodules(files)?;
        }
        match self.keep_git_dir {
            true => self.tidy_git_dir(files),
            false => Ok(()),
        }
    }

    /// Takes the objects from where they are.
    fn borrow_objects(&self, git_dir: &Path) -> Result<(), Problem> {
        let alternates = git_dir.join("objects/info/alternates");
        let objects = self.repository.path().join("objects");
        fs::create_dir_all(git_dir.join("objects/info")).map_err(Problem::io("create", &alternates))?;
        let line = [objects.as_os_str().as_encoded_bytes(), b"\n"].concat();
        fs::write(&alternates, line).map_err(Problem::io("write", &alternates))?;
        // Parents of commits that end the history here are not to be looked for.
        let shallow = self.repository.path().join("shallow");
        if shallow.exists() {
            fs::copy(&shallow, git_dir.join("shallow")).map_err(Problem::io("copy", &shallow))?;
        }
        Ok(())
    }

    /// Fetches the commit, so that the directory is complete without the store.
    fn copy_objects(&self, files: &Path) -> Result<(), Problem> {
        let git = self.git;
        let mut command = git.command(files, ["fetch", "--quiet", "--depth=1", "--no-tags", "--"]);
        command.arg(self.repository.path());
        command.arg(Repository::name_of(self.commit));
        command.env("GIT_ALLOW_PROTOCOL", "file");
        git.run(command)?;
        // Programs that ask for a version look for tags.
        match &self.commit.reference {
            Some(tag) if tag.starts_with("refs/tags/") => git
                .run(git.command(files, ["update-ref", tag, &self.commit.id]))
                .map(drop),
            _ => Ok(()),
        }
    }

    fn fetch_submodules(&self, files: &Path) -> Result<(), Problem> {
        let update = [
            "submodule",
            "--quiet",
            "update",
            "--init",
            "--recursive",
            "--force",
        ];
        let mut shallow = self.git.command(files, update);
        shallow.arg("--depth=1");
        match self.git.run(shallow) {
            Ok(_) => Ok(()),
            Err(Problem::Cancelled) => Err(Problem::Cancelled),
            // Some servers give no commit by its own name, and some know no depth.
            Err(_) => self.git.run(self.git.command(files, update)).map(drop),
        }
    }

    /// Removes from `.git` what differs from one checkout to the next, and passwords.
    fn tidy_git_dir(&self, files: &Path) -> Result<(), Problem> {
        let (git, git_dir) = (self.git, files.join(".git"));
        let shown = without_password(git.remote());
        git.run(git.command(files, ["remote", "set-url", "--", "origin", &shown]))?;
        for name in ["FETCH_HEAD", "ORIG_HEAD"] {
            match fs::remove_file(git_dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Problem::io("remove", git_dir.join(name))(error));
                }
                _ => {}
            }
        }
        if git_dir.join("logs").exists() {
            fs::remove_dir_all(git_dir.join("logs")).map_err(Problem::io("remove", git_dir.join("logs")))?;
        }
        // An index without what stat says about this machine.
        git.run(git.command(files, ["read-tree", "HEAD"])).map(drop)
    }

    /// What is in a directory of the commit: root's, with the modes that git knows, and all of one time.
    fn part(&self, tree: &Tree, subdir: &str, now: i64) -> Result<Tree, BuildError> {
        let missing = || {
            let why = format!("commit {} has no directory {subdir:?}", self.commit.id);
            BuildError::from(self.git.problem(why))
        };
        let root = tree.resolve(select::clean(subdir), true).map_err(|_| missing())?;
        if !root.node.is_some_and(|node| node.kind == Kind::Directory) {
            return Err(missing());
        }
        let mut part = Tree::new();
        for walked in tree.walk() {
            if let Ok(path) = walked.path.strip_prefix(&root.path) {
                part.insert(path, plain(walked.node, now))?;
            }
        }
        part.insert("", directory(now))?;
        Ok(part)
    }
}

/// Leaves out `.git`, of submodules as well.
struct NoGitDir;

impl Filter for NoGitDir {
    fn skips(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| name == ".git")
    }

    fn may_descend(&self, _: &Path) -> bool {
        false
    }
}

/// A node with metadata that depends on nothing but the commit, but for the time.
fn plain(node: &Node, now: i64) -> Node {
    let mode = match &node.kind {
        Kind::Symlink(_) => 0o777,
        Kind::File(_) if node.metadata.mode & 0o111 == 0 => 0o644,
        _ => 0o755,
    };
    let metadata = tree::Metadata {
        mode,
        mtime: now,
        ..tree::Metadata::default()
    };
    let kind = node.kind.clone();
    Node { metadata, kind }
}

fn directory(now: i64) -> Node {
    let metadata = tree::Metadata {
        mode: 0o755,
        mtime: now,
        ..tree::Metadata::default()
    };
    let kind = Kind::Directory;
    Node { metadata, kind }
}

/// Puts files into the store.
fn pack(store: &Store, files: &Tree) -> Result<Made, BuildError> {
    let changes = tree::diff(&Tree::new(), files);
    let open = |diff_id: &crate::Digest| Err(layer::Error::NoSuchLayer(*diff_id));
    let contents = Sources::new(&open, &changes);
    layers::write_layer(store, Compression::None, &changes, &contents)
}
