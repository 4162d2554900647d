//! Extended attributes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use nix::libc;
use rustix::{
    fs::{Statx, XattrFlags},
    io::Errno,
};

use super::{
    super::{Answer, Asked, Reply},
    Table,
};
use crate::exec::farm::{Asker, MAX_VALUE, Target};

/// The longest name, with its NUL.
const MAX_NAME: usize = 256;

pub(crate) const TABLE: Table = &[
    (libc::SYS_setxattr, |asked| {
        set(asked, asked.target(None, 0, true)?)
    }),
    (libc::SYS_lsetxattr, |asked| {
        set(asked, asked.target(None, 0, false)?)
    }),
    (libc::SYS_fsetxattr, |asked| set(asked, asked.target_of(0)?)),
    (libc::SYS_getxattr, |asked| get(asked, look(asked, true)?)),
    (libc::SYS_lgetxattr, |asked| get(asked, look(asked, false)?)),
    (libc::SYS_fgetxattr, |asked| get(asked, seen(asked)?)),
    (libc::SYS_listxattr, |asked| list(asked, look(asked, true)?)),
    (libc::SYS_llistxattr, |asked| list(asked, look(asked, false)?)),
    (libc::SYS_flistxattr, |asked| list(asked, seen(asked)?)),
    (libc::SYS_removexattr, |asked| {
        remove(asked, asked.target(None, 0, true)?)
    }),
    (libc::SYS_lremovexattr, |asked| {
        remove(asked, asked.target(None, 0, false)?)
    }),
    (libc::SYS_fremovexattr, |asked| remove(asked, asked.target_of(0)?)),
];

type File<'a> = (Asker<'a>, Target);

/// A file whose attributes are asked for.
type Seen<'a> = (Asker<'a>, Statx);

fn look<'a>(asked: &Asked<'a>, follow: bool) -> Result<Seen<'a>, Errno> {
    let (asker, told) = asked.look(None, 0, follow)?;
    Ok((asker, told.disk))
}

fn seen<'a>(asked: &Asked<'a>) -> Result<Seen<'a>, Errno> {
    let stat = match asked.known(0)? {
        Some(stat) => stat,
        None => asked.node(0)?.stat,
    };
    Ok((asked.asker()?, stat))
}

fn name(asked: &Asked<'_>) -> Result<OsString, Errno> {
    let name = glimpsed_name(asked)?;
    asked.still()?;
    Ok(name)
}

/// The same, where it is not yet known whether the call still waits.
fn glimpsed_name(asked: &Asked<'_>) -> Result<OsString, Errno> {
    match asked.glimpse_string(asked.word(1), MAX_NAME) {
        Ok(name) if name.is_empty() => Err(Errno::RANGE),
        Ok(name) => Ok(OsString::from_vec(name.into_bytes())),
        Err(Errno::NAMETOOLONG) => Err(Errno::RANGE),
        Err(error) => Err(error),
    }
}

fn set(asked: &Asked<'_>, (asker, file): File<'_>) -> Reply {
    let flags = XattrFlags::from_bits(asked.number_at(4)).ok_or(Errno::INVAL)?;
    let size = usize::try_from(asked.word(3)).map_err(|_| Errno::TOOBIG)?;
    if size > MAX_VALUE {
        return Err(Errno::TOOBIG);
    }
    let mut value = vec![0; size];
    asked.glimpse(asked.word(2), &mut value)?;
    let name = name(asked)?;
    asked
        .shared()
        .view
        .set_attribute(&asker, &file, (name, value), flags)?;
    Answer::DONE
}

fn get(asked: &Asked<'_>, (asker, file): Seen<'_>) -> Reply {
    let value = asked
        .shared()
        .view
        .attribute(&asker, &file, &glimpsed_name(asked)?)?;
    give(asked, &value, 2)
}

fn list(asked: &Asked<'_>, (asker, file): Seen<'_>) -> Reply {
    give(asked, &asked.shared().view.attributes(&asker, &file), 1)
}

fn remove(asked: &Asked<'_>, (asker, file): File<'_>) -> Reply {
    asked
        .shared()
        .view
        .remove_attribute(&asker, &file, &name(asked)?)?;
    Answer::DONE
}

/// Bytes for a buffer whose size is the argument after it; a size of zero asks how many there are.
fn give(asked: &Asked<'_>, bytes: &[u8], buffer: usize) -> Reply {
    match asked.word(buffer + 1) {
        0 => {}
        size if size < bytes.len() as u64 => return Err(Errno::RANGE),
        _ => asked.write(asked.word(buffer), bytes)?,
    }
    Ok(Answer::from(bytes.len()))
}
