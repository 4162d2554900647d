//! One tree onto the disk, where nothing is yet.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{PermissionsExt, lchown, symlink},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, makedev, mknodat, utimensat};

use super::{Error, error::At, owner};
use crate::{
    Hasher,
    image::Image,
    inspect::Files,
    layer::{Contents, Sources, attributes},
    tree::{Change, Content, Kind, Metadata, Node, Origin, Tree, What, diff},
};

/// Writes all files of an image below a directory, which is made. Whatever the image holds, nothing is written
/// elsewhere: every directory on the way to a file was made here just before.
pub(super) fn write(image: &Image, files: &Files, root: &Path, rootless: bool) -> Result<(), Error> {
    let mut changes = diff(&Tree::new(), files.tree());
    fs::create_dir(root).at("cannot create", root)?;
    let writer = Writer { root, rootless };
    for change in &changes {
        if let What::Node(Node {
            kind: Kind::Directory,
            ..
        }) = &change.what
            && !change.path.as_os_str().is_empty()
        {
            let path = root.join(&change.path);
            fs::create_dir(&path).at("cannot create", &path)?;
        }
    }
    // In the order of the layers each is read once.
    let place = |content: &Content| match content.origin {
        Origin::Layer { diff_id, offset } => {
            let layer = image.layers().iter().position(|layer| layer.diff_id == diff_id);
            (layer.unwrap_or(usize::MAX), offset)
        }
        _ => (usize::MAX, 0),
    };
    let order = |change: &Change| match &change.what {
        What::Node(Node {
            kind: Kind::File(content),
            ..
        }) => (0, place(content)),
        What::Node(_) => (1, (0, 0)),
        // Names of files that are there by then.
        _ => (2, (0, 0)),
    };
    let directories: Vec<Change> = changes.extract_if(.., |change| is_directory(change)).collect();
    changes.sort_by_key(order);
    let open = |diff_id: &_| files.open_layer(diff_id);
    let contents = Sources::new(&open, &changes);
    for change in &changes {
        writer.change(change, &contents)?;
    }
    // The innermost first: what is written into a directory changes its time.
    for directory in directories.iter().rev() {
        if let What::Node(node) = &directory.what {
            writer.finish(&root.join(&directory.path), node)?;
        }
    }
    // The root itself is in no difference when it is as it always is.
    if let Some(node) = files.tree().get("") {
        writer.finish(root, node)?;
    }
    Ok(())
}

fn is_directory(change: &Change) -> bool {
    matches!(
        &change.what,
        What::Node(Node {
            kind: Kind::Directory,
            ..
        })
    )
}

struct Writer<'a> {
    root: &'a Path,
    rootless: bool,
}

impl Writer<'_> {
    fn change(&self, change: &Change, contents: &dyn Contents) -> Result<(), Error> {
        let path = self.root.join(&change.path);
        match &change.what {
            What::Node(node) => self.node(&path, node, contents),
            What::HardLink(target) => fs::hard_link(self.root.join(target), &path).at("cannot create", &path),
            What::Whiteout | What::Opaque => Ok(()),
        }
    }

    fn node(&self, path: &Path, node: &Node, contents: &dyn Contents) -> Result<(), Error> {
        match &node.kind {
            Kind::File(content) => file(path, content, contents)?,
            Kind::Directory => {}
            Kind::Symlink(target) => symlink(target, path).at("cannot create", path)?,
            Kind::Fifo => {
                mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).at("cannot create", path)?;
            }
            Kind::CharDevice { major, minor } => {
                self.device(path, FileType::CharacterDevice, *major, *minor)?
            }
            Kind::BlockDevice { major, minor } => self.device(path, FileType::BlockDevice, *major, *minor)?,
        }
        self.finish(path, node)
    }

    /// Where no devices can be made, an empty file stands for one, as with umoci.
    fn device(&self, path: &Path, kind: FileType, major: u32, minor: u32) -> Result<(), Error> {
        let made = match self.rootless {
            true => Err(rustix::io::Errno::PERM),
            false => mknodat(CWD, path, kind, Mode::RUSR, makedev(major, minor)),
        };
        match made {
            Err(rustix::io::Errno::PERM) => File::create_new(path).map(drop).at("cannot create", path),
            made => made.at("cannot create", path),
        }
    }

    /// Owner, mode, attributes, time: in this order, since each may undo one that follows.
    fn finish(&self, path: &Path, node: &Node) -> Result<(), Error> {
        let Metadata {
            mode,
            uid,
            gid,
            mtime,
            xattrs,
        } = &node.metadata;
        let mut xattrs = xattrs.clone();
        if self.rootless {
            xattrs.extend(owner::encode(*uid, *gid).map(|value| (owner::NAME.into(), value)));
        } else {
            lchown(path, Some(*uid), Some(*gid)).at("cannot give away", path)?;
        }
        if !matches!(node.kind, Kind::Symlink(_)) {
            let mode = match (self.rootless, &node.kind) {
                (false, _) => *mode,
                (true, Kind::Directory) => mode | 0o700,
                (true, _) => mode | 0o600,
            };
            fs::set_permissions(path, Permissions::from_mode(mode)).at("cannot change the mode of", path)?;
        }
        attributes::set(path, &xattrs).at("cannot set the attributes of", path)?;
        let time = Timespec {
            tv_sec: *mtime,
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).at("cannot set the time of", path)
    }
}

/// What is written must be what the layer's index says, though the layer is read again.
fn file(path: &Path, content: &Content, contents: &dyn Contents) -> Result<(), Error> {
    let mut out = File::create_new(path).at("cannot create", path)?;
    let mut from = contents.open(content)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let mut written = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(&buffer[..count]);
                out.write_all(&buffer[..count]).at("cannot write", path)?;
                written += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(crate::layer::Error::Read(error).into()),
        }
    }
    match content.digest == Some(hasher.finish()) && written == content.size {
        true => Ok(()),
        false => Err(Error::Changed(PathBuf::from(path))),
    }
}
