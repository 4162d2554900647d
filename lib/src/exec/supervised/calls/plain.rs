//! Names for tests: those of the working directory.

use nix::libc;
use rustix::fs::OFlags;

use super::Table;
use crate::exec::supervised::{Answer, Asked, Reply, tests::open_in};

pub(crate) const TABLE: Table = &[(libc::SYS_chdir, |_| Answer::DONE), (libc::SYS_openat, open)];

fn open(asked: &Asked<'_>) -> Reply {
    let path = asked.path(1)?;
    Ok(Answer::Descriptor {
        file: open_in(asked.process().directory(), path.to_bytes(), OFlags::RDONLY)?,
        close_on_exec: asked.number_at(2) & libc::O_CLOEXEC.cast_unsigned() != 0,
    })
}
