//! What speaks against putting layers onto another base.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use crate::tree::{Change, Kind, Metadata, Node, Tree, What, diff};

/// A path that the base changed, and a layer above it touched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// From the root of the image.
    pub path: PathBuf,
    /// What the new base made of it, in a word.
    pub base: &'static str,
    /// What the layer made of it, in a word.
    pub above: &'static str,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = Path::new("/").join(&self.path);
        write!(
            f,
            "{}: {} by the base, {} above it",
            path.display(),
            self.base,
            self.above
        )
    }
}

/// What the new base changed and the layers above the old one touched, by path.
///
/// That both have a directory is none: layers name the directories around what they hold. But a layer that says of a
/// directory what the old base said of it would take back what the new one says.
pub(super) fn conflicts(old: &Tree, new: &Tree, above: &[Vec<Change>]) -> Vec<Conflict> {
    let changed: BTreeMap<PathBuf, What> = diff(old, new)
        .into_iter()
        .map(|change| (change.path, change.what))
        .collect();
    let mut found: Vec<Conflict> = Vec::new();
    for change in above.iter().flatten() {
        for path in touched(change) {
            found.extend(meets(&changed, old, path, &change.what));
        }
    }
    found.sort();
    found.dedup_by(|a, b| a.path == b.path);
    found
}

/// The paths that an entry of a layer depends on.
fn touched(change: &Change) -> Vec<&Path> {
    match &change.what {
        What::HardLink(target) => vec![&change.path, target],
        _ => vec![&change.path],
    }
}

fn meets(changed: &BTreeMap<PathBuf, What>, old: &Tree, path: &Path, above: &What) -> Vec<Conflict> {
    let mut found = Vec::new();
    let mut conflict = |path: &Path, base: &What| {
        let (base, above) = (word(base, old.get(path).is_some()), word(above, true));
        found.push(Conflict {
            path: path.to_owned(),
            base,
            above,
        });
    };
    // A directory around it that is none any more, or gone.
    for parent in path.ancestors().skip(1) {
        match changed.get(parent) {
            Some(base) if !is_directory(base) => conflict(parent, base),
            _ => {}
        }
    }
    if let Some(base) = changed.get(path)
        && !agree(base, above, old.get(path))
    {
        conflict(path, base);
    }
    // What it hides or replaces.
    if !matches!(
        above,
        What::Node(Node {
            kind: Kind::Directory,
            ..
        })
    ) {
        for (below, base) in changed
            .range(path.to_owned()..)
            .take_while(|(below, _)| below.starts_with(path))
        {
            if below != path {
                conflict(below, base);
            }
        }
    }
    found
}

fn is_directory(what: &What) -> bool {
    matches!(
        what,
        What::Node(Node {
            kind: Kind::Directory,
            ..
        })
    )
}

/// Whether the result is right whichever of the two came first.
fn agree(base: &What, above: &What, old: Option<&Node>) -> bool {
    match (base, above) {
        (What::Whiteout, What::Whiteout) => true,
        (What::Node(base), What::Node(above))
            if base.kind == Kind::Directory && above.kind == Kind::Directory =>
        {
            let (base, above) = (timeless(&base.metadata), timeless(&above.metadata));
            let old = old.map(|old| timeless(&old.metadata));
            base == above || old.is_some_and(|old| old == base)
        }
        (base, above) => base == above,
    }
}

/// Times of directories change with whatever is made in them.
fn timeless(metadata: &Metadata) -> Metadata {
    Metadata {
        mtime: 0,
        ..metadata.clone()
    }
}

fn word(what: &What, was_there: bool) -> &'static str {
    match what {
        What::Whiteout => "removed",
        What::Opaque => "emptied",
        What::HardLink(_) => "linked",
        What::Node(_) if was_there => "changed",
        What::Node(_) => "added",
    }
}
