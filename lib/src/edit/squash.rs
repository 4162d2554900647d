//! Layers made one.

use super::{
    Edit, Error,
    rebase::{is_base, tree},
};
use crate::{
    image::{History, Image},
    layer::Sources,
    store::Store,
    tree::{Tree, diff},
};

impl Edit {
    /// Makes one layer of all layers, or of those above a base. What they had and later removed is gone; where nothing
    /// is left, there is no layer. Reads all of them, and blocks.
    ///
    /// # Errors
    /// If the image is not built on the base, or a layer cannot be read.
    pub fn squash(
        &mut self,
        base: Option<&Edit>,
        history: History,
        store: Option<&Store>,
    ) -> Result<(), Error> {
        if let Some(base) = base {
            is_base(self, base)?;
        }
        let lower = base.map_or_else(|| Ok(Tree::new()), |base| tree(base, store))?;
        let files = self.files(store)?;
        let changes = diff(&lower, files.tree());
        let open = |diff_id: &_| files.open_layer(diff_id);
        let made = match changes.is_empty() {
            true => None,
            false => Some(self.make_layer(&changes, &Sources::new(&open, &changes))?),
        };
        let mut squashed = Image::scratch(&self.image().platform());
        for layer in base.map_or(&[][..], |base| base.image().layers()) {
            squashed.append(layer.clone(), History::default());
        }
        let mut config = self.image().config().clone();
        config.history = base.map_or_else(Vec::new, |base| base.image().config().history.clone());
        let annotations = self.image().annotations().clone();
        *squashed.config_mut() = config;
        *squashed.annotations_mut() = annotations;
        match made {
            Some(layer) => squashed.append(layer, history),
            None => squashed.note(history),
        }
        self.replace(squashed);
        Ok(())
    }
}
