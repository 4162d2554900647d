//! A layer onto a Tree.

use super::{Change, Error, Tree, What};

impl Tree {
    /// Applies a layer.
    ///
    /// Whiteouts and opaque directories hide what lower layers hold and nothing of the layer itself, wherever in it
    /// they stand (OCI image-spec `layer.md`, whiteouts), so they come first.
    ///
    /// # Errors
    /// When a path is not clean, or a hard link names nothing. The Tree is then the layer's up to there.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), Error> {
        for change in changes {
            match &change.what {
                What::Whiteout => {
                    self.make_parents(&change.path)?;
                    self.remove(&change.path)?;
                }
                What::Opaque => self.clear(&change.path)?,
                What::Node(_) | What::HardLink(_) => {}
            }
        }
        for change in changes {
            match &change.what {
                What::Node(node) => self.insert(&change.path, node.clone())?,
                What::HardLink(target) => self.link(&change.path, target)?,
                What::Whiteout | What::Opaque => {}
            }
        }
        Ok(())
    }
}
