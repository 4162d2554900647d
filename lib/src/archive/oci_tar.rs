//! OCI image layouts in a tar.

use std::io::{Read, Write};

use super::{Error, closure, entries, tar_file::TarFile, tar_out::TarOut};
use crate::{
    image::{BlobError, Blobs, Descriptor, Index, Verified, to_json},
    store::{check_marker, marker_bytes},
};

pub(super) const MARKER: &str = "oci-layout";

/// Writes an image as an OCI layout in a tar, front to back. The index comes first, so that it can be read as a stream.
///
/// # Errors
/// If something cannot be read or written.
pub fn write(
    source: &dyn Blobs,
    image: &Descriptor,
    names: &[String],
    out: &mut dyn Write,
) -> Result<Descriptor, Error> {
    let blobs = closure(source, image)?;
    let mut tar = TarOut::new(std::io::BufWriter::with_capacity(1 << 17, out));
    tar.file(MARKER, marker_bytes())?;
    tar.file(
        "index.json",
        &to_json("index", &Index::new(entries(image, names)))?,
    )?;
    tar.directory("blobs/")?;
    tar.directory("blobs/sha256/")?;
    for blob in blobs.iter().rev() {
        tar.blob(&format!("blobs/sha256/{}", blob.digest.hex()), source, blob)?;
    }
    tar.finish()?;
    Ok(image.clone())
}

/// The images that an OCI layout in a tar names.
pub(super) fn read_index(tar: &TarFile) -> Result<Vec<Descriptor>, Error> {
    let kind = "an OCI archive";
    let damaged = |why| Error::Damaged {
        path: tar.path().to_owned(),
        kind,
        why,
    };
    let missing = |name: &str| damaged(format!("it has no file {name}"));
    let marker = tar.read(MARKER)?.ok_or_else(|| missing(MARKER))?;
    check_marker(&marker).map_err(damaged)?;
    let entry = "index.json";
    let bytes = tar.read(entry)?.ok_or_else(|| missing(entry))?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|source| Error::Json {
        path: tar.path().to_owned(),
        entry: entry.to_owned(),
        source,
    })?;
    Ok(index.manifests)
}

/// The blobs of an OCI layout in a tar.
pub(super) struct OciTar(pub(super) TarFile);

impl OciTar {
    fn find(&self, blob: &Descriptor) -> Option<super::tar_file::Span> {
        self.0.find(&format!("blobs/sha256/{}", blob.digest.hex()))
    }
}

impl Blobs for OciTar {
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        let place = self.0.path().display().to_string();
        match self.find(blob) {
            Some(span) => Ok(Box::new(Verified::new(self.0.reader(span), blob, place))),
            None => Err(BlobError::Missing {
                digest: blob.digest,
                place,
            }),
        }
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, BlobError> {
        Ok(self.find(blob).is_some_and(|span| span.size == blob.size))
    }
}
