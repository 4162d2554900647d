//! Modes, owners, times, sizes.

use nix::libc;
use rustix::{
    fs::{Timespec, UTIME_NOW, UTIME_OMIT},
    io::Errno,
};

use super::{
    super::{Answer, Asked, Reply},
    Table,
};
use crate::exec::farm::{Asker, Node, SetTime, Target};

/// Not in libc for all targets.
const FCHMODAT2: libc::c_long = 452;

pub(crate) const TABLE: Table = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, |asked| {
        set_mode(asked, &asked.target(None, 0, true)?, 1)
    }),
    (libc::SYS_fchmod, |asked| set_mode(asked, &asked.target_of(0)?, 1)),
    (libc::SYS_fchmodat, |asked| {
        set_mode(asked, &asked.target(Some(0), 1, true)?, 2)
    }),
    (FCHMODAT2, |asked| {
        set_mode(asked, &asked.target_at(0, 1, asked.number_at(3))?, 2)
    }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chown, |asked| {
        set_owner(asked, &asked.target(None, 0, true)?, 1)
    }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_lchown, |asked| {
        set_owner(asked, &asked.target(None, 0, false)?, 1)
    }),
    (libc::SYS_fchown, |asked| {
        set_owner(asked, &asked.target_of(0)?, 1)
    }),
    (libc::SYS_fchownat, |asked| {
        set_owner(asked, &asked.target_at(0, 1, asked.number_at(4))?, 2)
    }),
    (libc::SYS_utimensat, utimensat),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_utime, |asked| {
        let named = asked.named(None, 0)?;
        set_times(asked, &named.asker, &named.find(true)?, second_times(asked, 1)?)
    }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_utimes, |asked| {
        let named = asked.named(None, 0)?;
        set_times(asked, &named.asker, &named.find(true)?, micro_times(asked, 1)?)
    }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_futimesat, |asked| {
        let named = asked.named(Some(0), 1)?;
        set_times(asked, &named.asker, &named.find(true)?, micro_times(asked, 2)?)
    }),
    (libc::SYS_truncate, |asked| {
        let size = u64::try_from(asked.word(1).cast_signed()).map_err(|_| Errno::INVAL)?;
        let named = asked.named(None, 0)?;
        named.view.truncate(&named.asker, &named.find(true)?, size)?;
        Answer::DONE
    }),
];

type File<'a> = (Asker<'a>, Target);

fn set_mode(asked: &Asked<'_>, (asker, file): &File<'_>, mode: usize) -> Reply {
    asked.shared().view.set_mode(asker, file, asked.number_at(mode))?;
    Answer::DONE
}

/// The user is the given argument, the group the next one.
fn set_owner(asked: &Asked<'_>, (asker, file): &File<'_>, user: usize) -> Reply {
    let id = |argument| Some(asked.number_at(argument)).filter(|id| *id != u32::MAX);
    asked
        .shared()
        .view
        .set_owner(asker, file, id(user), id(user + 1))?;
    Answer::DONE
}

fn set_times(asked: &Asked<'_>, asker: &Asker<'_>, node: &Node, times: SetTime) -> Reply {
    asked.shared().view.set_times(asker, node, times)?;
    Answer::DONE
}

fn utimensat(asked: &Asked<'_>) -> Reply {
    let fine = |time: Timespec| {
        [UTIME_NOW, UTIME_OMIT].contains(&time.tv_nsec) || (0..1_000_000_000).contains(&time.tv_nsec)
    };
    let times = match two_times(asked, 2)? {
        None => SetTime::Now,
        Some((accessed, modified)) if fine(accessed) && fine(modified) => SetTime::To(accessed, modified),
        Some(_) => return Err(Errno::INVAL),
    };
    let (asker, node) = match asked.word(1) {
        0 => (asked.asker()?, asked.node_to_change(0)?),
        _ => asked.file_at(0, 1, asked.number_at(3))?,
    };
    set_times(asked, &asker, &node, times)
}

/// Two pairs of 64-bit numbers; none for a null pointer.
fn two_times(asked: &Asked<'_>, argument: usize) -> Result<Option<(Timespec, Timespec)>, Errno> {
    let address = asked.word(argument);
    if address == 0 {
        return Ok(None);
    }
    let bytes = asked.bytes(address, 32)?;
    let mut numbers = bytes
        .chunks_exact(8)
        .map(|bytes| bytes.try_into().map(i64::from_ne_bytes).unwrap_or_default());
    let mut time = || Timespec {
        tv_sec: numbers.next().unwrap_or_default(),
        tv_nsec: numbers.next().unwrap_or_default() as _,
    };
    Ok(Some((time(), time())))
}

/// `struct timeval[2]`.
#[cfg(target_arch = "x86_64")]
fn micro_times(asked: &Asked<'_>, argument: usize) -> Result<SetTime, Errno> {
    let nano = |time: Timespec| match time.tv_nsec {
        micro @ 0..1_000_000 => Ok(Timespec {
            tv_nsec: micro * 1000,
            ..time
        }),
        _ => Err(Errno::INVAL),
    };
    Ok(match two_times(asked, argument)? {
        None => SetTime::Now,
        Some((accessed, modified)) => SetTime::To(nano(accessed)?, nano(modified)?),
    })
}

/// `struct utimbuf`.
#[cfg(target_arch = "x86_64")]
fn second_times(asked: &Asked<'_>, argument: usize) -> Result<SetTime, Errno> {
    let address = asked.word(argument);
    if address == 0 {
        return Ok(SetTime::Now);
    }
    let bytes = asked.bytes(address, 16)?;
    let mut numbers = bytes
        .chunks_exact(8)
        .map(|bytes| bytes.try_into().map(i64::from_ne_bytes).unwrap_or_default());
    let mut time = || Timespec {
        tv_sec: numbers.next().unwrap_or_default(),
        tv_nsec: 0,
    };
    Ok(SetTime::To(time(), time()))
}
