//! Which names of changed inodes go into a layer.

use std::{collections::HashMap, path::PathBuf};

use crate::tree::{Change, InodeId, What};

/// A change, or a name that may turn out to be none.
pub(crate) struct Found {
    pub change: Change,
    /// For names of an inode with several: device and inode number.
    pub inode: Option<(u64, u64)>,
    /// The inode of the lower tree that it equals.
    pub equals: Option<InodeId>,
}

/// Drops what is as it was, and makes links of the further names of an inode.
///
/// An inode is as it was if all its names are, and were names of one inode before. If one is not, all are in the layer:
/// the names that only got company, too.
pub(crate) fn link(found: Vec<Found>) -> Vec<Change> {
    let mut before: HashMap<(u64, u64), Option<InodeId>> = HashMap::new();
    for Found { inode, equals, .. } in &found {
        if let Some(inode) = inode {
            before
                .entry(*inode)
                .and_modify(|before| *before = before.filter(|before| Some(*before) == *equals))
                .or_insert(*equals);
        }
    }
    let mut first_names: HashMap<(u64, u64), PathBuf> = HashMap::new();
    let mut changes = Vec::new();
    for Found {
        change: Change { path, what },
        inode,
        equals,
    } in found
    {
        let Some(inode) = inode else {
            if equals.is_none() {
                changes.push(Change { path, what });
            }
            continue;
        };
        if before.get(&inode).copied().flatten().is_some() {
            continue;
        }
        let first = first_names.get(&inode).cloned();
        let what = first.map_or(what, What::HardLink);
        first_names.entry(inode).or_insert_with(|| path.clone());
        changes.push(Change { path, what });
    }
    changes
}
