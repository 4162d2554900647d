//! Writing a tar of blobs: the same bytes for the same image.

use std::io::{self, Read, Write};

use super::Error;
use crate::image::{BlobError, Blobs, Descriptor};

/// A tar that is being written.
pub(super) struct TarOut<W: Write> {
    tar: tar::Builder<W>,
}

impl<W: Write> TarOut<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            tar: tar::Builder::new(out),
        }
    }

    pub(super) fn directory(&mut self, name: &str) -> Result<(), Error> {
        let mut header = header(0, 0o755);
        header.set_entry_type(tar::EntryType::Directory);
        self.tar
            .append_data(&mut header, name, io::empty())
            .map_err(failed)
    }

    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.tar
            .append_data(&mut header(bytes.len() as u64, 0o644), name, bytes)
            .map_err(failed)
    }

    pub(super) fn blob(&mut self, name: &str, source: &dyn Blobs, blob: &Descriptor) -> Result<(), Error> {
        let mut reader = Source {
            inner: source.open(blob)?,
            error: None,
        };
        let result = self
            .tar
            .append_data(&mut header(blob.size, 0o644), name, &mut reader);
        match (result, reader.error) {
            (_, Some(error)) => Err(BlobError::from_read(error, blob.digest, "its source").into()),
            (result, None) => result.map_err(failed),
        }
    }

    /// The end of the tar; gives back what it was written to.
    pub(super) fn finish(self) -> Result<W, Error> {
        let mut out = self.tar.into_inner().map_err(failed)?;
        out.flush().map_err(failed)?;
        Ok(out)
    }

    /// What it is written to. Between entries only.
    pub(super) fn get_mut(&mut self) -> &mut W {
        self.tar.get_mut()
    }
}

/// Keeps the error of the reading side, to tell it from one of the writing side.
struct Source {
    inner: Box<dyn Read + Send>,
    error: Option<io::Error>,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let kind = error.kind();
                self.error = Some(error);
                Err(kind.into())
            }
            result => result,
        }
    }
}

/// A header in which nothing depends on who writes, where and when. GNU's format has sizes over 8 GiB.
pub(super) fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

pub(super) fn failed(source: io::Error) -> Error {
    Error::Write { path: None, source }
}
