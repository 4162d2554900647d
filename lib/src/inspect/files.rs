//! The files of an image, through the indexes of its layers.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Digest,
    image::{self, BlobError, Blobs, Descriptor, Image, Layer, MediaType, Verified},
    layer::{self, LayerIndex},
    store::Store,
    tree::{self, Change, Kind, Origin, Tree},
};

/// Why a file of an image cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A layer cannot be opened.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A layer cannot be read.
    #[error("cannot read layer {digest}")]
    Layer {
        /// The blob.
        digest: Digest,
        /// Why not.
        #[source]
        source: layer::Error,
    },
    /// A layer is not the one that the config names.
    #[error("layer {digest} has diff ID {found}, but the image's config says {expected}")]
    DiffId {
        /// The blob.
        digest: Digest,
        /// In the config.
        expected: Digest,
        /// Of its bytes.
        found: Digest,
    },
    /// The layers do not fit on each other, or the path leads nowhere.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// The config is not valid.
    #[error(transparent)]
    Config(#[from] image::Error),
    /// There is no such file.
    #[error("the image has no {}", Path::new("/").join(path).display())]
    Missing {
        /// The path, with symbolic links followed.
        path: PathBuf,
    },
    /// What is there is no regular file.
    #[error("{} is no regular file", Path::new("/").join(path).display())]
    NotAFile {
        /// The path, with symbolic links followed.
        path: PathBuf,
    },
}

/// The root filesystem of an image, to be listed and read.
pub struct Files {
    tree: Tree,
    layers: Vec<Layer>,
    blobs: Arc<dyn Blobs>,
}

impl Files {
    /// Reads the layers of an image; those that the store has an index of are not read again. Blocks.
    ///
    /// # Errors
    /// If a layer cannot be read, or is not what the config says.
    pub fn of(image: &Image, blobs: Arc<dyn Blobs>, store: Option<&Store>) -> Result<Self, Error> {
        let mut tree = Tree::new();
        for layer in image.layers() {
            tree.apply(&index(layer, &*blobs, store)?.changes)?;
        }
        let layers = image.layers().to_vec();
        Ok(Self { tree, layers, blobs })
    }

    /// All of it, as a value.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The plain tar of one of the image's layers.
    ///
    /// # Errors
    /// If it is none of these, or cannot be read.
    pub fn open_layer(&self, diff_id: &Digest) -> Result<Box<dyn Read + Send>, layer::Error> {
        let layer = self.layers.iter().find(|layer| layer.diff_id == *diff_id);
        let blob = &layer.ok_or(layer::Error::NoSuchLayer(*diff_id))?.descriptor;
        let blob = self.blobs.open(blob);
        layer::decompress(blob.map_err(|error| layer::Error::Read(io::Error::other(error)))?)
    }

    /// Opens a regular file. Symbolic links are followed inside the image. What is read is checked.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Box<dyn Read + Send>, Error> {
        let found = self.tree.resolve(path, true)?;
        let path = found.path;
        let content = match found.node.map(|node| &node.kind) {
            Some(Kind::File(content)) => content,
            Some(_) => return Err(Error::NotAFile { path }),
            None => return Err(Error::Missing { path }),
        };
        let (Origin::Layer { diff_id, offset }, Some(digest)) = (&content.origin, content.digest) else {
            return Err(Error::Missing { path });
        };
        let layer = self.layers.iter().find(|layer| layer.diff_id == *diff_id);
        let layer = &layer.ok_or(Error::Missing { path })?.descriptor;
        let mut tar = layer::written_out(plain(layer, &*self.blobs)?);
        let skipped = io::copy(&mut tar.by_ref().take(*offset), &mut io::sink());
        skipped.map_err(|source| Error::Layer {
            digest: layer.digest,
            source: layer::Error::Read(source),
        })?;
        let file = Descriptor::new(MediaType::Other(String::new()), digest, content.size);
        let place = format!("layer {}", layer.digest);
        Ok(Box::new(Verified::new(tar.take(content.size), &file, place)))
    }
}

/// What a layer says, as far as a tree is concerned. Blocks.
pub(crate) fn layer_changes(
    layer: &Layer,
    blobs: &dyn Blobs,
    store: Option<&Store>,
) -> Result<Vec<Change>, Error> {
    Ok(index(layer, blobs, store)?.changes)
}

fn plain(layer: &Descriptor, blobs: &dyn Blobs) -> Result<Box<dyn Read + Send>, Error> {
    let digest = layer.digest;
    layer::decompress(blobs.open(layer)?).map_err(|source| Error::Layer { digest, source })
}

fn index(layer: &Layer, blobs: &dyn Blobs, store: Option<&Store>) -> Result<LayerIndex, Error> {
    let known = store.and_then(|store| store.get_tree(&layer.diff_id));
    let known = known.and_then(|bytes| LayerIndex::load(&bytes[..]).ok());
    if let Some(known) = known.filter(|index| index.diff_id == layer.diff_id) {
        return Ok(known);
    }
    let digest = layer.descriptor.digest;
    let tar = plain(&layer.descriptor, blobs)?;
    let index = layer::index(tar, None).map_err(|source| Error::Layer { digest, source })?;
    if index.diff_id != layer.diff_id {
        return Err(Error::DiffId {
            digest,
            expected: layer.diff_id,
            found: index.diff_id,
        });
    }
    let mut saved = Vec::new();
    if let Some(store) = store
        && index.save(&mut saved).is_ok()
    {
        // Only to be quicker the next time.
        let _ = store.put_tree(&layer.diff_id, &saved);
    }
    Ok(index)
}
