//! A stream taken apart, entry by entry.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io::{BufRead, ErrorKind},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use super::{
    block::{BLOCK, Block, padding},
    extended::Extended,
    names::{Links, Meaning, clean, meaning},
    pax::records,
    sparse::{self, Run, Said},
};
use crate::{
    Digest,
    layer::{Error, Limits, TarFault},
    tree::{Change, Content, Kind, Node, Origin, What},
};

/// More than any path or attribute needs; Go's `archive/tar` has the same.
const MAX_EXTENDED: u64 = 1 << 20;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Reads a tar that may come from anybody.
pub(in crate::layer) struct Entries<R> {
    input: R,
    /// Bytes read so far.
    offset: u64,
    /// By how much sparse files so far are larger than their data.
    expansion: u64,
    /// Data of the current entry that was not read yet.
    data: u64,
    /// Of a sparse file: what is left of it, data and holes.
    runs: VecDeque<Run>,
    /// What follows it to fill its last block.
    padding: u64,
    links: Links,
    /// Entries that may still come.
    left: u64,
    /// Bytes that the tar may have when its sparse files are written in full.
    most: u64,
    /// Passes over symlinks that have no target.
    lenient: bool,
    /// Of the current entry, for errors.
    start: u64,
    name: Vec<u8>,
}

impl<R: BufRead> Entries<R> {
    pub(in crate::layer) fn new(input: R) -> Self {
        Self::within(input, Limits::from_environment())
    }

    /// The same within other limits.
    pub(in crate::layer) fn within(input: R, limits: Limits) -> Self {
        Self {
            input,
            offset: 0,
            expansion: 0,
            data: 0,
            runs: VecDeque::new(),
            padding: 0,
            links: Links::default(),
            left: limits.entries,
            most: limits.bytes,
            lenient: false,
            start: 0,
            name: Vec::new(),
        }
    }

    /// Passes over symlinks that have no target, which is how some programs pack every symlink.
    pub(in crate::layer) fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// The next entry; what was not read of the current one's data is passed over. `None` at the archive's end.
    ///
    /// Files have no digest yet; their [`Origin::Layer`] has the right offset, but not yet the diff ID.
    pub(in crate::layer) fn next(&mut self) -> Result<Option<Change>, Error> {
        let mut extended = Extended::default();
        loop {
            self.pass_over()?;
            self.start = self.offset;
            self.name.clear();
            let Some(block) = self.header()? else {
                return Ok(None);
            };
            let said = extended.sparse.name.as_ref().or(extended.path.as_ref());
            self.name = said.cloned().unwrap_or_else(|| block.name());
            block.check().map_err(|what| self.fault(what))?;
            match block.kind() {
                b'x' | b'L' | b'K' => self.extend(&block, &mut extended)?,
                // Global headers hold comments in practice; container engines ignore them.
                b'g' => _ = self.extended_data(&block)?,
                _ => {
                    self.left = self
                        .left
                        .checked_sub(1)
                        .ok_or_else(|| self.fault(TarFault::TooMany))?;
                    let extended = std::mem::take(&mut extended);
                    let change = self.entry(&block, extended).map_err(|what| self.fault(what))?;
                    if change.is_some() {
                        return Ok(change);
                    }
                }
            }
        }
    }

    /// Hands the rest of the current entry's data to `sink`, piece by piece.
    pub(in crate::layer) fn data(
        &mut self,
        mut sink: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some(run) = self.run()? {
            match run {
                Run::Hole(mut left) => {
                    while left > 0 {
                        let length = usize::try_from(left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
                        sink(&ZEROS[..length])?;
                        left -= length as u64;
                    }
                }
                Run::Data(left) => {
                    let piece = fill(&mut self.input)?;
                    if piece.is_empty() {
                        return Err(self.fault(TarFault::Truncated));
                    }
                    let length = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
                    sink(&piece[..length])?;
                    self.took(length);
                }
            }
        }
        Ok(())
    }

    /// What it reads from.
    pub(in crate::layer) fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// Gets to the end of the current entry's data, and tells the input how large each hole in it is.
    pub(in crate::layer) fn pass_data(&mut self, mut hole: impl FnMut(&mut R, u64)) -> Result<(), Error> {
        while let Some(run) = self.run()? {
            match run {
                Run::Hole(size) => hole(&mut self.input, size),
                Run::Data(_) => self.pass_run()?,
            }
        }
        Ok(())
    }

    /// What comes next of the current entry: a hole, which is passed with this, or data, which is to be read.
    pub(super) fn run(&mut self) -> Result<Option<Run>, Error> {
        Ok(match self.runs.front().copied() {
            None if self.data == 0 => None,
            None => Some(Run::Data(self.data)),
            Some(Run::Hole(size)) => {
                self.runs.pop_front();
                self.expansion += size;
                Some(Run::Hole(size))
            }
            data => data,
        })
    }

    /// Reads data of the current entry, as much as there is at once.
    pub(super) fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let most = match self.runs.front() {
            Some(Run::Data(size)) => *size,
            _ => self.data,
        };
        let piece = fill(&mut self.input)?;
        if piece.is_empty() {
            return Err(self.fault(TarFault::Truncated));
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let length = piece.len().min(buffer.len()).min(most);
        buffer[..length].copy_from_slice(&piece[..length]);
        self.took(length);
        Ok(length)
    }

    /// So much data of the current entry was used.
    fn took(&mut self, length: usize) {
        self.input.consume(length);
        let length = length as u64;
        self.offset += length;
        self.data -= length;
        if let Some(Run::Data(left)) = self.runs.front_mut() {
            *left -= length;
            if *left == 0 {
                self.runs.pop_front();
            }
        }
    }

    /// How far this is in a tar whose sparse files are written in full.
    pub(super) fn position(&self) -> u64 {
        self.offset + self.expansion
    }

    /// Reads what follows the archive's end, if anything does.
    pub(in crate::layer) fn finish(mut self) -> Result<(), Error> {
        loop {
            let length = fill(&mut self.input)?.len();
            if length == 0 {
                return Ok(());
            }
            self.input.consume(length);
        }
    }

    fn fault(&self, what: TarFault) -> Error {
        let entry = PathBuf::from(OsStr::from_bytes(&self.name));
        Error::Tar {
            entry,
            offset: self.start,
            what,
        }
    }

    /// Gets to the next header.
    fn pass_over(&mut self) -> Result<(), Error> {
        // Holes count, and need not be gone through.
        self.pass_data(|_, _| {})?;
        self.data = std::mem::take(&mut self.padding);
        self.pass_run()
    }

    fn pass_run(&mut self) -> Result<(), Error> {
        let mut left = match self.runs.front() {
            Some(Run::Data(size)) => *size,
            _ => self.data,
        };
        while left > 0 {
            let piece = fill(&mut self.input)?.len();
            if piece == 0 {
                return Err(self.fault(TarFault::Truncated));
            }
            let length = usize::try_from(left).map_or(piece, |left| left.min(piece));
            self.took(length);
            left -= length as u64;
        }
        Ok(())
    }

    /// The next header block. `None` at the end: two zero blocks, or, with sloppy writers, one or none.
    fn header(&mut self) -> Result<Option<Block>, Error> {
        let Some(block) = self.block()? else {
            return Ok(None);
        };
        if !block.is_zero() {
            return Ok(Some(block));
        }
        match self.block()? {
            Some(block) if !block.is_zero() => Err(self.fault(TarFault::Checksum)),
            _ => Ok(None),
        }
    }

    /// `None` where the stream ends.
    fn block(&mut self) -> Result<Option<Block>, Error> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let piece = fill(&mut self.input)?;
            if piece.is_empty() {
                break;
            }
            let length = piece.len().min(BLOCK - filled);
            block[filled..filled + length].copy_from_slice(&piece[..length]);
            self.input.consume(length);
            filled += length;
        }
        self.offset += filled as u64;
        match filled {
            0 => Ok(None),
            BLOCK => Ok(Some(Block(block))),
            _ => Err(self.fault(TarFault::Truncated)),
        }
    }

    fn extended_data(&mut self, block: &Block) -> Result<Vec<u8>, Error> {
        let size = block.size().map_err(|what| self.fault(what))?;
        if size > MAX_EXTENDED {
            return Err(self.fault(TarFault::TooLong(size)));
        }
        (self.data, self.padding) = (size, padding(size));
        let mut bytes = Vec::new();
        self.data(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    fn extend(&mut self, block: &Block, extended: &mut Extended) -> Result<(), Error> {
        let mut bytes = self.extended_data(block)?;
        // GNU's long names end in a NUL.
        let text = |bytes: &mut Vec<u8>| {
            bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
            Some(std::mem::take(bytes))
        };
        match block.kind() {
            b'L' => extended.path = text(&mut bytes),
            b'K' => extended.link = text(&mut bytes),
            _ => records(&bytes)
                .try_for_each(|record| record.and_then(|(key, value)| extended.record(key, value)))
                .map_err(|what| self.fault(what))?,
        }
        Ok(())
    }

    /// What an entry says; `None` for what says nothing to us.
    fn entry(&mut self, block: &Block, extended: Extended) -> Result<Option<Change>, TarFault> {
        let kind = match block.kind() {
            // Before POSIX, a slash told directories from files.
            0 if self.name.ends_with(b"/") => b'5',
            0 | b'7' => b'0',
            kind => kind,
        };
        let size = match kind {
            b'0' => extended.size.map_or_else(|| block.size(), Ok)?,
            // Nothing else has data, whatever the header says: as with Go's archive/tar, which the others use.
            b'1'..=b'6' => 0,
            b'S' => block.size()?,
            other => return Err(TarFault::Type(other.into())),
        };
        if i64::try_from(size).is_err() {
            return Err(TarFault::Number("size"));
        }
        (self.data, self.padding) = (size, padding(size));
        let size = match kind {
            b'0' | b'S' if kind == b'S' || extended.sparse.is_sparse() => {
                self.sparse(kind, block, &extended.sparse)?
            }
            _ => size,
        };
        if self.lenient && kind == b'2' && extended.link.as_deref().unwrap_or(block.link()).is_empty() {
            return Ok(None);
        }
        let path = self.links.resolve(clean(&self.name)?)?;
        let (path, what) = match meaning(path)? {
            Meaning::Nothing => return Ok(None),
            Meaning::Whiteout(path) => (path, What::Whiteout),
            Meaning::Opaque(path) => (path, What::Opaque),
            Meaning::Entry(path) => (path, self.what(kind, size, block, extended)?),
        };
        self.note(&path, &what)?;
        Ok(Some(Change { path, what }))
    }

    /// Reads the map of a sparse file, and says the size that it has when it is written in full.
    fn sparse(&mut self, kind: u8, block: &Block, said: &Said) -> Result<u64, TarFault> {
        let stored = self.data;
        let (size, map) = if kind == b'S' {
            let (mut numbers, mut more, size) = sparse::of_header(block)?;
            while more {
                let block = self.block().ok().flatten().ok_or(TarFault::Truncated)?;
                more = sparse::of_block(&mut numbers, &block)?;
            }
            (size, sparse::map(&numbers, size, stored)?)
        } else if said.in_data {
            let size = said.size.ok_or(TarFault::Sparse)?;
            let numbers = self.sparse_lines()?;
            (size, sparse::map(&numbers, size, self.data)?)
        } else {
            let size = said.size.ok_or(TarFault::Sparse)?;
            (size, said.map(size, stored)?)
        };
        // Written in full, the layer must not be larger than one that is.
        if self.position().saturating_add(size) > self.most {
            return Err(TarFault::TooLarge(size));
        }
        self.runs = map.runs(size);
        Ok(size)
    }

    /// The map that begins the data of the current entry.
    fn sparse_lines(&mut self) -> Result<Vec<u64>, TarFault> {
        let mut lines = sparse::Lines::default();
        loop {
            self.data = self.data.checked_sub(BLOCK as u64).ok_or(TarFault::Sparse)?;
            let block = self.block().ok().flatten().ok_or(TarFault::Truncated)?;
            if let Some(numbers) = lines.block(&block.0)? {
                return Ok(numbers);
            }
        }
    }

    /// Remembers links, and sees to it that the root stays a directory.
    fn note(&mut self, path: &Path, what: &What) -> Result<(), TarFault> {
        let is_root = path.as_os_str().is_empty();
        match what {
            What::Opaque => {}
            What::Node(Node {
                kind: Kind::Directory,
                ..
            }) => self.links.note(path, None),
            _ if is_root => return Err(TarFault::Root),
            What::Node(Node {
                kind: Kind::Symlink(target),
                ..
            }) => self.links.note(path, Some(target)),
            What::Node(_) => self.links.note(path, None),
            What::HardLink(_) | What::Whiteout => {}
        }
        Ok(())
    }

    fn what(&mut self, kind: u8, size: u64, block: &Block, extended: Extended) -> Result<What, TarFault> {
        let link = extended.link.clone().unwrap_or_else(|| block.link().to_owned());
        let kind = match kind {
            b'1' => {
                let target = self.links.resolve(clean(&link)?)?;
                return if target.as_os_str().is_empty() {
                    Err(TarFault::Path)
                } else {
                    Ok(What::HardLink(target))
                };
            }
            b'2' if link.is_empty() || link.contains(&0) => return Err(TarFault::Path),
            b'2' => Kind::Symlink(OsString::from_vec(link)),
            b'3' | b'4' => match (kind, block.device()?) {
                // On an overlay this is a whiteout, whoever made it.
                (b'3', (0, 0)) => return Ok(What::Whiteout),
                (b'3', (major, minor)) => Kind::CharDevice { major, minor },
                (_, (major, minor)) => Kind::BlockDevice { major, minor },
            },
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            _ => {
                let origin = Origin::Layer {
                    diff_id: Digest::from_bytes([0; 32]),
                    offset: self.position(),
                };
                Kind::File(Content {
                    size,
                    digest: None,
                    origin,
                })
            }
        };
        let mut metadata = extended.metadata(block)?;
        if matches!(kind, Kind::Symlink(_)) {
            metadata.mode = 0o777;
        }
        Ok(What::Node(Node { metadata, kind }))
    }
}

/// What is in the buffer, or comes next.
fn fill(input: &mut impl BufRead) -> Result<&[u8], Error> {
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Read(error)),
        }
    }
    input.fill_buf().map_err(Error::Read)
}
