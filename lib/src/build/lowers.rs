//! Layers on disk, as the engine makes roots of them: directories for overlayfs, or the contents of their files.

use std::{
    collections::HashSet,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    error::{BuildError, Problem},
    layers::Layers,
    passing::{Landing, Passing},
    solver::Shared,
    spool::Reader,
};
use crate::{
    Digest,
    exec::{Engine, Stack},
    image::Layer,
    layer::{self, LayerIndex},
    store::{LayerDir, Store},
    tree::{Change, Tree},
};

impl Layers {
    /// What the engine makes the root filesystem of these layers of, which together are `tree`.
    pub async fn stack(
        &self,
        shared: &Arc<Shared>,
        engine: &Engine,
        layers: &[Layer],
        tree: Tree,
    ) -> Result<Stack, BuildError> {
        let mut lowers = self.unpack(shared, engine, layers).await?;
        if !engine.mounts() {
            let diff_ids = layers.iter().map(|layer| layer.diff_id);
            let contents = diff_ids.zip(lowers).collect();
            return Ok(Stack {
                tree,
                contents,
                ..Stack::default()
            });
        }
        lowers.reverse();
        // The same layer may be there twice, for overlayfs it may not; what the lower one says the upper one repeats.
        let mut seen = HashSet::new();
        lowers.retain(|path| seen.insert(path.clone()));
        let corrections = self.corrections(shared, layers, &tree).await?;
        if !corrections.is_empty() {
            lowers.insert(0, self.unpack_changes(shared, engine, corrections).await?);
        }
        Ok(Stack {
            lowers,
            tree,
            ..Stack::default()
        })
    }

    /// Each layer in a directory of its own, in their order.
    pub async fn unpack(
        &self,
        shared: &Arc<Shared>,
        engine: &Engine,
        layers: &[Layer],
    ) -> Result<Vec<PathBuf>, BuildError> {
        let each = layers.iter().map(|layer| self.unpack_one(shared, engine, layer));
        futures_util::future::try_join_all(each).await
    }

    async fn unpack_one(
        &self,
        shared: &Arc<Shared>,
        engine: &Engine,
        layer: &Layer,
    ) -> Result<PathBuf, BuildError> {
        self.unpacked
            .get((engine.format().to_owned(), layer.diff_id), || async {
                if let Some(path) = self.store.layer_dir(engine.format(), &layer.diff_id) {
                    return Ok(path);
                }
                let diff_id = layer.diff_id;
                if let Some(tar) = self.packings.tar(&diff_id) {
                    let (store, engine) = (self.store.clone(), engine.clone());
                    let unpack = move || unpack_tar(&store, &engine, &diff_id, tar);
                    return shared.blocking(unpack).await;
                }
                let layer = &self.packed(layer).await?;
                let blob = layer.descriptor.digest;
                let turn = self.turns.wait(&blob).await;
                let passing = self.passing(shared, layer).await?;
                // Nobody closes it.
                let _room = self.unpacking.acquire().await;
                let (store, engine) = (self.store.clone(), engine.clone());
                let unpacked = shared
                    .blocking(move || unpack_blob(&store, &engine, &diff_id, &passing))
                    .await;
                let unpacked =
                    unpacked.inspect_err(|error| shared.caches.blame(shared, &blob, error.problem()));
                let (path, index, landing) = unpacked?;
                self.indexed.know(diff_id, Arc::new(index));
                if let Some(landing) = landing {
                    self.landings.begin(shared, landing, turn);
                }
                Ok(path)
            })
            .await
    }

    /// Files that are no layer, for a bind mount.
    pub async fn stack_of_files(
        &self,
        shared: &Arc<Shared>,
        engine: &Engine,
        changes: Vec<Change>,
    ) -> Result<Stack, BuildError> {
        if engine.mounts() {
            let lowers = vec![self.unpack_changes(shared, engine, changes).await?];
            return Ok(Stack {
                lowers,
                ..Stack::default()
            });
        }
        // As a layer of its own, which nobody will see.
        let (store, format) = (self.store.clone(), engine.format().to_owned());
        let work = move |changes: &[Change], contents: &dyn layer::Contents| {
            let directory = store.new_layer_dir()?;
            let index = unpack_contents_of(changes, contents, &directory.root())?;
            Ok((directory.publish(&format, &index.diff_id)?, index))
        };
        let (path, index) = self.with_contents(shared, changes, work).await?;
        let mut tree = Tree::new();
        tree.apply(&index.changes)?;
        let contents = [(index.diff_id, path)].into();
        Ok(Stack {
            tree,
            contents,
            ..Stack::default()
        })
    }

    /// Unpacks changes into a directory, each once.
    async fn unpack_changes(
        &self,
        shared: &Arc<Shared>,
        engine: &Engine,
        changes: Vec<Change>,
    ) -> Result<PathBuf, BuildError> {
        let key = Digest::of(format!("{changes:?}"));
        self.unpacked
            .get((engine.format().to_owned(), key), || async {
                if let Some(path) = self.store.layer_dir(engine.format(), &key) {
                    return Ok(path);
                }
                let directory = self.unpack_apart(shared, engine, changes).await?;
                Ok(directory.publish(engine.format(), &key)?)
            })
            .await
    }

    /// Unpacks files into a directory that nobody else has.
    pub async fn unpack_apart(
        &self,
        shared: &Arc<Shared>,
        engine: &Engine,
        changes: Vec<Change>,
    ) -> Result<LayerDir, BuildError> {
        let directory = self.store.new_layer_dir()?;
        let engine = engine.clone();
        let fill = move |changes: &[Change], contents: &dyn layer::Contents| {
            let (root, format, ids) = (directory.root(), engine.whiteouts(), engine.ids_on_disk());
            let unpack = |tar: &mut dyn BufRead| layer::unpack(tar, &root, format, ids);
            let mut at_source = None;
            let unpacked = engine.feed(unpack, |pipe| {
                at_source = layer::write_tar(changes, contents, pipe).err();
            });
            match at_source {
                Some(error) if !matches!(error, layer::Error::Write(_)) => return Err(error.into()),
                _ => unpacked?,
            }
            Ok(directory)
        };
        self.with_contents(shared, changes, fill).await
    }
}

/// Makes a tar of changes, and puts the contents of its files into a directory.
fn unpack_contents_of(
    changes: &[Change],
    contents: &dyn layer::Contents,
    directory: &Path,
) -> Result<LayerIndex, BuildError> {
    let ((write, tar), (mut tee, copy)) = (layer::queue(), layer::queue());
    let ended = |_| Problem::Thread("while unpacking files".to_owned());
    std::thread::scope(|scope| {
        let unpacked = scope.spawn(|| layer::unpack_contents(copy, directory));
        let indexed = scope.spawn(move || layer::index_buffered(tar, Some(&mut tee)));
        let written = layer::write_tar(changes, contents, write);
        let (indexed, unpacked) = (indexed.join().map_err(ended)?, unpacked.join().map_err(ended)?);
        written?;
        unpacked?;
        Ok(indexed?)
    })
}

/// Unpacks the tar of a layer that was just made.
fn unpack_tar(store: &Store, engine: &Engine, diff_id: &Digest, tar: Reader) -> Result<PathBuf, BuildError> {
    let directory = store.new_layer_dir()?;
    let root = directory.root();
    let mut tar = BufReader::with_capacity(256 << 10, tar);
    let unpack = |tar: &mut dyn BufRead| engine.unpack(tar, &root);
    let copied = engine.feed(unpack, |pipe| io::copy(&mut tar, pipe))?;
    copied.map_err(Problem::io("read", "a layer that was made"))?;
    Ok(directory.publish(engine.format(), diff_id)?)
}

/// Reads a blob, unpacks it, and remembers its index, in one pass.
fn unpack_blob(
    store: &Store,
    engine: &Engine,
    diff_id: &Digest,
    passing: &Passing,
) -> Result<(PathBuf, LayerIndex, Option<Landing>), BuildError> {
    let directory = store.new_layer_dir()?;
    let root = directory.root();
    let unpack = |tar: &mut dyn BufRead| engine.unpack(tar, &root);
    let mut passed = None;
    let unpacked = engine.feed(unpack, |pipe| passed = Some(passing.pass(Some(pipe))));
    let Some(passed) = passed else {
        // Nothing was read, since nobody could be made to unpack it.
        let none = || Problem::Thread("while unpacking a layer".to_owned()).into();
        return Err(unpacked.map_or_else(BuildError::from, |()| none()));
    };
    match (passed, unpacked) {
        (Ok((index, landing)), Ok(())) => Ok((directory.publish(engine.format(), diff_id)?, index, landing)),
        // Whoever unpacks only saw the tar end early, unless it closed the pipe itself.
        (Err(error), unpacked) => Err(match (error.problem(), unpacked) {
            (Problem::Layer(layer::Error::Write(_)), Err(unpacked)) => unpacked.into(),
            _ => error,
        }),
        (Ok(_), Err(error)) => Err(error.into()),
    }
}
