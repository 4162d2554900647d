//! The layers above an old base onto a new one.

use std::sync::Arc;

use super::{Edit, Error, conflict::conflicts, merge};
use crate::{
    image::{BASE_DIGEST, BASE_NAME, Image},
    inspect::layer_changes,
    store::Store,
    tree::{Change, Tree},
};

/// Exchanges the base of an image: its first layers are those of `old`, and will be those of `new`. Config and history
/// are merged. Reads all layers that are not in both bases, and blocks.
///
/// # Errors
/// If the image is not built on `old`; if a layer above has touched what differs between the bases
/// ([`Error::Conflicts`]); if a layer cannot be read.
pub fn rebase(image: &mut Edit, old: &Edit, new: &Edit, store: Option<&Store>) -> Result<(), Error> {
    is_base(image, old)?;
    let (of_image, of_old, of_new) = (image.image(), old.image(), new.image());
    let above = of_image
        .layers()
        .get(of_old.layers().len()..)
        .unwrap_or_default()
        .to_vec();
    let before = tree(old, store)?;
    let after = tree(new, store)?;
    let blobs = image.blobs();
    let touched: Result<Vec<Vec<Change>>, Error> = above
        .iter()
        .map(|layer| Ok(layer_changes(layer, &blobs, store)?))
        .collect();
    let found = conflicts(&before, &after, &touched?);
    if !found.is_empty() {
        return Err(Error::Conflicts(found));
    }
    let config = merge::config(of_image.config(), of_old.config(), of_new.config());
    let mut rebased = Image::scratch(&of_new.platform());
    for layer in of_new.layers().iter().chain(&above) {
        rebased.append(layer.clone(), Default::default());
    }
    *rebased.config_mut() = config;
    *rebased.annotations_mut() = of_image.annotations().clone();
    let digest = of_new.encode()?.descriptor.digest;
    rebased
        .annotations_mut()
        .insert(BASE_DIGEST.to_owned(), digest.to_string());
    match new.registry_name() {
        Some(name) => rebased.annotations_mut().insert(BASE_NAME.to_owned(), name),
        None => rebased.annotations_mut().remove(BASE_NAME),
    };
    image.sources.extend(
        new.sources
            .iter()
            .map(|(source, layers)| (Arc::clone(source), layers.clone())),
    );
    image.replace(rebased);
    Ok(())
}

/// Whether the lowest layers of an image are those of another.
pub(super) fn is_base(image: &Edit, base: &Edit) -> Result<(), Error> {
    let mut layers = image.image().layers().iter();
    for (number, layer) in base.image().layers().iter().enumerate() {
        if layers.next().map(|other| other.diff_id) != Some(layer.diff_id) {
            return Err(Error::NotTheBase {
                image: image.place().to_owned(),
                base: base.place().to_owned(),
                layer: number + 1,
            });
        }
    }
    Ok(())
}

pub(super) fn tree(image: &Edit, store: Option<&Store>) -> Result<Tree, Error> {
    Ok(image.files(store)?.tree().clone())
}
