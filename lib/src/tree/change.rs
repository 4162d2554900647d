//! What one entry of a layer says.

use std::path::PathBuf;

use super::Node;

/// One entry of a layer. Order matters: a hard link follows the entry that it names, a directory precedes its entries.
///
/// OCI image-spec `layer.md`, change types and whiteouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Relative to the root, clean: no `.`, no `..`, no leading or trailing slash; empty for the root itself.
    pub path: PathBuf,
    /// What happens there.
    pub what: What,
}

/// What a layer does at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The path is this now. A directory over a directory keeps its entries, anything else replaces.
    Node(Node),
    /// The path is another name of the file at this path (same form as [`Change::path`]).
    HardLink(PathBuf),
    /// The path of lower layers is gone, with everything below it (`.wh.NAME`).
    Whiteout,
    /// Nothing of lower layers shows in this directory (`.wh..wh..opq` in it).
    Opaque,
}
