//! What extended headers say about the entry that follows them.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use super::{block::Block, pax::XATTR, sparse::Said};
use crate::{
    layer::{TarFault, belongs_to_image},
    tree::Metadata,
};

/// What records about sparse files begin with.
const SPARSE: &[u8] = b"GNU.sparse.";

/// What extended headers say about the next entry.
#[derive(Debug, Default)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<i64>,
    xattrs: Vec<(OsString, Vec<u8>)>,
    pub(super) sparse: Said,
}

impl Extended {
    /// What one record says.
    pub(super) fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarFault> {
        // An empty value takes back what was said (POSIX.1 pax, "pax Header Block").
        let said = (!value.is_empty()).then_some(value);
        match key {
            b"path" => self.path = said.map(<[u8]>::to_owned),
            b"linkpath" => self.link = said.map(<[u8]>::to_owned),
            b"size" => self.size = said.map(|value| number(value, "size")).transpose()?,
            b"uid" => self.uid = said.map(|value| number(value, "uid")).transpose()?,
            b"gid" => self.gid = said.map(|value| number(value, "gid")).transpose()?,
            b"mtime" => self.mtime = said.map(time).transpose()?,
            _ if key.starts_with(SPARSE) => self.sparse.record(&key[SPARSE.len()..], value)?,
            _ => {
                let name = key.strip_prefix(XATTR.as_bytes()).map(OsStr::from_bytes);
                if let Some(name) = name.filter(|name| belongs_to_image(name)) {
                    self.xattrs.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// What they and the entry's own header say together.
    pub(super) fn metadata(self, block: &Block) -> Result<Metadata, TarFault> {
        // The last number of all means "no id" to the kernel.
        let id = |said: Option<u64>, field, name| {
            let id = u32::try_from(said.map_or(field, Ok)?)
                .ok()
                .filter(|id| *id != u32::MAX);
            id.ok_or(TarFault::Number(name))
        };
        Ok(Metadata {
            mode: block.mode()?,
            uid: id(self.uid, block.uid(), "uid")?,
            gid: id(self.gid, block.gid(), "gid")?,
            mtime: self.mtime.map_or_else(|| block.mtime(), Ok)?,
            xattrs: self.xattrs.into_iter().collect(),
        })
    }
}

fn number(text: &[u8], field: &'static str) -> Result<u64, TarFault> {
    let text = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()));
    text.and_then(|text| text.parse().ok())
        .ok_or(TarFault::Number(field))
}

/// Seconds, maybe negative, maybe with a fraction: rounded down.
fn time(text: &[u8]) -> Result<i64, TarFault> {
    let wrong = TarFault::Number("mtime");
    let (seconds, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &[][..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(wrong);
    }
    let whole: i64 = std::str::from_utf8(seconds)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(wrong)?;
    let below = seconds.starts_with(b"-") && fraction.iter().any(|digit| *digit != b'0');
    Ok(whole.saturating_sub(below.into()))
}
