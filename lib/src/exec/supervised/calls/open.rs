//! Files for reading and writing.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    sync::{Arc, mpsc},
    time::Duration,
};

use nix::libc;
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};

use super::{
    super::{Answer, Asked, Reply},
    Table,
};
use crate::exec::farm::{How, Opened};

/// How often one that waits for the other end of a pipe looks whether it still has to.
const PATIENCE: Duration = Duration::from_millis(20);

/// The size of `struct open_how` in its first version.
const HOW_SIZE: usize = 24;

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
    if size < HOW_SIZE {
        return Err(Errno::INVAL);
    }
    let how = asked.bytes(asked.word(2), size.min(4096))?;
    let (known, unknown) = how.split_at_checked(HOW_SIZE).ok_or(Errno::INVAL)?;
    if size > 4096 || unknown.iter().any(|byte| *byte != 0) {
        return Err(Errno::TOOBIG);
    }
    let field = |index: usize| {
        let bytes = known
            .chunks_exact(8)
            .nth(index)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_ne_bytes).unwrap_or_default()
    };
    // Who wants more than openat gives is told to do without, as by an old kernel.
    if field(2) != 0 {
        return Err(Errno::NOSYS);
    }
    let flags = u32::try_from(field(0)).map_err(|_| Errno::INVAL)?;
    let mode = u32::try_from(field(1)).map_err(|_| Errno::INVAL)?;
    open(asked, Some(0), 1, flags, mode)
}

fn open(asked: &Asked<'_>, directory: Option<usize>, path: usize, flags: u32, mode: u32) -> Reply {
    let flags = OFlags::from_bits_retain(flags);
    let named = asked.named(directory, path)?;
    let opened = named
        .view
        .open(&named.asker, &named.base, named.path(), How { flags, mode })?;
    let close_on_exec = flags.contains(OFlags::CLOEXEC);
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
