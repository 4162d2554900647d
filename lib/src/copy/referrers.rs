//! Signatures, bills of materials and whatever else refers to an image as its subject (OCI image-spec `manifest.md`,
//! `subject`; distribution-spec, listing and pushing referrers).

use std::collections::HashSet;

use super::{Error, Job, blocking, local, push, source::Home};
use crate::{
    Digest, Locator, Reference,
    image::{Blobs, Descriptor, Index, Manifest, MediaTypeExt, read_small, to_json},
};

/// Whether a destination can hold them.
pub(super) fn check(to: &Locator) -> Result<(), Error> {
    match to {
        Locator::Registry(_) | Locator::OciLayout(_) => Ok(()),
        other => Err(Error::NoReferrers {
            place: other.to_string(),
        }),
    }
}

/// Copies what refers to an image, to one of its images, or to what refers to these.
pub(super) async fn copy(job: &Job<'_>, image: &Descriptor, to: &Locator) -> Result<(), Error> {
    let mut pending = job.blobs(image).await?;
    pending.retain(|blob| blob.media_type.is_manifest() || blob.media_type.is_index());
    let mut seen = HashSet::new();
    while let Some(subject) = pending.pop() {
        for referrer in of(job, subject.digest).await? {
            if seen.insert(referrer.digest) {
                write(job, subject.digest, &referrer, to).await?;
                pending.push(referrer);
            }
        }
    }
    Ok(())
}

/// What the source has that refers to a manifest.
async fn of(job: &Job<'_>, subject: Digest) -> Result<Vec<Descriptor>, Error> {
    let entries = match &job.source.home {
        Home::Registry(at) => return Ok(job.registry.referrers(&at.with_digest(subject), None).await?),
        Home::Archive(archive) => archive.images().map(|(_, entry)| entry.clone()).collect(),
        // What is new has nothing that refers to it.
        Home::Composed(_) => return Ok(Vec::new()),
        Home::Store(origins) => origins.store().layout().index()?.manifests,
    };
    let reading = job.reading.clone();
    blocking(move || among(&*reading, &entries, subject)).await
}

/// Layouts have no list of referrers: their index names them like images.
fn among(blobs: &dyn Blobs, entries: &[Descriptor], subject: Digest) -> Result<Vec<Descriptor>, Error> {
    let mut found = Vec::new();
    for entry in entries.iter().filter(|entry| entry.media_type.is_manifest()) {
        let manifest = Manifest::parse(&read_small(blobs, entry)?)?;
        if manifest.subject.as_ref().map(|subject| subject.digest) == Some(subject) {
            found.push(described(entry, manifest));
        }
    }
    Ok(found)
}

/// The descriptor of a referrer has its type and its annotations.
fn described(entry: &Descriptor, manifest: Manifest) -> Descriptor {
    let mut descriptor = Descriptor::new(entry.media_type.clone(), entry.digest, entry.size);
    let artifact_type = manifest.other.get("artifactType").cloned();
    let artifact_type = artifact_type.unwrap_or_else(|| manifest.config.media_type.to_string().into());
    descriptor.other.insert("artifactType".to_owned(), artifact_type);
    descriptor.annotations = manifest.annotations;
    descriptor
}

async fn write(job: &Job<'_>, subject: Digest, referrer: &Descriptor, to: &Locator) -> Result<(), Error> {
    match to {
        Locator::Registry(to) => {
            push::all(job, referrer, &to.with_digest(referrer.digest)).await?;
            list(job, subject, referrer, to).await
        }
        to => local::write_unnamed(job, referrer, to).await,
    }
}

/// Registries without a list of referrers have an index under a tag in its stead, which clients keep.
async fn list(job: &Job<'_>, subject: Digest, referrer: &Descriptor, to: &Reference) -> Result<(), Error> {
    let listed = job.registry.referrers(&to.with_digest(subject), None).await?;
    if listed.iter().any(|known| known.digest == referrer.digest) {
        return Ok(());
    }
    let tag = to.with_tag(&subject.to_string().replace(':', "-"))?;
    let mut index = match job.registry.manifest(&tag).await {
        Ok(found) => Index::parse(&found.bytes)?,
        Err(error) if error.is_not_found() => Index::new(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    index.manifests.push(referrer.clone());
    let bytes = to_json("index", &index)?;
    let media_type = crate::image::MediaType::ImageIndex;
    job.registry
        .push_manifest(&tag, &media_type, bytes.into())
        .await?;
    Ok(())
}
