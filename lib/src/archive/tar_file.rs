//! Blobs in a tar, found without unpacking it.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Seek},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Error;
use crate::{image::SMALL, layer, store::disk::IoContext as _};

/// More entries than this are no image: it has a handful for each layer.
const MOST_ENTRIES: usize = 1 << 20;
/// Names longer than this are no names.
const LONGEST_NAME: u64 = 1 << 20;
const BLOCK: u64 = 512;

/// A tar on disk and where its files are.
pub(super) struct TarFile {
    file: Arc<File>,
    path: PathBuf,
    files: HashMap<String, Span>,
    /// Name and target of hard and symbolic links, which `docker save` used for layers that occur twice.
    links: HashMap<String, String>,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Span {
    pub offset: u64,
    pub size: u64,
}

/// Reads a part of a file, whatever others read at the same time.
pub(super) struct SpanReader {
    file: Arc<File>,
    span: Span,
}

impl TarFile {
    /// Opens a tar; one that is compressed is decompressed to a file that has no name.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).at("open", path)?;
        let mut magic = [0; 6];
        let count = file.read_at(&mut magic, 0).at("read", path)?;
        if is_compressed(&magic[..count]) {
            file = decompressed(file, path)?;
        }
        let size = file.seek(io::SeekFrom::End(0)).at("read", path)?;
        let mut tar = Self {
            file: Arc::new(file),
            path: path.to_owned(),
            files: HashMap::new(),
            links: HashMap::new(),
        };
        tar.scan(size)?;
        Ok(tar)
    }

    /// Where a file lies, through links.
    pub(super) fn find(&self, name: &str) -> Option<Span> {
        let mut name = clean(name);
        for _ in 0..8 {
            if let Some(span) = self.files.get(&name) {
                return Some(*span);
            }
            name = self.links.get(&name)?.clone();
        }
        None
    }

    /// A reader of a part.
    pub(super) fn reader(&self, span: Span) -> SpanReader {
        SpanReader {
            file: self.file.clone(),
            span,
        }
    }

    /// The bytes of a small file; nothing if it is not there.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(span) = self.find(name) else {
            return Ok(None);
        };
        if span.size > SMALL {
            return Err(self.damaged(format!("{name} has {} bytes, more than it may have", span.size)));
        }
        let mut bytes = Vec::new();
        self.reader(span).read_to_end(&mut bytes).at("read", &self.path)?;
        Ok(Some(bytes))
    }

    /// Where the tar is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn scan(&mut self, end: u64) -> Result<(), Error> {
        let mut offset = 0;
        let mut long = Long::default();
        while let Some(header) = self.header(offset, end)? {
            let entry = header.entry_type();
            let mut size = header
                .entry_size()
                .map_err(|error| self.damaged(error.to_string()))?;
            let describes_next = entry.is_gnu_longname()
                || entry.is_gnu_longlink()
                || entry.is_pax_local_extensions()
                || entry.is_pax_global_extensions();
            if !describes_next {
                size = long.size.take().unwrap_or(size);
            }
            let span = Span {
                offset: offset + BLOCK,
                size,
            };
            let next = span
                .offset
                .checked_add(size)
                .and_then(|end| end.checked_next_multiple_of(BLOCK));
            let (Some(next), true) = (
                next,
                span.offset.checked_add(size).is_some_and(|last| last <= end),
            ) else {
                return Err(self.damaged(format!("it ends within the entry at byte {offset}")));
            };
            if describes_next {
                self.describe(&mut long, entry, span)?;
            } else {
                self.add(&header, std::mem::take(&mut long), span)?;
            }
            offset = next;
        }
        Ok(())
    }

    /// The header at an offset; nothing at the end.
    fn header(&self, offset: u64, end: u64) -> Result<Option<tar::Header>, Error> {
        if offset.saturating_add(BLOCK) > end {
            // A tar should end with zeros. One that just ends is complete if that is between entries.
            return match offset >= end && offset > 0 {
                true => Ok(None),
                false => Err(self.damaged("it is cut short".to_owned())),
            };
        }
        let mut header = tar::Header::new_old();
        self.file
            .read_exact_at(header.as_mut_bytes(), offset)
            .at("read", &self.path)?;
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        let sum = sum(&bytes[..148]) + 8 * u32::from(b' ') + sum(&bytes[156..]);
        match header.cksum() {
            Ok(expected) if expected == sum => Ok(Some(header)),
            _ => Err(self.damaged(format!("there is no tar header at byte {offset}"))),
        }
    }

    /// Takes in an entry that says something about the next.
    fn describe(&self, long: &mut Long, entry: tar::EntryType, span: Span) -> Result<(), Error> {
        if entry.is_pax_global_extensions() {
            return Ok(());
        }
        if span.size > LONGEST_NAME {
            return Err(self.damaged(format!("the name at byte {} is too long", span.offset)));
        }
        let mut bytes = Vec::new();
        self.reader(span).read_to_end(&mut bytes).at("read", &self.path)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
        if entry.is_gnu_longname() {
            long.name = Some(text(&bytes));
        } else if entry.is_gnu_longlink() {
            long.link = Some(text(&bytes));
        } else {
            for field in tar::PaxExtensions::new(&bytes) {
                let field = field.map_err(|error| self.damaged(error.to_string()))?;
                match field.key_bytes() {
                    b"path" => long.name = Some(text(field.value_bytes())),
                    b"linkpath" => long.link = Some(text(field.value_bytes())),
                    b"size" => long.size = text(field.value_bytes()).parse().ok(),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Takes in a file or a link. A later one of the same name counts, as when unpacking.
    fn add(&mut self, header: &tar::Header, long: Long, span: Span) -> Result<(), Error> {
        if self.files.len() + self.links.len() >= MOST_ENTRIES {
            return Err(self.damaged(format!("it has more than {MOST_ENTRIES} entries")));
        }
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let name = clean(&long.name.unwrap_or_else(|| lossy(&header.path_bytes())));
        let entry = header.entry_type();
        if entry.is_file() || entry.is_contiguous() {
            self.links.remove(&name);
            self.files.insert(name, span);
        } else if entry.is_symlink() || entry.is_hard_link() {
            let target = long
                .link
                .or_else(|| header.link_name_bytes().map(|bytes| lossy(&bytes)));
            let target = target.unwrap_or_default();
            let target = match name.rsplit_once('/') {
                Some((parent, _)) if entry.is_symlink() && !target.starts_with('/') => {
                    clean(&format!("{parent}/{target}"))
                }
                _ => clean(&target),
            };
            self.files.remove(&name);
            self.links.insert(name, target);
        }
        Ok(())
    }

    fn damaged(&self, why: String) -> Error {
        Error::Damaged {
            path: self.path.clone(),
            kind: "a tar that can be read",
            why,
        }
    }
}

/// What precedes an entry when its header is too small for it.
#[derive(Default)]
struct Long {
    name: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

impl Read for SpanReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer
            .len()
            .min(usize::try_from(self.span.size).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..most], self.span.offset)?;
        self.span.offset += count as u64;
        self.span.size -= count as u64;
        Ok(count)
    }
}

/// A name without `.`, `..`, and empty parts; it names an entry and never a file of this machine.
fn clean(name: &str) -> String {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether bytes are the first of a gzip, Zstandard, bzip2 or xz file.
pub(super) fn is_compressed(magic: &[u8]) -> bool {
    let magics: [&[u8]; 4] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\0"];
    magics.iter().any(|known| magic.starts_with(known))
}

fn decompressed(file: File, path: &Path) -> Result<File, Error> {
    let damaged = |why: String| Error::Damaged {
        path: path.to_owned(),
        kind: "a tar that can be read",
        why,
    };
    let mut plain = layer::decompress(file).map_err(|error| damaged(error.to_string()))?;
    let mut out = tempfile::tempfile().at("create a file in", &std::env::temp_dir())?;
    io::copy(&mut plain, &mut out).map_err(|error| damaged(format!("cannot decompress it: {error}")))?;
    Ok(out)
}
