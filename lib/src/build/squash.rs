//! All that a build adds to its base image in one layer.

use std::sync::Arc;

use super::{error::BuildError, layers::complete, solver::Shared, stage::Stage};
use crate::{
    image::{History, Image, Layer},
    tree::{self, Tree},
};

/// How much of an image is its base.
#[derive(Clone, Copy)]
pub(super) struct Base {
    pub layers: usize,
    pub history: usize,
}

impl Base {
    /// All of it, so far.
    pub fn of(image: &Image) -> Self {
        Self {
            layers: image.layers().len(),
            history: image.config().history.len(),
        }
    }
}

/// The image of a stage with one new layer instead of several. Its history stays; the layer is that of the last entry.
pub(super) async fn squash(shared: &Arc<Shared>, stage: &Stage) -> Result<Image, BuildError> {
    let layers = stage.image.layers();
    let (base, new) = layers.split_at(stage.base.layers.min(layers.len()));
    if new.len() < 2 {
        return Ok(stage.image.clone());
    }
    let lower = apply(shared, Tree::new(), base).await?;
    let whole = apply(shared, lower.clone(), new).await?;
    let changes = tree::diff(&lower, &whole);
    let mut image = Image::scratch(&stage.image.platform());
    for layer in base {
        image.append(layer.clone(), History::default());
    }
    let mut config = stage.image.config().clone();
    let own = stage.base.history;
    config
        .history
        .iter_mut()
        .skip(own)
        .for_each(|entry| entry.empty_layer = true);
    if !changes.is_empty() {
        let made = shared.layers.make(shared, complete(changes, &whole)).await?;
        let made = made.packed().await?;
        image.append(made.layer, History::default());
        config
            .history
            .iter_mut()
            .skip(own)
            .next_back()
            .into_iter()
            .for_each(|entry| entry.empty_layer = false);
    }
    *image.config_mut() = config;
    image.annotations_mut().clone_from(stage.image.annotations());
    Ok(image)
}

async fn apply(shared: &Arc<Shared>, mut tree: Tree, layers: &[Layer]) -> Result<Tree, BuildError> {
    for layer in layers {
        tree.apply(&shared.layers.index(shared, layer).await?.changes)?;
    }
    Ok(tree)
}
