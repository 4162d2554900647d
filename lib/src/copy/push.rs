//! Into a registry.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Error, Job, SIDE_BY_SIDE, blocking};
use crate::{
    Reference,
    image::{Descriptor, MediaType, MediaTypeExt, is_index, read_small},
};

/// Pushes an image, or an index with all its images, under the name and all additional tags.
pub(super) async fn image(job: &Job<'_>, image: &Descriptor, to: &Reference) -> Result<(), Error> {
    let to = to.clone().or_latest();
    let tags = job.options.tags.iter().map(|tag| to.with_tag(tag));
    // Wrong tags are found before anything moves.
    let tags: Vec<Reference> = tags.collect::<Result<_, _>>()?;
    all(job, image, &to).await?;
    for tag in tags {
        manifest(job, image, &tag).await?;
    }
    Ok(())
}

/// Pushes all that an image is made of, and the image itself under one name.
pub(super) async fn all(job: &Job<'_>, image: &Descriptor, to: &Reference) -> Result<(), Error> {
    let blobs = job.blobs(image).await?;
    let (manifests, leaves): (Vec<_>, Vec<_>) = blobs.into_iter().partition(|blob| names_others(blob, image));
    let pushes = leaves.iter().map(|blob| push_blob(job, blob, to));
    stream::iter(pushes)
        .buffer_unordered(SIDE_BY_SIDE)
        .try_collect::<Vec<()>>()
        .await?;
    for inner in manifests.iter().filter(|blob| blob.digest != image.digest) {
        manifest(job, inner, &to.with_digest(inner.digest)).await?;
    }
    manifest(job, image, to).await
}

fn names_others(blob: &Descriptor, image: &Descriptor) -> bool {
    let media_type = &blob.media_type;
    media_type.is_manifest() || media_type.is_index() || blob.digest == image.digest
}

/// A blob that another repository of the same registry has is mounted.
async fn push_blob(job: &Job<'_>, blob: &Descriptor, to: &Reference) -> Result<(), Error> {
    let origin = job.source.origin(blob);
    let from = origin
        .filter(|origin| origin.host() == to.host() && origin.repository() != to.repository())
        .map(Reference::repository);
    let open = || Ok(job.reading.later(blob));
    job.registry
        .push_blob(to, blob, from, &open, &job.options.sink)
        .await?;
    Ok(())
}

/// Pushes a manifest or an index, as the source has it.
async fn manifest(job: &Job<'_>, manifest: &Descriptor, to: &Reference) -> Result<(), Error> {
    let (reading, blob) = (job.reading.clone(), manifest.clone());
    let bytes = blocking(move || Ok(read_small(&*reading, &blob)?)).await?;
    let known = &manifest.media_type;
    let media_type = match known.is_manifest() || known.is_index() {
        true => known.clone(),
        false if is_index(known, &bytes) => MediaType::ImageIndex,
        false => MediaType::ImageManifest,
    };
    job.registry.push_manifest(to, &media_type, bytes.into()).await?;
    Ok(())
}
