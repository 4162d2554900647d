//! Small files of a stage's root filesystem: who its users are.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use super::{
    error::{BuildError, Problem},
    solver::Shared,
    stage::Stage,
    users::Users,
};
use crate::{
    Digest,
    tree::{Change, Content, Kind, Origin, What},
};

/// What is longer is cut off.
const LIMIT: u64 = 4 << 20;

/// The users of the stage's root filesystem.
pub(super) async fn users(stage: &mut Stage) -> Result<Users, BuildError> {
    let passwd = read(stage, "etc/passwd").await?;
    let group = read(stage, "etc/group").await?;
    Ok(Users::parse(&passwd, &group))
}

/// The bytes of a file of the stage; empty if it is not there.
async fn read(stage: &mut Stage, path: &str) -> Result<Arc<[u8]>, BuildError> {
    let shared = stage.shared.clone();
    let tree = stage.tree().await?;
    let Ok(resolved) = tree.resolve(path, true) else {
        return Ok(Arc::default());
    };
    let Some(node) = resolved.node.cloned() else {
        return Ok(Arc::default());
    };
    let Kind::File(content) = node.kind.clone() else {
        return Ok(Arc::default());
    };
    let change = Change {
        path: resolved.path,
        what: What::Node(node),
    };
    let find = || async {
        match unpacked(&shared, &change.path, &content).await? {
            Some(bytes) => Ok(bytes),
            None => in_layer(&shared, change, content.clone()).await,
        }
    };
    match content.digest {
        Some(digest) => shared.layers.small.get(digest, find).await,
        None => find().await,
    }
}

/// From the layer on disk, if it is unpacked: to find the file in the blob takes reading most of that.
async fn unpacked(
    shared: &Arc<Shared>,
    path: &Path,
    content: &Content,
) -> Result<Option<Arc<[u8]>>, BuildError> {
    let engine = shared.known_engine().filter(|engine| engine.mounts());
    let (Some(engine), Origin::Layer { diff_id, .. }) = (engine, &content.origin) else {
        return Ok(None);
    };
    let Some(directory) = shared.store.layer_dir(engine.format(), diff_id) else {
        return Ok(None);
    };
    let (path, content) = (path.to_owned(), content.clone());
    let look = move || {
        let bytes = open_below(&directory, &path).and_then(|file| {
            let mut bytes = Vec::new();
            file.take(LIMIT).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        // Whatever is there, it has to be the right bytes.
        let right = |bytes: &Vec<u8>| content.digest == Some(Digest::of(bytes));
        Ok(bytes.ok().filter(right).map(Arc::from))
    };
    shared.blocking(look).await
}

/// A regular file; no links are followed.
fn open_below(directory: &Path, path: &Path) -> io::Result<File> {
    let root = open(directory, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = File::from(openat2(&root, path, flags, Mode::empty(), resolve)?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

async fn in_layer(shared: &Arc<Shared>, change: Change, content: Content) -> Result<Arc<[u8]>, BuildError> {
    let read = move |changes: &[Change], contents: &dyn crate::layer::Contents| {
        let mut bytes = Vec::new();
        let path = changes.first().map_or(Path::new(""), |change| &change.path);
        let mut limited = contents.open(&content)?.take(LIMIT);
        limited
            .read_to_end(&mut bytes)
            .map_err(Problem::io("read", path))?;
        Ok(bytes.into())
    };
    shared.layers.with_contents(shared, vec![change], read).await
}
