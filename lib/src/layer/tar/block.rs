//! One header block.

use std::ops::Range;

use crate::layer::TarFault;

/// The unit of a tar.
pub(in crate::layer) const BLOCK: usize = 512;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;
/// A shorter prefix, and the mark of the writer that has it (star).
const STAR_PREFIX: Range<usize> = 345..476;
const STAR_MARK: Range<usize> = 508..512;

/// How many bytes follow data of this size to fill its last block.
pub(in crate::layer) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// The fields of a header to write; what does not fit is for a PAX record to say.
#[derive(Debug, Default)]
pub(in crate::layer) struct Fields<'a> {
    pub name: &'a [u8],
    pub link: &'a [u8],
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub size: u64,
    pub mtime: i64,
    pub kind: u8,
    pub device: Option<(u32, u32)>,
}

/// The block, and which of its fields were too long for it.
pub(in crate::layer) fn header(fields: &Fields<'_>) -> ([u8; BLOCK], Vec<&'static str>) {
    let mut block = [0; BLOCK];
    let mut overflow = Vec::new();
    let mut text = |range: Range<usize>, text: &[u8], key| {
        let fits = text.len() <= range.len();
        let cut = text.len().min(range.len());
        block[range.start..range.start + cut].copy_from_slice(&text[..cut]);
        // ustar is ASCII (POSIX.1 pax, "ustar Interchange Format").
        if !fits || !text.is_ascii() {
            overflow.push(key);
        }
    };
    text(NAME, fields.name, "path");
    text(LINK, fields.link, "linkpath");
    let (major, minor) = fields.device.unwrap_or_default();
    for (range, value, key) in [
        (MODE, Some(fields.mode.into()), "mode"),
        (UID, Some(fields.uid), "uid"),
        (GID, Some(fields.gid), "gid"),
        (SIZE, Some(fields.size), "size"),
        (MTIME, u64::try_from(fields.mtime).ok(), "mtime"),
        (MAJOR, fields.device.map(|_| major.into()), "SCHILY.devmajor"),
        (MINOR, fields.device.map(|_| minor.into()), "SCHILY.devminor"),
    ] {
        let device = range.start >= MAJOR.start;
        let value = if device && fields.device.is_none() {
            Some(0)
        } else {
            value
        };
        if !octal(&mut block[range], value) {
            overflow.push(key);
        }
    }
    block[TYPE] = fields.kind;
    block[MAGIC].copy_from_slice(b"ustar\x0000");
    let sum: u32 = checksums(&block).0;
    octal(&mut block[CHECKSUM.start..CHECKSUM.end - 1], Some(sum.into()));
    block[CHECKSUM.end - 1] = b' ';
    (block, overflow)
}

/// Digits to the last byte but one, which stays NUL; zero if the value does not fit.
fn octal(field: &mut [u8], value: Option<u64>) -> bool {
    let digits = field.len() - 1;
    let fits = value.filter(|value| *value < 1 << (3 * digits));
    let mut rest = fits.unwrap_or(0);
    for digit in field[..digits].iter_mut().rev() {
        *digit = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    fits.is_some()
}

/// The sums of a block, its checksum taken as blanks: of unsigned bytes, as POSIX has it, and of signed ones, as some
/// old writers did.
fn checksums(block: &[u8; BLOCK]) -> (u32, i32) {
    let bytes = block.iter().enumerate();
    let blanked = bytes.map(|(at, byte)| if CHECKSUM.contains(&at) { b' ' } else { *byte });
    blanked.fold((0, 0), |(unsigned, signed), byte| {
        (unsigned + u32::from(byte), signed + i32::from(byte.cast_signed()))
    })
}

/// A header block that was read.
pub(super) struct Block(pub(super) [u8; BLOCK]);

impl Block {
    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    pub(super) fn check(&self) -> Result<(), TarFault> {
        let said = self
            .number(CHECKSUM, "checksum")
            .map_err(|_| TarFault::Checksum)?;
        let (unsigned, signed) = checksums(&self.0);
        let right = said == i64::from(unsigned) || said == i64::from(signed);
        if right { Ok(()) } else { Err(TarFault::Checksum) }
    }

    /// The name, with the prefix of those writers that have one.
    pub(super) fn name(&self) -> Vec<u8> {
        let star = &self.0[STAR_MARK] == b"tar\0";
        let prefix = match &self.0[MAGIC] {
            b"ustar\x0000" if star => self.text(STAR_PREFIX),
            // GNU's "ustar  \0" has other things there.
            magic if magic.starts_with(b"ustar\0") => self.text(PREFIX),
            _ => &[],
        };
        let name = self.text(NAME);
        if prefix.is_empty() {
            name.to_owned()
        } else {
            [prefix, b"/", name].concat()
        }
    }

    pub(super) fn link(&self) -> &[u8] {
        self.text(LINK)
    }

    pub(super) fn kind(&self) -> u8 {
        self.0[TYPE]
    }

    pub(super) fn size(&self) -> Result<u64, TarFault> {
        self.positive(SIZE, "size")
    }

    pub(super) fn mode(&self) -> Result<u32, TarFault> {
        // Some writers put the whole st_mode here.
        Ok((self.positive(MODE, "mode")? & 0o7777) as u32)
    }

    pub(super) fn uid(&self) -> Result<u64, TarFault> {
        self.positive(UID, "uid")
    }

    pub(super) fn gid(&self) -> Result<u64, TarFault> {
        self.positive(GID, "gid")
    }

    pub(super) fn mtime(&self) -> Result<i64, TarFault> {
        self.number(MTIME, "mtime")
    }

    pub(super) fn device(&self) -> Result<(u32, u32), TarFault> {
        let number = |range, field| {
            let number = self.positive(range, field)?;
            u32::try_from(number).map_err(|_| TarFault::Number(field))
        };
        Ok((number(MAJOR, "device")?, number(MINOR, "device")?))
    }

    fn text(&self, range: Range<usize>) -> &[u8] {
        let field = &self.0[range];
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        &field[..end]
    }

    pub(super) fn positive(&self, range: Range<usize>, field: &'static str) -> Result<u64, TarFault> {
        u64::try_from(self.number(range, field)?).map_err(|_| TarFault::Number(field))
    }

    /// Octal digits, or, when the first bit is set, a big-endian two's complement number (GNU "base-256").
    fn number(&self, range: Range<usize>, field: &'static str) -> Result<i64, TarFault> {
        let bytes = &self.0[range];
        let wrong = TarFault::Number(field);
        if let [first @ 0x80..=0xff, rest @ ..] = bytes {
            // Bit 6 of the first byte is the sign.
            let start = if first & 0x40 == 0 {
                i64::from(first & 0x3f)
            } else {
                i64::from(first | 0x80) - 0x100
            };
            return rest
                .iter()
                .try_fold(start, |sum, byte| {
                    sum.checked_mul(256)?.checked_add(i64::from(*byte))
                })
                .ok_or(wrong);
        }
        let end = bytes
            .iter()
            .rposition(|byte| !matches!(byte, 0 | b' '))
            .map_or(0, |last| last + 1);
        let start = bytes.iter().position(|byte| *byte != b' ').unwrap_or(0).min(end);
        bytes[start..end]
            .iter()
            .try_fold(0_i64, |sum, digit| match digit {
                b'0'..=b'7' => sum
                    .checked_mul(8)
                    .and_then(|sum| sum.checked_add(i64::from(digit - b'0')))
                    .ok_or(wrong.clone()),
                _ => Err(wrong.clone()),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(field: Range<usize>, bytes: &[u8]) -> Block {
        let mut block = [0; BLOCK];
        block[field.start..field.start + bytes.len()].copy_from_slice(bytes);
        Block(block)
    }

    #[test]
    fn reads_the_numbers_that_writers_write() {
        for (bytes, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"644", Some(0o644)),
            (b"77777777", Some(0o7777_7777)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"\x80\0\0\0\0\x20\0\0", Some(0x20_0000)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\0", Some(-256)),
            (b"0000648\0", None),
            (b"-1\0", None),
            (b"6 44", None),
            (b"6\x0044", None),
        ] {
            assert_eq!(block(UID, bytes).number(UID, "uid").ok(), expected, "{bytes:?}");
        }
        let huge = block(SIZE, b"\x80\0\0\0\x80\0\0\0\0\0\0\0");
        assert_eq!(huge.size(), Err(TarFault::Number("size")));
        assert_eq!(block(SIZE, &[0xff; 12]).size(), Err(TarFault::Number("size")));
    }

    #[test]
    fn writes_what_it_reads() {
        let fields = Fields {
            name: b"a/b",
            link: b"c",
            mode: 0o4755,
            uid: 1000,
            gid: 2_097_151,
            size: 8_589_934_591,
            mtime: 1_700_000_000,
            kind: b'3',
            device: Some((5, 1)),
        };
        let (bytes, overflow) = header(&fields);
        let block = Block(bytes);
        assert_eq!((block.check(), overflow), (Ok(()), vec![]));
        assert_eq!(
            (block.name(), block.link(), block.kind()),
            (b"a/b".to_vec(), &b"c"[..], b'3')
        );
        assert_eq!(
            (block.mode(), block.uid(), block.gid()),
            (Ok(0o4755), Ok(1000), Ok(2_097_151))
        );
        assert_eq!(
            (block.size(), block.mtime(), block.device()),
            (Ok(8_589_934_591), Ok(1_700_000_000), Ok((5, 1)))
        );
    }

    #[test]
    fn says_what_does_not_fit() {
        let long = [b'x'; 101];
        let fields = Fields {
            name: &long,
            link: "ü".as_bytes(),
            uid: 2_097_152,
            gid: u64::from(u32::MAX),
            size: 8_589_934_592,
            mtime: -1,
            ..Fields::default()
        };
        let (bytes, overflow) = header(&fields);
        assert_eq!(overflow, ["path", "linkpath", "uid", "gid", "size", "mtime"]);
        assert_eq!(Block(bytes).check(), Ok(()));
    }

    #[test]
    fn joins_prefixes_where_they_are_prefixes() {
        let mut bytes = [0; BLOCK];
        bytes[..1].copy_from_slice(b"n");
        bytes[345..347].copy_from_slice(b"pp");
        for (magic, expected) in [
            (b"ustar\x0000", &b"pp/n"[..]),
            (b"ustar  \0", b"n"),
            (&[0; 8], b"n"),
        ] {
            bytes[MAGIC].copy_from_slice(magic);
            assert_eq!(Block(bytes).name(), expected, "{magic:?}");
        }
        bytes[MAGIC].copy_from_slice(b"ustar\x0000");
        bytes[STAR_MARK].copy_from_slice(b"tar\0");
        bytes[476..480].copy_from_slice(b"1234");
        assert_eq!(Block(bytes).name(), b"pp/n");
    }
}
