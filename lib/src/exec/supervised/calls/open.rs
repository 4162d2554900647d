//! Files for reading and writing.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::{Arc, mpsc},
    time::Duration,
};

use nix::libc;
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat},
    io::Errno,
};

use super::{
    super::{Answer, Asked, Reply},
    Table,
    named::Named,
};
use crate::exec::farm::{How, Opened};

/// How often one that waits for the other end of a pipe looks whether it still has to.
const PATIENCE: Duration = Duration::from_millis(20);

/// The size of `struct open_how` in its first version.
const HOW_SIZE: usize = 24;
/// It never has more, in no version.
const HOW_LIMIT: usize = 4096;

pub(crate) const TABLE: Table = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, |asked| {
        open(asked, None, 0, asked.number_at(1), asked.number_at(2))
    }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, |asked| {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::TRUNC;
        open(asked, None, 0, flags.bits(), asked.number_at(1))
    }),
    (libc::SYS_openat, |asked| {
        open(asked, Some(0), 1, asked.number_at(2), asked.number_at(3))
    }),
    (libc::SYS_openat2, openat2),
];

fn openat2(asked: &Asked<'_>) -> Reply {
    let size = usize::try_from(asked.word(3)).map_err(|_| Errno::TOOBIG)?;
    match size {
        ..HOW_SIZE => return Err(Errno::INVAL),
        HOW_SIZE..=HOW_LIMIT => {}
        _ => return Err(Errno::TOOBIG),
    }
    let how = asked.bytes(asked.word(2), size)?;
    let (known, unknown) = how.split_at_checked(HOW_SIZE).ok_or(Errno::INVAL)?;
    if unknown.iter().any(|byte| *byte != 0) {
        return Err(Errno::TOOBIG);
    }
    let field = |index: usize| {
        let bytes = known
            .chunks_exact(8)
            .nth(index)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_ne_bytes).unwrap_or_default()
    };
    let how = strictly(field(0), field(1), field(2))?;
    let mut named = asked.named(Some(0), 1)?;
    if how.bounds.contains(ResolveFlags::IN_ROOT) {
        // An absolute path begins there as well.
        named.base = asked.base(0)?;
    }
    open_named(&named, how)
}

/// What openat2 is asked for, which unlike openat takes no flag that it does not know or that means nothing.
fn strictly(flags: u64, mode: u64, resolve: u64) -> Result<How, Errno> {
    let number = |number: u64| u32::try_from(number).map_err(|_| Errno::INVAL);
    let bounds = ResolveFlags::from_bits_retain(resolve);
    let flags = OFlags::from_bits_retain(number(flags)?);
    let mode = number(mode)?;
    let creates = flags.intersects(OFlags::CREATE | TMPFILE);
    let has = |flag| flags.contains(flag);
    let strange = flags.intersects(!FLAGS)
        || bounds.intersects(!BOUNDS)
        || bounds.contains(ResolveFlags::BENEATH | ResolveFlags::IN_ROOT)
        || mode & !(if creates { 0o7777 } else { 0 }) != 0
        || has(OFlags::CREATE | OFlags::DIRECTORY)
        || has(TMPFILE) && (!has(OFlags::DIRECTORY) || flags & OFlags::ACCMODE == OFlags::RDONLY)
        || has(OFlags::PATH) && flags.intersects(!WITH_PATH);
    if strange {
        return Err(Errno::INVAL);
    }
    // Everything is at hand, as long as nothing has to be written.
    if bounds.contains(ResolveFlags::CACHED) && (creates || has(OFlags::TRUNC)) {
        return Err(Errno::AGAIN);
    }
    Ok(How {
        flags,
        mode,
        bounds: bounds.difference(ResolveFlags::CACHED),
    })
}

/// What may be said along with `O_PATH`.
const WITH_PATH: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// `O_TMPFILE` without the flag that it comes with.
const TMPFILE: OFlags = OFlags::TMPFILE.difference(OFlags::DIRECTORY);
/// All flags that there are.
const FLAGS: OFlags = WITH_PATH
    .union(OFlags::ACCMODE)
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::NOCTTY)
    .union(OFlags::TRUNC)
    .union(OFlags::APPEND)
    .union(OFlags::NONBLOCK)
    .union(OFlags::DSYNC)
    .union(OFlags::SYNC)
    .union(OFlags::from_bits_retain(libc::O_ASYNC.cast_unsigned()))
    .union(OFlags::DIRECT)
    .union(OFlags::LARGEFILE)
    .union(OFlags::NOATIME)
    .union(OFlags::TMPFILE);
const BOUNDS: ResolveFlags = ResolveFlags::NO_XDEV
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::BENEATH)
    .union(ResolveFlags::IN_ROOT)
    .union(ResolveFlags::CACHED);

fn open(asked: &Asked<'_>, directory: Option<usize>, path: usize, flags: u32, mode: u32) -> Reply {
    let how = How {
        flags: OFlags::from_bits_retain(flags),
        mode,
        bounds: ResolveFlags::empty(),
    };
    open_named(&asked.named(directory, path)?, how)
}

fn open_named(named: &Named<'_>, how: How) -> Reply {
    let opened = named.view.open(&named.asker, &named.base, named.path(), how)?;
    let close_on_exec = how.flags.contains(OFlags::CLOEXEC);
    Ok(match opened {
        Opened::File(file) => Answer::Descriptor { file, close_on_exec },
        Opened::Pipe(pipe, flags) => Answer::Later(Box::new(move |asked| {
            let file = open_pipe(asked, &pipe, flags)?;
            Ok(Answer::Descriptor { file, close_on_exec })
        })),
    })
}

/// Opens one end of a pipe, which waits for the other.
fn open_pipe(asked: &Asked<'_>, pipe: &Arc<OwnedFd>, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Nobody listens any more if the call was given up.
            let _ = tell.send(openat(CWD, &path, flags, Mode::empty()));
        });
        loop {
            match told.recv_timeout(PATIENCE) {
                Ok(opened) => return opened,
                Err(_) => {
                    if let Err(gone) = asked.undisturbed() {
                        // The other end sets it free. If it does not wait yet, the next round does.
                        let other = if flags.contains(OFlags::WRONLY) {
                            OFlags::RDONLY
                        } else {
                            OFlags::WRONLY
                        };
                        let other = openat(
                            CWD,
                            &path,
                            other | OFlags::NONBLOCK | OFlags::CLOEXEC,
                            Mode::empty(),
                        );
                        if other.is_ok() {
                            return Err(gone);
                        }
                    }
                }
            }
        }
    })
}
