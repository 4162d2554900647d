//! Into the store, a layout, an archive or a directory.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Error, Job, SIDE_BY_SIDE, blocking, reading::Reading};
use crate::{
    Locator, Place, Reference, archive,
    image::{Blobs, Descriptor},
    store::{Layout, Store},
};

/// Writes an image under the name of the locator and all additional tags.
pub(super) async fn write(job: &Job<'_>, image: &Descriptor, to: &Locator) -> Result<(), Error> {
    match to {
        Locator::Store(name) => into_store(job, image, name).await,
        Locator::OciLayout(place) => {
            let path = place.path.clone();
            let layout = blocking(move || Ok(Layout::create(path)?)).await?;
            move_all(job, image, Arc::new(layout)).await?;
            // All blobs are there now; what is left is to name them.
            archive(job, image, to).await
        }
        to => archive(job, image, to).await,
    }
}

/// Writes something that belongs to an image beside it. Of an OCI layout only.
pub(super) async fn write_unnamed(job: &Job<'_>, image: &Descriptor, to: &Locator) -> Result<(), Error> {
    let Some(path) = to.path() else { return Ok(()) };
    name(job, image, &Locator::OciLayout(Place::new(path)), &[]).await
}

async fn archive(job: &Job<'_>, image: &Descriptor, to: &Locator) -> Result<(), Error> {
    name(job, image, to, &job.options.tags).await
}

async fn name(job: &Job<'_>, image: &Descriptor, to: &Locator, tags: &[String]) -> Result<(), Error> {
    let (reading, image, to) = (job.reading.clone(), image.clone(), to.clone());
    let tags = tags.to_vec();
    blocking(move || Ok(archive::write(&*reading, &image, &to, &tags).map(drop)?)).await
}

async fn into_store(job: &Job<'_>, image: &Descriptor, name: &str) -> Result<(), Error> {
    let names = std::iter::once(name).chain(job.options.tags.iter().map(String::as_str));
    let names = names.map(|name| Ok::<_, Error>(name.parse::<Reference>()?.or_latest().to_string()));
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    let store = job.options.store.clone();
    let (store, _hold) = blocking(move || {
        let store = store.map_or_else(Store::open_default, Ok)?;
        let hold = store.hold()?;
        Ok((store, hold))
    })
    .await?;
    move_all(job, image, Arc::new(store.clone())).await?;
    let image = image.clone();
    blocking(move || {
        for name in names {
            store.tag(&name, &image)?;
        }
        Ok(())
    })
    .await
}

/// Where blobs can be put, in any order.
trait Shelf: Blobs {
    fn put(&self, from: &Reading, blob: &Descriptor) -> Result<(), Error>;
}

impl Shelf for Store {
    fn put(&self, from: &Reading, blob: &Descriptor) -> Result<(), Error> {
        Ok(self.fetch(from, blob)?)
    }
}

impl Shelf for Layout {
    fn put(&self, from: &Reading, blob: &Descriptor) -> Result<(), Error> {
        Ok(self.fetch(from, blob, || self.new_blob())?)
    }
}

/// Moves the blobs that are not there.
async fn move_all(job: &Job<'_>, image: &Descriptor, shelf: Arc<impl Shelf + 'static>) -> Result<(), Error> {
    let moves = job.blobs(image).await?.into_iter().map(|blob| {
        let (shelf, reading) = (shelf.clone(), job.reading.clone());
        blocking(move || match shelf.has(&blob)? {
            true => {
                reading.skip(&blob);
                Ok(())
            }
            false => shelf.put(&reading, &blob),
        })
    });
    stream::iter(moves)
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}
