//! What ADD does beyond COPY: archives are unpacked, URLs are downloaded.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use super::{
    copy::{From, Job},
    error::{BuildError, Problem},
    place::Placer,
    select::Pick,
    solver::Shared,
    stage::{Stage, Step},
};
use crate::{
    Digest,
    layer::{self, LayerIndex},
    tree::{Content, Kind, Origin, Tree},
};

/// Something that was downloaded.
pub(super) struct Download {
    digest: Digest,
}

impl Download {
    /// What a result depends on.
    pub fn fingerprint(&self) -> Digest {
        self.digest
    }
}

/// Downloads what the sources name, in their order.
pub(super) async fn download(
    _stage: &Stage,
    job: &Job,
    _step: &mut Step,
) -> Result<Vec<Option<Download>>, BuildError> {
    for source in &job.sources {
        let url = match source {
            From::Url(url) => url,
            From::Git(git) => &git.remote,
            _ => continue,
        };
        {
            let message = format!("ADD {url}: sources that are not in the context are not supported");
            return Err(Problem::Unsupported(message).into());
        }
    }
    Ok(Vec::new())
}

/// Puts what was downloaded in its place.
pub(super) fn put(
    _shared: &Arc<Shared>,
    _placer: &mut Placer<'_>,
    _job: &Job,
    _download: &Download,
) -> Result<(), BuildError> {
    Ok(())
}

/// Unpacks a pick that is an archive, by its content and not by its name; false if it is none.
pub(super) fn unpack(
    shared: &Arc<Shared>,
    placer: &mut Placer<'_>,
    job: &Job,
    tree: &Tree,
    pick: &Pick,
) -> Result<bool, BuildError> {
    let Some(Kind::File(content)) = tree.get(&pick.real).map(|node| &node.kind) else {
        return Ok(false);
    };
    if !is_archive(shared, content, &pick.real)? {
        return Ok(false);
    }
    let index = spool(shared, content, &pick.real)?;
    placer.unpack(&index.changes, &job.destination, job.chown.is_some())?;
    Ok(true)
}

/// Whether something begins with the header of a tar entry, once decompressed. What is broken before that is no
/// archive, but an ordinary file.
fn is_archive(shared: &Shared, content: &Content, path: &Path) -> Result<bool, BuildError> {
    let Ok(mut plain) = layer::decompress(open(shared, content, path)?) else {
        return Ok(false);
    };
    let mut header = tar::Header::new_old();
    let bytes = header.as_mut_bytes();
    if plain.read_exact(bytes).is_err() {
        return Ok(false);
    }
    // POSIX pax, ustar: the checksum is the sum of all bytes, with its own field taken as blanks.
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    let field: u32 = bytes[148..156].iter().map(|byte| u32::from(*byte)).sum();
    let expected = sum - field + 8 * u32::from(b' ');
    Ok(header.cksum().is_ok_and(|found| found == expected))
}

/// Lays an archive down in plain form, where the contents of its entries are read from, and indexes it.
fn spool(shared: &Shared, content: &Content, path: &Path) -> Result<LayerIndex, BuildError> {
    let directory = shared.store.tmp_dir()?;
    let plain = directory.path().join("archive.tar");
    let mut out = BufWriter::new(File::create(&plain).map_err(Problem::io("create", &plain))?);
    let index = layer::index(layer::decompress(open(shared, content, path)?)?, Some(&mut out))?;
    out.flush().map_err(Problem::io("write", &plain))?;
    shared.layers.know_tar(index.diff_id, plain, directory);
    Ok(index)
}

/// Opens a file of a context.
fn open(shared: &Shared, content: &Content, path: &Path) -> Result<Box<dyn Read + Send>, BuildError> {
    match &content.origin {
        Origin::Disk(file) => Ok(Box::new(File::open(file).map_err(Problem::io("read", &**file))?)),
        Origin::Memory(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
        Origin::Layer { offset, .. } => match shared.sources.tar() {
            Some(tar) => {
                let file = File::open(&tar.path).map_err(Problem::io("read", &tar.path))?;
                Ok(Box::new(Part {
                    file,
                    at: *offset,
                    left: content.size,
                }))
            }
            None => Err(Problem::Value(format!("{} is not in the context", path.display())).into()),
        },
    }
}

/// A part of a file.
struct Part {
    file: File,
    at: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
