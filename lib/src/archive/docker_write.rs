//! Writing docker archives.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
};

use super::{
    Error,
    docker::{Listed, MANIFEST},
    tar_out::{TarOut, failed, header},
};
use crate::{
    Hasher,
    image::{BlobError, Blobs, Descriptor, Image, Layer, MediaTypeExt, Platform, to_json},
    layer,
};

type Out<'a> = BufWriter<&'a File>;

/// Writes an image as `docker load` and `podman load` take it: with layers that are not compressed.
///
/// The file must be one that can be sought in, since a layer's size is known only when it is written.
///
/// # Errors
/// If something cannot be read or written, or a layer is not the one that the config names.
pub fn write(
    source: &dyn Blobs,
    image: &Descriptor,
    names: &[String],
    out: &File,
) -> Result<Descriptor, Error> {
    if image.media_type.is_index() {
        return Err(Error::IsIndex { digest: image.digest });
    }
    let value = Image::load(source, image, &Platform::host())?;
    let encoded = value.encode()?;
    let mut tar = TarOut::new(BufWriter::with_capacity(1 << 17, out));
    let mut written = HashSet::new();
    for layer in value.layers() {
        if written.insert(layer.diff_id) {
            write_layer(&mut tar, source, layer)?;
        }
    }
    let config = format!("{}.json", encoded.config_descriptor.digest.hex());
    tar.file(&config, &encoded.config)?;
    let listed = Listed {
        config,
        repo_tags: Some(names.to_vec()),
        layers: Some(value.layers().iter().map(layer_name).collect()),
    };
    tar.file(MANIFEST, &to_json("manifest", &[listed])?)?;
    tar.finish()?;
    Ok(image.clone())
}

fn layer_name(layer: &Layer) -> String {
    format!("{}.tar", layer.diff_id.hex())
}

/// Writes an empty header, the layer, and then the header.
fn write_layer(tar: &mut TarOut<Out<'_>>, source: &dyn Blobs, layer: &Layer) -> Result<(), Error> {
    let digest = layer.descriptor.digest;
    let plain = layer::decompress(source.open(&layer.descriptor)?);
    let mut plain = plain.map_err(|source| Error::Layer { digest, source })?;
    let out = tar.get_mut();
    let start = out.stream_position().map_err(failed)?;
    out.write_all(&[0; 512]).map_err(failed)?;
    let mut hasher = Hasher::new();
    let size = copy(&mut plain, &mut hasher, out, layer)?;
    let found = hasher.finish();
    if found != layer.diff_id {
        return Err(Error::DiffId {
            layer: digest,
            expected: layer.diff_id,
            found,
        });
    }
    let padding = (size.next_multiple_of(512) - size) as usize;
    out.write_all(&[0; 512][..padding]).map_err(failed)?;
    let end = out.stream_position().map_err(failed)?;
    let mut header = header(size, 0o644);
    header.set_path(layer_name(layer)).map_err(failed)?;
    header.set_cksum();
    out.seek(SeekFrom::Start(start)).map_err(failed)?;
    out.write_all(header.as_bytes()).map_err(failed)?;
    out.seek(SeekFrom::Start(end)).map_err(failed)?;
    Ok(())
}

fn copy(plain: &mut dyn Read, hasher: &mut Hasher, out: &mut Out<'_>, layer: &Layer) -> Result<u64, Error> {
    let mut buffer = vec![0; 1 << 17];
    let mut size = 0;
    loop {
        match plain.read(&mut buffer) {
            Ok(0) => return Ok(size),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                out.write_all(&buffer[..count]).map_err(failed)?;
                size += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(BlobError::from_read(error, layer.descriptor.digest, "its source").into());
            }
        }
    }
}
