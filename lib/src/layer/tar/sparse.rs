//! Sparse files: of their bytes only some are in the tar, and a map says where these go.
//!
//! GNU tar has written the map in four ways: in the header and blocks after it (type `S`), in PAX records (0.0 and 0.1),
//! and before the data (1.0). See the manual of GNU tar, "Storing Sparse Files".

use std::collections::VecDeque;

use super::block::{BLOCK, Block};
use crate::layer::TarFault;

/// More pieces than this are no file that anybody needs.
const MOST: usize = 1 << 18;

/// Where bytes are in the file: offset and length, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Map(Vec<(u64, u64)>);

/// What extended headers say of a sparse file.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Of the file as it was.
    pub size: Option<u64>,
    /// Its name, where that in the header is made up.
    pub name: Option<Vec<u8>>,
    /// The map begins the data (1.0).
    pub in_data: bool,
    map: Vec<u64>,
    any: bool,
}

impl Said {
    /// Whether the next file is sparse.
    pub(super) fn is_sparse(&self) -> bool {
        self.any
    }

    /// Takes a record `GNU.sparse.KEY`.
    pub(super) fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarFault> {
        self.any = true;
        match key {
            b"major" => self.in_data = value == b"1",
            b"name" => self.name = Some(value.to_owned()),
            b"size" | b"realsize" => self.size = Some(number(value)?),
            b"offset" | b"numbytes" => self.push(number(value)?)?,
            b"map" => {
                for value in value.split(|byte| *byte == b',') {
                    self.push(number(value)?)?;
                }
            }
            // How many there are, and what version this is: seen from the rest.
            _ => {}
        }
        Ok(())
    }

    fn push(&mut self, number: u64) -> Result<(), TarFault> {
        self.map.push(number);
        if self.map.len() > 2 * MOST {
            Err(TarFault::Sparse)
        } else {
            Ok(())
        }
    }

    pub(super) fn map(&self, size: u64, data: u64) -> Result<Map, TarFault> {
        Map::of(&self.map, size, data)
    }
}

impl Map {
    /// A map of a file of `size` bytes, `data` of which are there.
    fn of(numbers: &[u64], size: u64, data: u64) -> Result<Self, TarFault> {
        let (pairs, rest) = numbers.as_chunks::<2>();
        let mut end = 0u64;
        let mut sum = 0u64;
        for [offset, length] in pairs {
            if *offset < end {
                return Err(TarFault::Sparse);
            }
            end = offset.checked_add(*length).ok_or(TarFault::Sparse)?;
            // No more than the end, which fits.
            sum += length;
        }
        if !rest.is_empty() || end > size || sum != data {
            return Err(TarFault::Sparse);
        }
        Ok(Self(
            pairs.iter().map(|[offset, length]| (*offset, *length)).collect(),
        ))
    }

    /// As runs of a file of `size` bytes.
    pub(super) fn runs(&self, size: u64) -> VecDeque<Run> {
        let mut runs = VecDeque::new();
        let mut at = 0;
        for (offset, length) in &self.0 {
            runs.push_back(Run::Hole(offset - at));
            runs.push_back(Run::Data(*length));
            at = offset + length;
        }
        runs.push_back(Run::Hole(size - at));
        runs.retain(|run| !matches!(run, Run::Hole(0) | Run::Data(0)));
        runs
    }
}

/// A part of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// Zeros that are not in the tar.
    Hole(u64),
    /// Bytes that are.
    Data(u64),
}

/// The map of GNU's own header, as far as it goes; whether more blocks follow; and the size of the file.
pub(super) fn of_header(block: &Block) -> Result<(Vec<u64>, bool, u64), TarFault> {
    let mut numbers = Vec::new();
    pairs(&mut numbers, block, 386, 4)?;
    Ok((numbers, block.0[482] != 0, block.positive(483..495, "size")?))
}

/// One of the blocks after it; whether more follow.
pub(super) fn of_block(numbers: &mut Vec<u64>, block: &Block) -> Result<bool, TarFault> {
    pairs(numbers, block, 0, 21)?;
    if numbers.len() > 2 * MOST {
        return Err(TarFault::Sparse);
    }
    Ok(block.0[504] != 0)
}

pub(super) fn map(numbers: &[u64], size: u64, data: u64) -> Result<Map, TarFault> {
    Map::of(numbers, size, data)
}

fn pairs(numbers: &mut Vec<u64>, block: &Block, first: usize, count: usize) -> Result<(), TarFault> {
    for at in (first..).step_by(24).take(count) {
        // Both NUL at the end of the list.
        if block.0[at] == 0 && block.0[at + 12] == 0 {
            break;
        }
        numbers.push(block.positive(at..at + 12, "sparse map")?);
        numbers.push(block.positive(at + 12..at + 24, "sparse map")?);
    }
    Ok(())
}

/// Reads the map before the data (1.0): a count, and so many pairs, each number on a line of its own.
#[derive(Default)]
pub(super) struct Lines {
    numbers: Vec<u64>,
    digits: Vec<u8>,
}

impl Lines {
    /// Takes a block; the map, when it is complete.
    pub(super) fn block(&mut self, block: &[u8; BLOCK]) -> Result<Option<Vec<u64>>, TarFault> {
        for byte in block {
            if *byte != b'\n' {
                self.digits.push(*byte);
                if self.digits.len() > 20 {
                    return Err(TarFault::Sparse);
                }
                continue;
            }
            self.numbers.push(number(&std::mem::take(&mut self.digits))?);
            let [count, numbers @ ..] = &self.numbers[..] else {
                return Err(TarFault::Sparse);
            };
            let wanted = usize::try_from(*count).ok().filter(|count| *count <= MOST);
            if numbers.len() == 2 * wanted.ok_or(TarFault::Sparse)? {
                return Ok(Some(numbers.to_vec()));
            }
        }
        Ok(None)
    }
}

fn number(text: &[u8]) -> Result<u64, TarFault> {
    let text = std::str::from_utf8(text).ok();
    let digits = text.filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or(TarFault::Sparse)
}
