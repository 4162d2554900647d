//! The records of extended headers: `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record, itself included.

use memchr::memchr;

use crate::layer::TarFault;

/// What extended attributes are named: this and their own full name.
pub(in crate::layer) const XATTR: &str = "SCHILY.xattr.";

/// Appends a record.
pub(in crate::layer) fn record(to: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + digits(rest);
    // One more digit in the length may take one more digit to say.
    length = rest + digits(length);
    to.extend_from_slice(length.to_string().as_bytes());
    for part in [b" ", key, b"=", value, b"\n"] {
        to.extend_from_slice(part);
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// The records of an extended header.
pub(super) fn records(mut bytes: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), TarFault>> {
    std::iter::from_fn(move || {
        // Some writers fill up with NULs.
        if bytes.iter().all(|byte| *byte == 0) {
            return None;
        }
        let Some((key, value, rest)) = first(bytes) else {
            bytes = &[];
            return Some(Err(TarFault::Pax));
        };
        bytes = rest;
        Some(Ok((key, value)))
    })
}

fn first(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = memchr(b' ', bytes)?;
    let length: usize = std::str::from_utf8(&bytes[..blank]).ok()?.parse().ok()?;
    let record = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = memchr(b'=', record).filter(|at| *at > 0)?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for length in 0..2000 {
            let value = vec![b'='; length];
            let mut bytes = Vec::new();
            record(&mut bytes, b"key", &value);
            record(&mut bytes, b"k", b"\n");
            assert_eq!(
                bytes.len(),
                first(&bytes).unwrap().0.len() + value.len() + 3 + digits_of(&bytes) + 6
            );
            let read: Result<Vec<_>, _> = records(&bytes).collect();
            assert_eq!(read, Ok(vec![(&b"key"[..], &value[..]), (b"k", b"\n")]));
        }
    }

    fn digits_of(bytes: &[u8]) -> usize {
        memchr(b' ', bytes).unwrap()
    }

    #[test]
    fn refuses_malformed_records() {
        for bytes in [
            &b"x"[..],
            b"5 a=b\n",
            b"7 a=b\n",
            b"6 a=b ",
            b"6 abc\n",
            b"6 =ab\n",
            b"-6 a=b\n",
            b"0 a=b\n",
            b"1 a=b\n",
            b"2 a=b\n",
            b"99999999999999999999 a=b\n",
            b"6 a=b\n6 a=b",
        ] {
            let read: Result<Vec<_>, _> = records(bytes).collect();
            assert_eq!(read, Err(TarFault::Pax), "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(records(b"").count(), 0);
        assert_eq!(records(b"6 a=b\n\0\0").count(), 1);
    }
}
