//! `dir:`, skopeo's directory of one image: `manifest.json`, a file for each blob, named by its hex digits, and a file
//! `version`. Of an index, `manifest.json` is the index, and its manifests are `HEX.manifest.json`.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{Error, closure};
use crate::{
    image::{BlobError, Blobs, Descriptor, Manifest, MediaType, MediaTypeExt, SMALL, Verified, is_index},
    store::{
        Incoming,
        disk::{self, Durability, IoContext as _},
    },
};

const MANIFEST: &str = "manifest.json";
const VERSION: &str = "version";
const VERSION_LINE: &str = "Directory Transport Version: 1.1\n";

/// The blobs of such a directory.
pub(super) struct Directory {
    path: PathBuf,
    manifest: Descriptor,
}

/// Reads `manifest.json`.
pub(super) fn read(path: &Path) -> Result<(Directory, Descriptor), Error> {
    let file = path.join(MANIFEST);
    let mut bytes = Vec::new();
    File::open(&file)
        .and_then(|file| file.take(SMALL + 1).read_to_end(&mut bytes))
        .at("read", &file)?;
    if bytes.len() as u64 > SMALL {
        let why = format!("{MANIFEST} is larger than a manifest may be");
        return Err(Error::Damaged {
            path: path.to_owned(),
            kind: "the directory of an image",
            why,
        });
    }
    let unknown = MediaType::Other(String::new());
    let media_type = match is_index(&unknown, &bytes) {
        true => MediaType::ImageIndex,
        false => Manifest::parse(&bytes)?
            .media_type
            .unwrap_or(MediaType::ImageManifest),
    };
    let manifest = Descriptor::of(media_type, &bytes);
    Ok((
        Directory {
            path: path.to_owned(),
            manifest: manifest.clone(),
        },
        manifest,
    ))
}

impl Directory {
    /// The files in which a blob may lie.
    fn candidates(&self, blob: &Descriptor) -> Vec<PathBuf> {
        let hex = blob.digest.hex();
        if blob.digest == self.manifest.digest {
            return vec![self.path.join(MANIFEST)];
        }
        vec![
            self.path.join(&hex),
            self.path.join(format!("{hex}.manifest.json")),
        ]
    }
}

impl Blobs for Directory {
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, BlobError> {
        let place = self.path.display().to_string();
        let digest = blob.digest;
        for path in self.candidates(blob) {
            match File::open(path) {
                Ok(file) => return Ok(Box::new(Verified::new(file, blob, place))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(BlobError::Io {
                        digest,
                        place,
                        source,
                    });
                }
            }
        }
        Err(BlobError::Missing { digest, place })
    }

    fn has(&self, blob: &Descriptor) -> Result<bool, BlobError> {
        let sizes = self
            .candidates(blob)
            .into_iter()
            .flat_map(fs::metadata)
            .map(|metadata| metadata.len());
        Ok(sizes.into_iter().any(|size| size == blob.size))
    }
}

/// Writes an image, in place of the one that was there. `manifest.json` comes last.
///
/// # Errors
/// If something cannot be read or written, or the directory holds something else.
pub fn write(source: &dyn Blobs, image: &Descriptor, path: &Path) -> Result<Descriptor, Error> {
    prepare(path)?;
    let mut kept = vec![MANIFEST.to_owned(), VERSION.to_owned()];
    let blobs = closure(source, image)?;
    for blob in blobs.iter().filter(|blob| blob.digest != image.digest) {
        let hex = blob.digest.hex();
        let is_manifest = blob.media_type.is_manifest() || blob.media_type.is_index();
        let name = if is_manifest {
            format!("{hex}.manifest.json")
        } else {
            hex
        };
        fetch(source, blob, path, &name)?;
        kept.push(name);
    }
    disk::publish(
        path,
        &path.join(VERSION),
        VERSION_LINE.as_bytes(),
        Durability::Synced,
    )?;
    fetch(source, image, path, MANIFEST)?;
    for entry in fs::read_dir(path).at("list", path)? {
        let name = entry.at("list", path)?.file_name();
        let is_blob = name
            .to_str()
            .is_some_and(|name| name.split('.').next().is_some_and(is_hex));
        if is_blob && !kept.iter().any(|kept| name == kept.as_str()) {
            disk::remove_file(&path.join(name))?;
        }
    }
    Ok(image.clone())
}

/// Makes the directory, unless there is one of another image.
fn prepare(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).at("create", path)?;
    let is_ours = path.join(VERSION).exists();
    let is_empty = fs::read_dir(path).at("list", path)?.next().is_none();
    if is_ours || is_empty {
        Ok(())
    } else {
        Err(Error::Occupied {
            path: path.to_owned(),
        })
    }
}

fn fetch(source: &dyn Blobs, blob: &Descriptor, dir: &Path, name: &str) -> Result<(), Error> {
    let mut incoming = Incoming::new(dir, dir)?;
    incoming.copy_from(source, blob)?;
    incoming.commit_as(name)?;
    Ok(())
}

fn is_hex(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
