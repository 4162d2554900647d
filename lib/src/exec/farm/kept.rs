//! Directories that outlive a run: whose the files in them are is kept with each file, in an attribute.

use std::{fs, path::Path};

use rustix::fs::{AtFlags, CWD, Statx, XattrFlags, lgetxattr, lsetxattr, statx};

use super::{
    access::is_directory,
    owners::{FIELDS, Meta, Owners, key},
};

/// Holds user, group and mode: three numbers.
const ATTRIBUTE: &str = "user.rbuild.owner";

/// Says whose a file is.
pub fn note(path: &Path, uid: u32, gid: u32, mode: u32) {
    // Links, and all files of some file systems, cannot have it: they are root's.
    let _ = lsetxattr(
        path,
        ATTRIBUTE,
        format!("{uid} {gid} {mode}").as_bytes(),
        XattrFlags::empty(),
    );
}

/// Learns whose the files of a directory are.
pub fn recall(directory: &Path, owners: &Owners) {
    visit(directory, &mut |path, stat| {
        let mut value = [0; 64];
        let meta = lgetxattr(path, ATTRIBUTE, &mut value)
            .ok()
            .and_then(|length| parse(value.get(..length)?));
        // Files of others have what the disk says.
        owners.set(key(stat), meta.unwrap_or_else(|| Meta::on_disk(stat)));
    });
}

/// Notes whose the files of a directory are.
pub fn remember(directory: &Path, owners: &Owners) {
    visit(directory, &mut |path, stat| {
        if let Some(Meta { uid, gid, mode, .. }) = owners.get(key(stat)) {
            // Links, and all files of some file systems, cannot have it: they are root's next time.
            let _ = lsetxattr(
                path,
                ATTRIBUTE,
                format!("{uid} {gid} {mode}").as_bytes(),
                XattrFlags::empty(),
            );
        }
    });
}

fn parse(value: &[u8]) -> Option<Meta> {
    let mut numbers = value
        .split(|byte| *byte == b' ')
        .map(|number| std::str::from_utf8(number).ok()?.parse().ok());
    let mut next = || numbers.next().flatten();
    Some(Meta {
        uid: next()?,
        gid: next()?,
        mode: next()?,
        ..Meta::default()
    })
}

/// A directory and everything in it; what cannot be read is passed over.
fn visit(directory: &Path, look: &mut dyn FnMut(&Path, &Statx)) {
    let mut pending = vec![directory.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(stat) = statx(CWD, &path, AtFlags::SYMLINK_NOFOLLOW, FIELDS) else {
            continue;
        };
        look(&path, &stat);
        if is_directory(&stat) {
            pending.extend(
                fs::read_dir(&path)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.path()),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_three_numbers() {
        let meta = Meta {
            uid: 7,
            gid: 8,
            mode: 0o644,
            ..Meta::default()
        };
        assert_eq!(parse(b"7 8 420"), Some(meta));
        assert_eq!(parse(b"7 8"), None);
        assert_eq!(parse(b""), None);
    }
}
