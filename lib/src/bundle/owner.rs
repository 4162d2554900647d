//! The attribute `user.rootlesscontainers`: who owns a file, where it cannot be given away.
//!
//! Its value is a protocol buffer with two numbers, the user (1) and the group (2); the largest number stands for an
//! owner that is nobody's business, which in a bundle is root.

/// The attribute's name.
pub(super) const NAME: &str = "user.rootlesscontainers";

const NOBODY: u32 = u32::MAX;

/// The value for an owner; none for root, who needs none.
pub(super) fn encode(uid: u32, gid: u32) -> Option<Vec<u8>> {
    if (uid, gid) == (0, 0) {
        return None;
    }
    let mut value = Vec::new();
    for (field, id) in [(1u8, uid), (2, gid)] {
        value.push(field << 3);
        let mut id = if id == 0 { NOBODY } else { id };
        while id >= 0x80 {
            value.push(id.to_le_bytes()[0] | 0x80);
            id >>= 7;
        }
        value.push(id.to_le_bytes()[0]);
    }
    Some(value)
}

/// The owner that a value says; none if it is not one.
pub(super) fn decode(mut value: &[u8]) -> Option<(u32, u32)> {
    let mut owner = (0, 0);
    while !value.is_empty() {
        let (key, rest) = number(value)?;
        let (id, rest) = number(rest)?;
        value = rest;
        let id = u32::try_from(id)
            .ok()
            .map(|id| if id == NOBODY { 0 } else { id })?;
        match key {
            8 => owner.0 = id,
            16 => owner.1 = id,
            _ => return None,
        }
    }
    Some(owner)
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0u64;
    for (place, byte) in bytes.iter().enumerate().take(9) {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_written_as_umoci_does() {
        let table: [((u32, u32), &[u8]); 3] = [
            ((7, 8), b"\x08\x07\x10\x08"),
            ((0, 8), b"\x08\xff\xff\xff\xff\x0f\x10\x08"),
            ((300, 1), b"\x08\xac\x02\x10\x01"),
        ];
        for ((uid, gid), value) in table {
            assert_eq!(encode(uid, gid).as_deref(), Some(value));
            assert_eq!(decode(value), Some((uid, gid)));
        }
        assert_eq!(encode(0, 0), None);
        for value in [&b"\x08"[..], b"\x08\xff", b"\x18\x01", &[0xff; 12]] {
            assert_eq!(decode(value), None);
        }
    }
}
