//! What a COPY or ADD takes: which paths of a source tree its words name.

use std::path::{Component, Path, PathBuf};

use super::error::{BuildError, Problem};
use crate::{
    Digest, Hasher,
    containerfile::{
        ignore::Ignore,
        pattern::{Pattern, has_wildcards},
        suggest::nearest,
    },
    plan::key::prefixed,
    tree::{Kind, Node, Tree},
};

/// One path that a word named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    /// As named, relative to the source's root: its last component is what a copy into a directory is called.
    pub named: PathBuf,
    /// Where that is once symbolic links are resolved.
    pub real: PathBuf,
    /// With `--parents`: the path that is kept below the destination.
    pub kept: Option<PathBuf>,
}

/// The paths that a source word names, in order: one for a plain name, any number for a pattern.
///
/// A pattern is matched component by component from its first wildcard on; a leading `*` takes dotfiles, too. Links
/// are resolved inside the source's root.
///
/// # Errors
/// If a plain name is not there. A pattern may match nothing.
pub(super) fn picks(tree: &Tree, word: &str, place: &str) -> Result<Vec<Pick>, BuildError> {
    let word = clean(word);
    let (fixed, wild) = split_wildcards(&word);
    if wild.as_os_str().is_empty() {
        return match resolve(tree, &fixed)? {
            Some(real) => Ok(vec![Pick {
                named: fixed,
                real,
                kept: None,
            }]),
            None => Err(missing(tree, &fixed, place)),
        };
    }
    let Some(start) = resolve(tree, &fixed)? else {
        return Ok(Vec::new());
    };
    let mut picks = Vec::new();
    for name in matching(tree, &start, &wild)? {
        let named = fixed.join(&name);
        if let Some(real) = resolve(tree, &start.join(&name))? {
            picks.push(Pick {
                named,
                real,
                kept: None,
            });
        }
    }
    Ok(picks)
}

/// The path that a name stands for which is no pattern.
pub(super) fn plain(tree: &Tree, name: &str, place: &str) -> Result<Pick, BuildError> {
    let named = clean(name);
    match resolve(tree, &named)? {
        Some(real) => Ok(Pick {
            named,
            real,
            kept: None,
        }),
        None => Err(missing(tree, &named, place)),
    }
}

/// Where a path leads, if something is there.
fn resolve(tree: &Tree, path: &Path) -> Result<Option<PathBuf>, BuildError> {
    match tree.resolve(path, true) {
        Ok(resolved) => Ok(resolved.node.is_some().then_some(resolved.path)),
        // A path through a file leads nowhere, like one through nothing.
        Err(crate::tree::Error::NotADirectory(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Below the root, without `.` and `..`.
pub(super) fn clean(word: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for component in Path::new(word).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                path.pop();
            }
            _ => {}
        }
    }
    path
}

/// The components before the first one with a wildcard, and the rest.
fn split_wildcards(path: &Path) -> (PathBuf, PathBuf) {
    let wild = |component: &Component<'_>| has_wildcards(&component.as_os_str().to_string_lossy());
    let first = path
        .components()
        .position(|component| wild(&component))
        .unwrap_or(usize::MAX);
    (
        path.components().take(first).collect(),
        path.components().skip(first).collect(),
    )
}

/// Paths below `start` that match a pattern, sorted. What matched is not searched further.
fn matching(tree: &Tree, start: &Path, wild: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let mut found = vec![PathBuf::new()];
    for component in wild.components() {
        let wanted = Pattern::parse(&component.as_os_str().to_string_lossy())
            .map_err(|error| Problem::Value(error.to_string()))?;
        let mut next = Vec::new();
        for path in &found {
            for (name, _) in tree.children(start.join(path)) {
                if wanted.matches(name) {
                    next.push(path.join(name));
                }
            }
        }
        found = next;
    }
    Ok(found)
}

fn missing(tree: &Tree, path: &Path, place: &str) -> BuildError {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let parent = path.parent().unwrap_or(Path::new(""));
    let there: Vec<String> = tree
        .children(parent)
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .collect();
    let similar = nearest(&name, there.iter().map(String::as_str));
    let similar = similar.map(|name| parent.join(name).display().to_string());
    Problem::NoSuchSource {
        source_name: path.display().to_string(),
        place: place.to_owned(),
        ignored_by: None,
        similar,
    }
    .into()
}

/// Calls `visit` for what a pick brings: the node itself (with an empty path) and everything below it that
/// `--exclude` leaves, each with its path relative to the pick, parents first.
pub(super) fn walk<'t, E>(
    tree: &'t Tree,
    pick: &Pick,
    exclude: &Ignore,
    visit: &mut dyn FnMut(&Path, &Path, &'t Node) -> Result<(), E>,
) -> Result<(), E> {
    let Some(node) = tree.get(&pick.real) else {
        return Ok(());
    };
    visit(Path::new(""), &pick.real, node)?;
    if matches!(node.kind, Kind::Directory) {
        walk_below(tree, &pick.real, Path::new(""), exclude, &mut Vec::new(), visit)?;
    }
    Ok(())
}

/// `held` are excluded directories on the way here: they are visited once something in them is.
fn walk_below<'t, E>(
    tree: &'t Tree,
    directory: &Path,
    relative: &Path,
    exclude: &Ignore,
    held: &mut Vec<(PathBuf, PathBuf, &'t Node)>,
    visit: &mut dyn FnMut(&Path, &Path, &'t Node) -> Result<(), E>,
) -> Result<(), E> {
    for (name, node) in tree.children(directory) {
        let (path, relative) = (directory.join(name), relative.join(name));
        let excluded = exclude.matches(&relative);
        let is_directory = matches!(node.kind, Kind::Directory);
        if excluded && !(is_directory && exclude.may_descend(&relative)) {
            continue;
        }
        if excluded {
            held.push((relative.clone(), path.clone(), node));
            walk_below(tree, &path, &relative, exclude, held, visit)?;
            // Still there if nothing below was visited.
            if held.last().is_some_and(|(held, ..)| *held == relative) {
                held.pop();
            }
            continue;
        }
        for (relative, path, node) in held.drain(..) {
            visit(&relative, &path, node)?;
        }
        visit(&relative, &path, node)?;
        if is_directory {
            walk_below(tree, &path, &relative, exclude, held, visit)?;
        }
    }
    Ok(())
}

/// The digest of what a pick brings: names, types, modes, contents, owners if they are kept; never times.
///
/// `digest` gives the digest of a file's content, by its path in the tree.
pub(super) fn fingerprint(
    tree: &Tree,
    pick: &Pick,
    exclude: &Ignore,
    owners: bool,
    digest: &mut dyn FnMut(&Path, &Node) -> Result<Digest, BuildError>,
) -> Result<Digest, BuildError> {
    let mut hasher = Hasher::new();
    prefixed(
        &mut hasher,
        pick.named.file_name().unwrap_or_default().as_encoded_bytes(),
    );
    let mut inodes = std::collections::HashMap::new();
    walk(tree, pick, exclude, &mut |relative,
                                    path,
                                    node|
     -> Result<(), BuildError> {
        prefixed(&mut hasher, relative.as_os_str().as_encoded_bytes());
        if relative.as_os_str().is_empty() && matches!(node.kind, Kind::Directory) {
            // Of the directory itself only the entries are copied.
            return Ok(());
        }
        hasher.update(node.metadata.mode.to_le_bytes());
        if owners {
            hasher.update(node.metadata.uid.to_le_bytes());
            hasher.update(node.metadata.gid.to_le_bytes());
            for (name, value) in &node.metadata.xattrs {
                prefixed(&mut hasher, name.as_encoded_bytes());
                prefixed(&mut hasher, value);
            }
        }
        match &node.kind {
            Kind::File(_) => {
                hasher.update([0]);
                hasher.update(digest(path, node)?.as_bytes());
                // Which names are one file is part of what is copied.
                if let Some(inode) = tree.inode(path) {
                    let number = inodes.len();
                    hasher.update(inodes.entry(inode).or_insert(number).to_le_bytes());
                }
            }
            Kind::Directory => hasher.update([1]),
            Kind::Symlink(target) => {
                hasher.update([2]);
                prefixed(&mut hasher, target.as_encoded_bytes());
            }
            Kind::Fifo => hasher.update([3]),
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                hasher.update([4 + u8::from(matches!(node.kind, Kind::BlockDevice { .. }))]);
                hasher.update(major.to_le_bytes());
                hasher.update(minor.to_le_bytes());
            }
        }
        Ok(())
    })?;
    Ok(hasher.finish())
}

/// For `--parents`: what is picked keeps the directories of its path, from the first `/./` of the word on.
pub(super) fn keep_parents(picks: &mut [Pick], word: &str) {
    let pivot = word
        .split_once("/./")
        .map_or(PathBuf::new(), |(before, _)| clean(before));
    for pick in picks {
        pick.kept = Some(pick.named.strip_prefix(&pivot).unwrap_or(&pick.named).to_owned());
    }
}
