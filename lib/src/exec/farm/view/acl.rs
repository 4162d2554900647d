//! POSIX access control lists, as far as the mode is part of them: acl(5).

use std::ffi::OsStr;

use rustix::io::Errno;

use super::super::owners::Meta;

/// The list of a file.
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";
/// The list of what is made in a directory.
pub(super) const DEFAULT: &[u8] = b"system.posix_acl_default";
/// Bytes before the entries: the version.
pub(super) const HEADER: usize = 4;

const VERSION: u32 = 2;
/// Bytes of an entry: what it is, its permissions, a number.
const ENTRY: usize = 8;

const USER: u16 = 0x01;
const GROUP: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The bits of the mode that an entry stands for, if the list has a mask or not.
fn shift(tag: u16, masked: bool) -> Option<u32> {
    match tag {
        USER => Some(6),
        GROUP if !masked => Some(3),
        MASK => Some(3),
        OTHER => Some(0),
        _ => None,
    }
}

/// What each entry is, and its permissions.
fn entries(list: &[u8]) -> Result<Vec<(u16, u16)>, Errno> {
    let (version, entries) = list.split_first_chunk().ok_or(Errno::INVAL)?;
    if u32::from_le_bytes(*version) != VERSION || entries.len() % ENTRY != 0 {
        return Err(Errno::INVAL);
    }
    let word = |bytes: &[u8]| {
        bytes
            .first_chunk()
            .map(|bytes| u16::from_le_bytes(*bytes))
            .unwrap_or_default()
    };
    let entry = |entry: &[u8]| (word(entry), word(entry.get(2..).unwrap_or_default()));
    Ok(entries.chunks_exact(ENTRY).map(entry).collect())
}

/// Gives a file a list. What the mode can say as well is in the mode alone.
pub(super) fn set_access(meta: &mut Meta, list: &[u8]) -> Result<(), Errno> {
    let entries = entries(list)?;
    let name = std::ffi::OsString::from(std::str::from_utf8(ACCESS).unwrap_or_default());
    if entries.is_empty() {
        meta.xattrs.remove(&name);
        return Ok(());
    }
    let masked = entries.iter().any(|(tag, _)| *tag == MASK);
    for (tag, permissions) in &entries {
        if let Some(shift) = shift(*tag, masked) {
            meta.mode = meta.mode & !(7 << shift) | u32::from(permissions & 7) << shift;
        }
    }
    match entries.len() {
        ..=3 => _ = meta.xattrs.remove(&name),
        _ => _ = meta.xattrs.insert(name, list.to_vec()),
    }
    Ok(())
}

/// Gives something new the list that is the default where it is made, as far as its mode says the same.
pub(super) fn inherit(meta: &mut Meta, default: &[u8]) {
    let Ok(entries) = entries(default) else { return };
    let masked = entries.iter().any(|(tag, _)| *tag == MASK);
    let mut list = default.to_vec();
    for entry in list.get_mut(HEADER..).unwrap_or_default().chunks_exact_mut(ENTRY) {
        if let [tag, high, low, ..] = entry
            && let Some(shift) = shift(u16::from_le_bytes([*tag, *high]), masked)
        {
            *low &= (meta.mode >> shift & 7) as u8;
        }
    }
    // It is valid, since the default was.
    let _ = set_access(meta, &list);
}

/// Brings the list of a file, if it has one, to its new mode.
pub(super) fn follow_mode(meta: &mut Meta) {
    let mode = meta.mode;
    let Some(list) = meta
        .xattrs
        .get_mut(OsStr::new(std::str::from_utf8(ACCESS).unwrap_or_default()))
    else {
        return;
    };
    let masked = entries(list).is_ok_and(|entries| entries.iter().any(|(tag, _)| *tag == MASK));
    for entry in list.get_mut(HEADER..).unwrap_or_default().chunks_exact_mut(ENTRY) {
        if let [tag, high, low, ..] = entry
            && let Some(shift) = shift(u16::from_le_bytes([*tag, *high]), masked)
        {
            *low = (mode >> shift & 7) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16)]) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (tag, permissions) in entries {
            bytes.extend(
                [
                    tag.to_le_bytes(),
                    permissions.to_le_bytes(),
                    [255, 255],
                    [255, 255],
                ]
                .concat(),
            );
        }
        bytes
    }

    #[test]
    fn lists_and_modes_say_the_same() {
        let mut meta = Meta {
            mode: 0o4000,
            ..Meta::default()
        };
        set_access(&mut meta, &list(&[(USER, 7), (GROUP, 5), (OTHER, 1)])).unwrap();
        assert_eq!((meta.mode, meta.xattrs.len()), (0o4751, 0));
        set_access(
            &mut meta,
            &list(&[(USER, 6), (2, 7), (GROUP, 0), (MASK, 4), (OTHER, 0)]),
        )
        .unwrap();
        assert_eq!((meta.mode, meta.xattrs.len()), (0o4640, 1));
        meta.mode = 0o4713;
        follow_mode(&mut meta);
        let now = list(&[(USER, 7), (2, 7), (GROUP, 0), (MASK, 1), (OTHER, 3)]);
        assert_eq!(meta.xattrs.values().next(), Some(&now));
        set_access(&mut meta, &list(&[])).unwrap();
        assert_eq!(meta.xattrs.len(), 0);
        assert_eq!(set_access(&mut meta, b"what"), Err(Errno::INVAL));
    }

    #[test]
    fn what_is_new_has_no_more_than_its_mode_says() {
        let default = list(&[(USER, 7), (2, 7), (GROUP, 5), (MASK, 7), (OTHER, 4)]);
        let mut meta = Meta {
            mode: 0o1640,
            ..Meta::default()
        };
        inherit(&mut meta, &default);
        // The group's bits are the mask's, and nobody asked for more.
        assert_eq!(meta.mode, 0o1640);
        let has = list(&[(USER, 6), (2, 7), (GROUP, 5), (MASK, 4), (OTHER, 0)]);
        assert_eq!(meta.xattrs.values().next(), Some(&has));
        let mut meta = Meta {
            mode: 0o666,
            ..Meta::default()
        };
        inherit(&mut meta, &list(&[(USER, 7), (GROUP, 5), (OTHER, 0)]));
        assert_eq!((meta.mode, meta.xattrs.len()), (0o640, 0));
    }
}
