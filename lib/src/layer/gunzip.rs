//! gzip back to what it was. Blobs of small members, as [`Members`](super::gzip::Members) writes them, are decompressed
//! member by member, which is a quarter faster than as a stream; all others, and all that is odd, as the stream that
//! gzip is.

use std::{
    io::{self, BufRead, Chain, Cursor, Read},
    mem,
};

use flate2::bufread::MultiGzDecoder;
use memchr::memmem;
use rbuild_sys::{Inflated, Inflater};

use super::gzip::MEMBER;

/// What of a blob is looked at at once, in bytes: where no second member begins in so many, members are large.
const WINDOW: usize = 2 << 20;
/// How a member begins, without what its flags announce (RFC 1952, 2.3).
const HEADER: usize = 10;
/// What it ends with: the size of what it was before, modulo 2^32.
const SIZE: usize = 4;

/// Decompresses all members of a blob.
pub(super) struct Gunzip<R> {
    source: Source<R>,
    /// The start of this is a member, decompressed.
    output: Vec<u8>,
    filled: usize,
    given: usize,
}

enum Source<R> {
    Members(Members<R>),
    Stream(Box<MultiGzDecoder<Chain<Cursor<Vec<u8>>, R>>>),
    Ended,
}

/// A blob of which whole members are wanted.
struct Members<R> {
    blob: R,
    inflater: Inflater,
    window: Vec<u8>,
    /// Bytes of the window that are done.
    done: usize,
    ended: bool,
}

impl<R: BufRead> Gunzip<R> {
    pub(super) fn new(blob: R) -> Self {
        let source = match Inflater::new() {
            Some(inflater) => Source::Members(Members {
                blob,
                inflater,
                window: Vec::new(),
                done: 0,
                ended: false,
            }),
            None => stream(Vec::new(), blob),
        };
        Self {
            source,
            output: Vec::new(),
            filled: 0,
            given: 0,
        }
    }

    /// With what is not done yet; without anything, it is the end.
    fn go_on_as_stream(&mut self) {
        if let Source::Members(Members {
            blob,
            mut window,
            done,
            ..
        }) = mem::replace(&mut self.source, Source::Ended)
        {
            window.drain(..done);
            if !window.is_empty() {
                self.source = stream(window, blob);
            }
        }
    }
}

fn stream<R: BufRead>(head: Vec<u8>, blob: R) -> Source<R> {
    Source::Stream(Box::new(MultiGzDecoder::new(Cursor::new(head).chain(blob))))
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let rest = &self.output[self.given..self.filled];
            if !rest.is_empty() || buffer.is_empty() {
                let length = rest.len().min(buffer.len());
                buffer[..length].copy_from_slice(&rest[..length]);
                self.given += length;
                return Ok(length);
            }
            match &mut self.source {
                Source::Ended => return Ok(0),
                Source::Stream(stream) => return stream.read(buffer),
                Source::Members(members) => {
                    let end = members.end()?;
                    // Where there is room, it need not be copied.
                    let large = buffer.len() >= MEMBER;
                    let inflated = match large {
                        true => members.inflate(end, buffer),
                        false => {
                            self.output.resize(MEMBER, 0);
                            members.inflate(end, &mut self.output)
                        }
                    };
                    match inflated {
                        None => self.go_on_as_stream(),
                        // Empty members are legal, and not the end.
                        Some(0) => {}
                        Some(length) if large => return Ok(length),
                        Some(length) => (self.given, self.filled) = (0, length),
                    }
                }
            }
        }
    }
}

impl<R: BufRead> Members<R> {
    /// Finds out where the next member ends, and reads more if it has to. None where that is too far away.
    fn end(&mut self) -> io::Result<Option<usize>> {
        let mut end = self.next_but_one();
        if end.is_none() && !self.ended {
            self.window.drain(..self.done);
            self.done = 0;
            let wanted = (WINDOW - self.window.len()) as u64;
            let read = self.blob.by_ref().take(wanted).read_to_end(&mut self.window)?;
            self.ended = (read as u64) < wanted;
            end = self.next_but_one();
        }
        Ok(end.or(self.ended.then_some(self.window.len())))
    }

    /// Where the next member but one begins, most likely: all members of a blob begin alike.
    fn next_but_one(&self) -> Option<usize> {
        let rest = self.window.get(self.done..)?;
        let header = rest.get(..HEADER)?;
        memmem::find(&rest[1..], header).map(|at| self.done + 1 + at)
    }

    /// Decompresses the next member, and says how large it is; none if that cannot be done so.
    fn inflate(&mut self, end: Option<usize>, output: &mut [u8]) -> Option<usize> {
        let member = self.window.get(self.done..end?)?;
        let size = u32::from_le_bytes(*member.last_chunk::<SIZE>()?);
        if size as usize > output.len() {
            return None;
        }
        let Inflated { taken, given } = self.inflater.member(member, output)?;
        self.done += taken;
        Some(given)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    /// What is as long as that, and compresses to a third or so.
    fn text(length: usize) -> Vec<u8> {
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 & 7
        };
        (0..length).map(|_| next()).collect()
    }

    fn member(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Read in small pieces, and in large ones.
    fn gunzip(blob: &[u8]) -> io::Result<Vec<u8>> {
        let mut found = Vec::new();
        let read = Gunzip::new(blob).read_to_end(&mut found);
        let mut large = BufReader::with_capacity(MEMBER, Gunzip::new(blob));
        let mut again = Vec::new();
        while let Ok(bytes @ [_, ..]) = large.fill_buf() {
            again.extend_from_slice(bytes);
            let length = bytes.len();
            large.consume(length);
        }
        assert!(found == again || read.is_err());
        read.map(|_| found)
    }

    fn as_stream(blob: &[u8]) -> io::Result<Vec<u8>> {
        let mut found = Vec::new();
        MultiGzDecoder::new(blob).read_to_end(&mut found).map(|_| found)
    }

    #[test]
    fn members_of_any_size_are_one_stream() {
        for sizes in [
            &[0][..],
            &[5],
            &[MEMBER],
            &[MEMBER + 1],
            &[9 << 20],
            &[MEMBER, MEMBER, MEMBER, 17],
            &[0, MEMBER, 0, 3],
            &[MEMBER; 12],
            &[100; 300],
            // Small ones, and one that is too large for that, and small ones again.
            &[MEMBER, 5, 9 << 20, 5, MEMBER],
        ] {
            let all: Vec<u8> = sizes.iter().flat_map(|size| text(*size)).collect();
            let blob: Vec<u8> = sizes.iter().flat_map(|size| member(&text(*size))).collect();
            assert!(gunzip(&blob).unwrap() == all, "{sizes:?}");
        }
    }

    #[test]
    fn a_member_in_a_member_is_bytes_like_others() {
        let inner = [member(b"inner"), member(b"again")].concat();
        // Not compressed, so that its header is there to be seen.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        encoder.write_all(&inner).unwrap();
        let outer = encoder.finish().unwrap();
        let blob = [member(b"first"), outer.clone(), outer, member(b"last")].concat();
        let all = [b"first", &inner[..], &inner, b"last"].concat();
        assert!(gunzip(&blob).unwrap() == all);
    }

    proptest! {
        #[test]
        fn whatever_is_done_to_a_blob_it_is_what_the_stream_is(
            sizes in proptest::collection::vec(0_usize..3000, 1..6),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u32,
            cut in any::<prop::sample::Index>(),
            tail in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let blob: Vec<u8> = sizes.iter().flat_map(|size| member(&text(*size))).collect();
            let mut damaged = blob.clone();
            damaged[at.index(blob.len())] ^= 1_u8 << bit;
            for blob in [&damaged[..], &blob[..cut.index(blob.len())], &[&blob[..], &tail].concat()] {
                match (gunzip(blob), as_stream(blob)) {
                    (Ok(found), Ok(expected)) => prop_assert_eq!(found, expected),
                    (found, expected) => prop_assert_eq!(found.is_err(), expected.is_err()),
                }
            }
        }
    }
}
