//! What is told of files.

use nix::libc;
use rustix::{fs::fstatfs, io::Errno, thread::CapabilitySet};

use super::{
    super::{Answer, Asked, Reply, Who},
    Table,
};
use crate::exec::farm::{Asker, Node, Told, View, Want};

pub(crate) const TABLE: Table = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_stat, |asked| {
        stat(asked, &asked.look(None, 0, true)?.1, 1)
    }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_lstat, |asked| {
        stat(asked, &asked.look(None, 0, false)?.1, 1)
    }),
    (libc::SYS_fstat, |asked| stat(asked, &asked.told(0)?, 1)),
    (libc::SYS_newfstatat, |asked| {
        stat(asked, &asked.told_at(0, 1, asked.number_at(3))?, 2)
    }),
    (libc::SYS_statx, statx),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_access, |asked| {
        let named = asked.named(None, 0)?;
        access(
            named.view,
            &named.asker,
            &named.find(true)?,
            asked.number_at(1),
            0,
        )
    }),
    (libc::SYS_faccessat, |asked| {
        let named = asked.named(Some(0), 1)?;
        access(
            named.view,
            &named.asker,
            &named.find(true)?,
            asked.number_at(2),
            0,
        )
    }),
    (libc::SYS_faccessat2, |asked| {
        let (asker, node) = asked.file_at(0, 1, asked.number_at(3))?;
        access(
            &asked.shared().view,
            &asker,
            &node,
            asked.number_at(2),
            asked.number_at(3),
        )
    }),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_readlink, |asked| read_link(asked, None, 0)),
    (libc::SYS_readlinkat, |asked| read_link(asked, Some(0), 1)),
    (libc::SYS_statfs, |asked| {
        statfs(asked, &asked.named(None, 0)?.find(true)?)
    }),
];

fn stat(asked: &Asked<'_>, told: &Told, buffer: usize) -> Reply {
    asked.write(asked.word(buffer), &told.stat())?;
    Answer::DONE
}

fn statx(asked: &Asked<'_>) -> Reply {
    let told = asked.told_at(0, 1, asked.number_at(2))?;
    asked.write(asked.word(4), &told.statx())?;
    Answer::DONE
}

/// With the real ids unless the flags say otherwise: what a set-user-id program wants to know.
fn access(view: &View, asker: &Asker<'_>, node: &Node, want: u32, flags: u32) -> Reply {
    if want & !7 != 0 {
        return Err(Errno::INVAL);
    }
    let mut asker = asker.clone();
    let who = &*asker.who;
    let real = (who.user.real, who.group.real);
    if flags & libc::AT_EACCESS.cast_unsigned() == 0 && real != (who.user.file, who.group.file) {
        let mut other: Who = who.clone();
        (other.user.file, other.group.file) = real;
        other.effective = if real.0 == 0 {
            other.permitted
        } else {
            CapabilitySet::empty()
        };
        asker.who = other.into();
    }
    view.check(&asker, node, Want(want)).map(|()| Answer::Value(0))
}

fn read_link(asked: &Asked<'_>, directory: Option<usize>, path: usize) -> Reply {
    let size = usize::try_from(asked.int(path + 2)).map_err(|_| Errno::INVAL)?;
    if size == 0 {
        return Err(Errno::INVAL);
    }
    // An empty path means the link that a descriptor refers to.
    let empty = directory.filter(|directory| !asked.is_here(*directory));
    let text = match empty {
        Some(directory) if asked.path(path)?.is_empty() => asked
            .shared()
            .view
            .link_text(&asked.node(directory)?)
            .map_err(|_| Errno::NOENT)?,
        _ => {
            let named = asked.named(directory, path)?;
            named.view.read_link(&named.asker, &named.base, named.path())?
        }
    };
    let text = text.get(..size).unwrap_or(&text);
    asked.write(asked.word(path + 1), text)?;
    Ok(Answer::from(text.len()))
}

/// `struct statfs`, in 64 bits.
fn statfs(asked: &Asked<'_>, node: &Node) -> Reply {
    let told = fstatfs(&node.fd)?;
    let mut fields = vec![told.f_type as u64, told.f_bsize as u64];
    fields.extend([
        told.f_blocks,
        told.f_bfree,
        told.f_bavail,
        told.f_files,
        told.f_ffree,
    ]);
    fields.extend([0, told.f_namelen as u64, told.f_frsize as u64, 0, 0, 0, 0, 0]);
    let bytes: Vec<u8> = fields.into_iter().flat_map(u64::to_ne_bytes).collect();
    asked.write(asked.word(1), &bytes)?;
    Answer::DONE
}
