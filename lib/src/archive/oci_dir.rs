//! OCI image layouts in a directory.

use std::path::Path;

use super::{Error, closure, entries};
use crate::{
    image::{Blobs, Descriptor},
    store::{Layout, put_entry},
};

/// Adds an image to a layout, which is made if there is none, under these names or none; other images stay, but those
/// that had the names.
///
/// # Errors
/// If something cannot be read or written. The image is not in the layout then; some of its blobs may be.
pub fn write(
    source: &dyn Blobs,
    image: &Descriptor,
    path: &Path,
    names: &[String],
) -> Result<Descriptor, Error> {
    let layout = Layout::create(path)?;
    for blob in closure(source, image)? {
        layout.fetch(source, &blob, || layout.new_blob())?;
    }
    layout.edit(|index| {
        for entry in entries(image, names) {
            put_entry(&mut index.manifests, entry);
        }
    })?;
    Ok(image.clone())
}
